"""Real tqnode processes for the end-to-end tests: each on a free port, with its data in the test's folder."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx

from tests.waiting import eventually

START_S = 30.0
STOP_S = 15.0


class NodeProcess:
    """One ``tqnode run``; started by the constructor, which returns once it listens.

    Args:
        folder: where its data folder and its log are.
        flags: further flags, such as ``--drain-s``, ``1``.
        environ: variables added to those of the test.
        program: what is run instead of tqnode's own module.
    """

    def __init__(
        self,
        folder: Path,
        flags: Sequence[str] = (),
        *,
        environ: dict[str, str] | None = None,
        program: Sequence[str] = (sys.executable, "-m", "tqnode"),
    ) -> None:
        self.data_dir = folder / "node"
        self.log_file = folder / "node.log"
        self._flags = tuple(flags)
        self._program = tuple(program)
        # A second process for each node would tell nothing about most tests; those it concerns ask for it.
        self._environ = {"TQNODE_LITESTREAM": "off"} | os.environ | (environ or {})
        self.url = self._start("127.0.0.1:0")

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def log(self) -> str:
        """All it wrote to standard error, over every start."""
        return self.log_file.read_text()

    def _start(self, listen: str) -> str:
        command = [*self._program, "run"]
        command += ["--data-dir", str(self.data_dir), "--listen", listen, *self._flags]
        with self.log_file.open("ab") as log:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self._environ
            )
        try:
            return eventually(self._announced, within_s=START_S, ignoring=(FileNotFoundError,))
        except BaseException:
            self.kill()
            raise

    def _announced(self) -> str:
        if self.process.poll() is not None:
            raise RuntimeError(f"tqnode ended with {self.process.returncode}:\n{self.log}")
        pid = (self.data_dir / "tqnode.pid").read_text().strip()
        # After a kill the address of the process before is still there, until the new one has the folder.
        assert pid == str(self.pid)
        return (self.data_dir / "tqnode.url").read_text().strip()

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def wait(self, *, within_s: float = STOP_S) -> int:
        """The exit code.

        Raises:
            subprocess.TimeoutExpired: it did not end in time.
        """
        return self.process.wait(within_s)

    def stop(self) -> int:
        """SIGTERM; returns the exit code."""
        self.signal(signal.SIGTERM)
        return self.wait()

    def kill(self) -> None:
        """SIGKILL, as a power cut for the process."""
        self.process.kill()
        self.process.wait(STOP_S)

    def restart(self) -> None:
        """Starts again, after :meth:`stop` or :meth:`kill`, on the same data and the same port."""
        assert self.process.poll() is not None, "it still runs"
        assert self._start(self.url.removeprefix("http://")) == self.url

    def end(self) -> None:
        """Whatever state it is in: afterwards it does not run."""
        if self.process.poll() is None:
            self.kill()


def start_node(folder: Path, *flags: str, environ: dict[str, str] | None = None) -> NodeProcess:
    """Starts a node; the caller ends it (see :func:`running_node`)."""
    return NodeProcess(folder, flags, environ=environ)


@contextlib.contextmanager
def running_node(folder: Path, *flags: str, environ: dict[str, str] | None = None) -> Iterator[NodeProcess]:
    """A node for the length of a ``with`` block."""
    node = NodeProcess(folder, flags, environ=environ)
    try:
        yield node
    finally:
        node.end()


def enqueue(client: httpx.Client, **task: Any) -> str:
    answer = client.post("/v1/tasks", json={"kind": "k", **task})
    assert answer.status_code == 201
    return str(answer.json()["id"])


def told_once(done: subprocess.CompletedProcess[str]) -> str:
    """What a failed start says: one line, no trace, nothing on standard output."""
    assert done.returncode == 1
    assert done.stdout == ""
    lines = [line for line in done.stderr.splitlines() if " WARNING " not in line]
    assert len(lines) == 1, done.stderr
    return lines[0]
