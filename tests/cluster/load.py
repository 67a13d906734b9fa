"""The client processes of a run: started on the network's switch, stopped, their history read."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.cluster.records import Op, read
from tests.waiting import eventually
from tqnode.child_process import bound_to_this_process

ACKNOWLEDGED_S = 60.0
STOP_S = 90.0
"""A client gives up a request that has no clear answer only after many tries."""


class Load:
    """Some client processes.

    Args:
        folder: for histories and what the processes say.
        urls: of the nodes.
        seed: of the clients' choices.
    """

    MODULES = ("raw_clients", "sdk_clients")

    def __init__(self, folder: Path, urls: Sequence[str], seed: str) -> None:
        self._folder = folder
        self._acknowledged = 0
        self._read: dict[str, int] = {}
        self._processes: dict[str, subprocess.Popen[str]] = {}
        environ = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
        for module in self.MODULES:
            argv = [sys.executable, "-m", f"tests.cluster.{module}", module.removesuffix("_clients"), seed]
            argv += [str(self._history(module)), *urls]
            with self._said(module).open("w") as said:
                self._processes[module] = subprocess.Popen(
                    bound_to_this_process(argv),
                    stdin=subprocess.PIPE,
                    stdout=said,
                    stderr=said,
                    text=True,
                    env=environ,
                )

    def _history(self, module: str) -> Path:
        return self._folder / f"{module}.jsonl"

    def _said(self, module: str) -> Path:
        return self._folder / f"{module}.log"

    def check(self) -> None:
        """Raises RuntimeError if a client process has ended by itself."""
        for module, process in self._processes.items():
            if process.poll() is not None:
                raise RuntimeError(
                    f"{module} ended with {process.returncode}:\n{self._said(module).read_text()}"
                )

    def stop(self) -> None:
        """Lets the clients finish what they have begun.

        Raises:
            RuntimeError: one of them had failed.
            subprocess.TimeoutExpired: one of them did not come to an end.
        """
        for process in self._processes.values():
            assert process.stdin is not None
            process.stdin.close()
        for module, process in self._processes.items():
            if process.wait(STOP_S):
                raise RuntimeError(
                    f"{module} ended with {process.returncode}:\n{self._said(module).read_text()}"
                )

    def acknowledged(self) -> int:
        """How many ops were acknowledged so far; reads only what is new since the last call."""
        for module in self.MODULES:
            file = self._history(module)
            if file.exists():
                with file.open("rb") as stream:
                    stream.seek(self._read.get(module, 0))
                    self._acknowledged += stream.read().count(b'"outcome":"ok"')
                    self._read[module] = stream.tell()
        return self._acknowledged

    def await_acknowledgement(self) -> None:
        """Returns when something was acknowledged that was not yet when this was called.

        Raises:
            AssertionError: nothing was, though all nodes are whole.
            RuntimeError: a client process has ended by itself.
        """
        before = self.acknowledged()

        def more() -> bool:
            self.check()
            return self.acknowledged() > before

        eventually(more, within_s=ACKNOWLEDGED_S, every_s=0.05)

    def history(self) -> list[Op]:
        """All that was asked so far."""
        return read(self._history(module) for module in self.MODULES)

    def end(self) -> None:
        """Whatever state they are in: afterwards they do not run."""
        for process in self._processes.values():
            process.kill()
            process.wait()
            if process.stdin is not None:
                process.stdin.close()
