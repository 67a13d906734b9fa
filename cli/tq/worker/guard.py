"""Ends the worker's process groups when the worker itself dies, even by SIGKILL.

A program left behind would go on with a task that another worker is given. So a tiny process of its
own holds a pipe from the worker: when the pipe ends, it kills every group it was told of and not told
to forget. This module is both its client and, run as a script, that process.
"""

import os
import signal
import subprocess
import sys
import threading


class Guard:
    """Tells the guarding process which groups to end. Any thread may call."""

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._groups: set[int] = set()
        self._process: subprocess.Popen[bytes] | None = None

    def add(self, group: int) -> None:
        """Ends ``group`` with the worker from now on."""
        with self._mutex:
            self._groups.add(group)
            self._tell(f"+{group}\n")

    def remove(self, group: int) -> None:
        """Forgets ``group``; to be called while its number cannot mean another one yet."""
        with self._mutex:
            self._groups.discard(group)
            self._tell(f"-{group}\n")

    def close(self) -> None:
        """Lets the guarding process end; what it still guards ends with it."""
        with self._mutex:
            if self._process is not None and self._process.stdin is not None:
                self._process.stdin.close()
                self._process.wait()
                self._process = None

    def _tell(self, line: str) -> None:
        if self._process is not None and self._process.poll() is None:
            try:
                _write(self._process, line)
                return
            except BrokenPipeError:
                self._process.wait()
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()
        # First use, or somebody killed it: a new one is told all there is to guard.
        self._process = subprocess.Popen(  # noqa: S603  # this interpreter, this file
            [sys.executable, "-I", "-S", os.path.abspath(__file__)],
            stdin=subprocess.PIPE,
            start_new_session=True,
            bufsize=0,
        )
        _write(self._process, "".join(f"+{group}\n" for group in sorted(self._groups)))


def _write(process: "subprocess.Popen[bytes]", text: str) -> None:
    if process.stdin is not None:
        process.stdin.write(text.encode())


def main() -> None:
    """The guarding process: reads groups until the pipe ends, then kills those left."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        # It ends when the worker has: a signal meant for all of them must not make it leave early.
        signal.signal(number, signal.SIG_IGN)
    groups: set[int] = set()
    for line in sys.stdin:
        group = int(line[1:])
        if line[0] == "+":
            groups.add(group)
        else:
            groups.discard(group)
    for group in groups:
        try:
            os.killpg(group, signal.SIGKILL)
        except ProcessLookupError:
            continue


if __name__ == "__main__":
    main()
