"""The real ``tq`` command as a process: run to its end, kept running, or on a terminal of its own."""

import contextlib
import os
import pty
import re
import select
import signal
import subprocess
import sys
import termios
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

RUN_S = 60.0
READ_BYTES = 65_536


class Ran(NamedTuple):
    """How a command ended and what it said."""

    code: int
    out: str
    err: str


def environment(url: str, **more: str) -> dict[str, str]:
    """The test's own, with the node in it and nothing that colours."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name not in ("NO_COLOR", "FORCE_COLOR", "COLUMNS")
    }
    return kept | {"TQ_URL": url} | more


class Tq:
    """``tq`` against one node.

    Args:
        url: the node's.
    """

    command = (sys.executable, "-m", "tq")

    def __init__(self, url: str) -> None:
        self.url = url

    def __call__(self, *argv: str, stdin: str | bytes = b"", code: int | None = 0) -> Ran:
        """Runs a command line to its end.

        Args:
            argv: after ``tq``.
            stdin: what it may read.
            code: the exit code it must have; None for any.
        """
        given = stdin.encode() if isinstance(stdin, str) else stdin
        done = subprocess.run(
            [*self.command, *argv],
            input=given,
            capture_output=True,
            env=environment(self.url),
            timeout=RUN_S,
            check=False,
        )
        ran = Ran(done.returncode, done.stdout.decode(), done.stderr.decode())
        assert "Traceback" not in ran.err, ran.err
        assert code is None or ran.code == code, ran
        return ran

    @contextlib.contextmanager
    def start(self, *argv: str) -> "Iterator[subprocess.Popen[str]]":
        """A command that runs for the length of a ``with`` block at most."""
        process = subprocess.Popen(
            [*self.command, *argv],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment(self.url),
        )
        with process:
            try:
                yield process
            finally:
                process.kill()

    def shell(self, script: str, *, home: Path) -> Ran:
        """Runs a bash script in which ``tq`` is this command."""
        binaries = home / "bin"
        binaries.mkdir(exist_ok=True)
        program = binaries / "tq"
        program.write_text(f'#!/bin/sh\nexec {sys.executable} -m tq "$@"\n')
        program.chmod(0o755)
        path = f"{binaries}:{os.environ['PATH']}"
        done = subprocess.run(
            ["bash", "--norc", "-c", script],
            capture_output=True,
            text=True,
            env=environment(self.url, PATH=path, HOME=str(home)),
            timeout=RUN_S,
            check=False,
        )
        return Ran(done.returncode, done.stdout, done.stderr)

    def terminal(self, *argv: str, columns: int = 80, rows: int = 24, **environ: str) -> "Terminal":
        """Starts a command on a terminal of this size."""
        return Terminal(
            [*self.command, *argv],
            environment(self.url, **({"TERM": "xterm-256color"} | environ)),
            columns,
            rows,
        )


class Terminal:
    """A command whose standard streams are all one terminal.

    Args:
        command: what runs.
        environ: its environment.
        columns: of the terminal.
        rows: likewise.
    """

    def __init__(self, command: list[str], environ: dict[str, str], columns: int, rows: int) -> None:
        self._master, slave = pty.openpty()
        termios.tcsetwinsize(slave, (rows, columns))
        # A session of its own, with this as its terminal: Ctrl-C typed there reaches it.
        attach = "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0);"
        attach += "os.execv(sys.argv[1], sys.argv[1:])"
        self.process = subprocess.Popen(
            [sys.executable, "-c", attach, *command],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env=environ,
            start_new_session=True,
        )
        os.close(slave)
        self.screen = ""

    def read(self) -> str:
        """Everything it has written so far, with all it does to the terminal."""
        while select.select([self._master], [], [], 0)[0]:
            try:
                data = os.read(self._master, READ_BYTES)
            except OSError:
                # How Linux tells that the other side is closed.
                break
            if not data:
                break
            self.screen += data.decode("utf-8", "replace")
        return self.screen

    @property
    def text(self) -> str:
        """The same without what styles and moves."""
        return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", self.read())

    def type(self, keys: str) -> None:
        os.write(self._master, keys.encode())

    def wait(self) -> int:
        """The exit code."""
        try:
            return self.process.wait(RUN_S)
        finally:
            self.read()

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait(RUN_S)
        os.close(self._master)
