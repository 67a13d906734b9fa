"""Network and mount namespaces that vanish with the process that made them, however it ends.

A network namespace lives as long as a descriptor of it or a process in it. The descriptors are this process's
own, and each program that runs in one is killed by the kernel when this process ends: nothing is ever left on
the machine, not even by a test that was killed. The same holds for what is mounted in a mount namespace.
"""

import ctypes
import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from tqnode.child_process import bound_to_this_process

CLONE_FS: Final = 0x0000_0200
CLONE_NEWNS: Final = 0x0002_0000
CLONE_NEWNET: Final = 0x4000_0000
_libc = ctypes.CDLL(None, use_errno=True)


class NoPrivilege(Exception):
    """The tests of a cluster need root: for networks, mounts and packet filters of their own."""


def command(*argv: str, stdin: str = "") -> str:
    """Runs a program of the system; what it wrote to standard output.

    Raises:
        RuntimeError: it failed; the message has what it said.
    """
    done = subprocess.run(argv, input=stdin, capture_output=True, text=True, timeout=30, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(argv)} ended with {done.returncode}: {done.stderr.strip()}")
    return done.stdout


def _checked(result: int) -> None:
    if result:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _open(kind: str) -> int:
    return os.open(f"/proc/thread-self/ns/{kind}", os.O_RDONLY | os.O_CLOEXEC)


class NetworkNamespace:
    """A network of its own, at first without any link.

    Made by the thread that calls, which stays in the namespace it was in.
    """

    def __init__(self) -> None:
        before = _open("net")
        try:
            _checked(_libc.unshare(CLONE_NEWNET))
            self._descriptor = _open("net")
            _checked(_libc.setns(before, CLONE_NEWNET))
        finally:
            os.close(before)
        self.command("ip", "link", "set", "lo", "up")

    @property
    def path(self) -> str:
        """Names it to ``ip`` and ``nsenter``, as long as this process lives."""
        return f"/proc/{os.getpid()}/fd/{self._descriptor}"

    def inside(self, argv: Sequence[str]) -> list[str]:
        """A command that runs ``argv`` in it, as the same process; it is killed when this thread ends."""
        nsenter = shutil.which("nsenter")
        assert nsenter is not None
        return bound_to_this_process([nsenter, f"--net={self.path}", *argv])

    def command(self, *argv: str, stdin: str = "") -> str:
        """Runs a program of the system in it; what it wrote to standard output."""
        return command("nsenter", f"--net={self.path}", *argv, stdin=stdin)

    def enter(self) -> None:
        """Moves this thread into it."""
        _checked(_libc.setns(self._descriptor, CLONE_NEWNET))

    def close(self) -> None:
        os.close(self._descriptor)


@contextmanager
def own_mounts() -> Iterator[None]:
    """What this thread and its children mount for the length of the block, nobody else sees.

    Raises:
        NoPrivilege: not root.
    """
    if os.geteuid() != 0:
        raise NoPrivilege("run these tests as root (sudo sh packaging/test.sh), or leave them out")
    before = _open("mnt")
    here = os.getcwd()
    try:
        _checked(_libc.unshare(CLONE_NEWNS))
        command("mount", "--make-rprivate", "/")
        yield
    finally:
        # Threads begun meanwhile share this one's root and folder, and then it could not go back.
        _checked(_libc.unshare(CLONE_FS))
        _checked(_libc.setns(before, CLONE_NEWNS))
        os.chdir(here)
        os.close(before)


@contextmanager
def inside(network: NetworkNamespace) -> Iterator[None]:
    """This thread, and what it starts, are in ``network`` for the length of the block."""
    before = _open("net")
    try:
        network.enter()
        yield
    finally:
        _checked(_libc.setns(before, CLONE_NEWNET))
        os.close(before)
