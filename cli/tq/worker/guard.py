"""Ends the worker's process groups when the worker itself dies, even by SIGKILL.

A program left behind would go on with a task that another worker is given. So a tiny process of its
own holds a pipe from the worker: when the pipe ends, it kills every group it was told of and not told
to forget. A group has no number until it runs, so it is announced by a mark in its environment first:
there is no moment in which a worker that dies leaves it behind.
This module is both its client and, run as a script, that process.
"""

import os
import signal
import subprocess
import sys
import threading
import time

MARK = "TQ_GUARD_MARK"
"""Variable that carries a group's mark."""
SEARCH_S = 2.0
"""How long an announced group is looked for: a process shows its environment only when it has started."""
SEARCH_EVERY_S = 0.01


class Guard:
    """Tells the guarding process which groups to end. Any thread may call."""

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._announced: set[str] = set()
        self._groups: set[int] = set()
        self._marks = 0
        self._process: subprocess.Popen[bytes] | None = None

    def announce(self) -> str:
        """Ends, from now on, the group whose leader has the answered mark as :data:`MARK`."""
        with self._mutex:
            self._marks += 1
            mark = f"{os.getpid()}.{self._marks}"
            self._announced.add(mark)
            self._tell(f"?{mark}\n")
            return mark

    def retract(self, mark: str) -> None:
        """Forgets an announced group that did not come to be."""
        with self._mutex:
            self._announced.discard(mark)
            self._tell(f"!{mark}\n")

    def add(self, group: int, mark: str) -> None:
        """Knows the group announced as ``mark`` by its number from now on."""
        with self._mutex:
            self._groups.add(group)
            self._announced.discard(mark)
            self._tell(f"+{group}\n!{mark}\n")

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
        known = [f"+{group}\n" for group in sorted(self._groups)]
        _write(self._process, "".join(known + [f"?{mark}\n" for mark in sorted(self._announced)]))


def _write(process: "subprocess.Popen[bytes]", text: str) -> None:
    if process.stdin is not None:
        process.stdin.write(text.encode())


def main() -> None:
    """The guarding process: reads groups until the pipe ends, then kills those left."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        # It ends when the worker has: a signal meant for all of them must not make it leave early.
        signal.signal(number, signal.SIG_IGN)
    groups: set[int] = set()
    announced: set[str] = set()
    for line in sys.stdin:
        told, name = line[0], line[1:].strip()
        match told:
            case "+":
                groups.add(int(name))
            case "-":
                groups.discard(int(name))
            case "?":
                announced.add(name)
            case "!":
                announced.discard(name)
    for group in groups:
        _kill(group)
    _kill_announced(announced)


def _kill(group: int) -> None:
    try:
        os.killpg(group, signal.SIGKILL)
    except ProcessLookupError:
        return  # nothing is left of it


def _kill_announced(announced: set[str]) -> None:
    """Kills the groups that the worker was just starting when it died, as they appear."""
    until = time.monotonic() + SEARCH_S
    while announced and time.monotonic() < until:
        for name in filter(str.isdecimal, os.listdir("/proc")):
            mark = _mark_of(int(name))
            if mark in announced:
                _kill(int(name))
                announced.discard(mark)
        time.sleep(SEARCH_EVERY_S)


def _mark_of(pid: int) -> str | None:
    """The mark of a group's leader; None for every other process."""
    try:
        if os.getpgid(pid) != pid:
            return None
        with open(f"/proc/{pid}/environ", "rb") as environ:
            variables = environ.read().split(b"\0")
    except OSError:  # it has ended, or is somebody else's
        return None
    start = f"{MARK}=".encode()
    return next((v[len(start) :].decode() for v in variables if v.startswith(start)), None)


if __name__ == "__main__":
    main()
