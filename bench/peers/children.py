"""Processes that the harness starts: each in a session of its own, gone with it when the harness lets go."""

import os
import pwd
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

END_S: Final = 15.0


@contextmanager
def running(
    command: Sequence[str],
    log: Path,
    *,
    environ: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    user: str | None = None,
    end: signal.Signals = signal.SIGTERM,
) -> Iterator["subprocess.Popen[bytes]"]:
    """A process for the length of a ``with`` block.

    Args:
        command: what to run.
        log: gets all it writes.
        environ: all its variables; those of the harness if absent.
        cwd: where it runs.
        user: who it runs as, if not as who runs the harness.
        end: asks it to end. Whatever is left of its session after that is killed.
    """
    with log.open("ab") as written:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=written,
            stderr=written,
            env=None if environ is None else dict(environ),
            cwd=cwd,
            start_new_session=True,  # Ctrl-C is for the harness, which then ends them in order
            user=user,
            group=None if user is None else user_group(user),
            extra_groups=None if user is None else [],
        )
    try:
        yield process
    finally:
        _end(process, end)


def user_group(user: str) -> int:
    """The main group of a user."""
    return pwd.getpwnam(user).pw_gid


def _end(process: "subprocess.Popen[bytes]", number: signal.Signals) -> None:
    try:
        if process.poll() is None:
            process.send_signal(number)
            with suppress(subprocess.TimeoutExpired):
                process.wait(END_S)
    finally:
        # Its number is that of its session: no other process can have it while one of the session is left.
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(END_S)
