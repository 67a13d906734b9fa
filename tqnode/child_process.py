"""Child processes that never outlive their parent."""

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

_PR_SET_PDEATHSIG: Final = 1
_libc = ctypes.CDLL(None, use_errno=True)
_BIND: Final = f"""
import ctypes, os, sys
ctypes.CDLL(None).prctl({_PR_SET_PDEATHSIG}, {int(signal.SIGKILL)}, 0, 0, 0)
if os.getppid() != int(sys.argv[1]): os._exit(1)
os.setpgid(0, 0)
try: os.nice(int(sys.argv[2]))
except OSError: pass  # where the service manager does not allow it
os.execv(sys.argv[3], sys.argv[3:])
"""


def bound_to_this_process(argv: Sequence[str], *, nice: int = 0) -> list[str]:
    """A command that runs ``argv`` so that the kernel kills it when this process ends, however it ends.

    As a group of its own: what a terminal sends to the foreground reaches this process alone.

    It goes by way of an interpreter that becomes the program: in a process with threads no code of ours may
    run between its fork and its exec.

    Args:
        argv: an absolute path and its arguments.
        nice: by how much it stands back behind other programs, 0 to 19.
    """
    return [sys.executable, "-I", "-S", "-c", _BIND, str(os.getpid()), str(nice), *argv]


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
