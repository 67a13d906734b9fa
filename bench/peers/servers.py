"""The servers behind the queues: private processes on free ports of 127.0.0.1, their data below a folder."""

import os
import pwd
import shutil
import signal
import socket
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Final

from bench.peers.children import running, user_group
from tests.e2e.processes import running_node
from tests.waiting import eventually

START_S: Final = 30.0
POSTGRESQL: Final = "/usr/lib/postgresql"
"""Where Debian has the servers of each version, which are not on PATH."""


def program(name: str) -> str | None:
    """Where a program is: on PATH, or where Debian has PostgreSQL's own."""
    folders = sorted(Path(POSTGRESQL).glob("*/bin"), key=lambda folder: int(folder.parent.name), reverse=True)
    return shutil.which(name, path=os.pathsep.join([os.environ.get("PATH", ""), *map(str, folders)]))


def _needed(name: str) -> str:
    found = program(name)
    assert found, f"{name} is not on this machine"
    return found


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait_for_answer(port: int, say: bytes, hear: bytes) -> None:
    def answers() -> bool:
        with socket.create_connection(("127.0.0.1", port), timeout=START_S) as asked:
            asked.sendall(say)
            return asked.recv(1024).startswith(hear)

    eventually(answers, within_s=START_S, ignoring=(OSError,))


@contextmanager
def node(folder: Path) -> Iterator[str]:
    """A tqnode, without Litestream."""
    with running_node(folder, environ={"TQNODE_LITESTREAM": "off"}) as started:
        yield started.url


@contextmanager
def file(folder: Path) -> Iterator[str]:
    """A SQLite file, which the queue makes."""
    yield str(folder / "queue.db")


def _redis(folder: Path, *flags: str) -> AbstractContextManager[str]:
    @contextmanager
    def started() -> Iterator[str]:
        port = _free_port()
        command = [_needed("redis-server"), "--bind", "127.0.0.1", "--port", str(port), "--dir", str(folder)]
        with running([*command, *flags], folder / "redis.log"):
            _wait_for_answer(port, b"PING\r\n", b"+PONG")
            yield f"redis://127.0.0.1:{port}/0"

    return started()


def redis(folder: Path) -> AbstractContextManager[str]:
    """Redis as it comes: in memory, with a snapshot now and then."""
    return _redis(folder)


def redis_that_fsyncs(folder: Path) -> AbstractContextManager[str]:
    """Redis that answers when what it was told is on the disk."""
    return _redis(folder, "--appendonly", "yes", "--appendfsync", "always")


@contextmanager
def beanstalkd(folder: Path) -> Iterator[str]:
    """beanstalkd with its log on the disk and an fsync for each write."""
    port = _free_port()
    command = [_needed("beanstalkd"), "-l", "127.0.0.1", "-p", str(port), "-b", str(folder), "-f", "0"]
    with running(command, folder.parent / "beanstalkd.log"):
        _wait_for_answer(port, b"stats\r\n", b"OK ")
        yield f"127.0.0.1:{port}"


def _unprivileged() -> str | None:
    """PostgreSQL does not run as root."""
    if os.geteuid() != 0:
        return None
    return "postgres" if any(one.pw_name == "postgres" for one in pwd.getpwall()) else "nobody"


def _postgresql(folder: Path, synchronous_commit: str) -> AbstractContextManager[str]:
    @contextmanager
    def started() -> Iterator[str]:
        user = _unprivileged()
        data = folder / "data"
        data.mkdir(mode=0o700)
        if user:
            shutil.chown(data, user, user_group(user))
        options = ["-U", "bench", "--auth=trust", "--no-locale", "--encoding=UTF8", "--no-sync"]
        initdb = [_needed("initdb"), "-D", str(data), *options]
        with running(initdb, folder / "initdb.log", user=user) as made:
            assert made.wait(START_S) == 0, f"initdb failed:\n{(folder / 'initdb.log').read_text()}"
        port = _free_port()
        command = [_needed("postgres"), "-D", str(data), "-p", str(port), "-h", "127.0.0.1", "-k", ""]
        command += ["-c", f"synchronous_commit={synchronous_commit}"]
        with running(command, folder / "postgres.log", user=user, end=signal.SIGINT):
            # A startup packet that asks whether it speaks TLS.
            _wait_for_answer(port, b"\0\0\0\x08\x04\xd2\x16\x2f", b"N")
            yield f"postgresql://bench@127.0.0.1:{port}/postgres"

    return started()


def postgresql(folder: Path) -> AbstractContextManager[str]:
    """PostgreSQL as it comes: a commit is answered when it is on the disk."""
    return _postgresql(folder, "on")


def postgresql_that_lags(folder: Path) -> AbstractContextManager[str]:
    """PostgreSQL that answers a commit before it is on the disk."""
    return _postgresql(folder, "off")
