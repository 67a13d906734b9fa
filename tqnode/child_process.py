"""Child processes that never outlive their parent."""

import ctypes
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

_PR_SET_PDEATHSIG: Final = 1
_libc = ctypes.CDLL(None, use_errno=True)


class ChildProcess:
    """A program of ours, started at once.

    It is no member of the terminal's foreground group, so that Ctrl-C reaches the parent alone, which
    then ends its children in the order that suits them.

    Args:
        argv: the program and its arguments.
        environ: its whole environment.
        log: the file that gets what it writes.
    """

    def __init__(self, argv: Sequence[str], *, environ: Mapping[str, str], log: Path) -> None:
        self.log = log
        parent = os.getpid()

        def die_with_parent() -> None:
            _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
            if os.getppid() != parent:
                os._exit(1)

        with log.open("wb") as stream:
            self._process = subprocess.Popen(  # noqa: S603  # our own programs, without a shell
                argv,
                env=dict(environ),
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=stream,
                process_group=0,
                preexec_fn=die_with_parent,  # no thread runs in this process yet
            )

    @property
    def exit_code(self) -> int | None:
        """None while it runs."""
        return self._process.poll()

    def last_lines(self, count: int) -> list[str]:
        """The end of what it wrote."""
        return self.log.read_text(errors="replace").splitlines()[-count:]

    def end(self, *, grace_s: float) -> None:
        """Asks it to stop, and kills it if it has not stopped in time.

        Args:
            grace_s: seconds it has.
        """
        self._process.terminate()
        try:
            self._process.wait(grace_s)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
