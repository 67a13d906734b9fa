"""A folder with a node.db, for tests: opened, read, and broken on purpose."""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from tqnode.clock import SystemClock, SystemRng
from tqnode.replication.entry import Head, Position
from tqnode.replication.node_db import FILE_FROM_BYTES, NodeDb, Staged

LARGE = FILE_FROM_BYTES + 1
"""Bytes of an entry that is a file of its own."""


@contextlib.asynccontextmanager
async def opened(folder: Path, fatal: list[BaseException] | None = None) -> AsyncIterator[NodeDb]:
    """The node.db of a folder; an error of the disk fails the test that did not ask for one."""
    errors: list[BaseException] = [] if fatal is None else fatal
    db = NodeDb(folder, clock=SystemClock(), rng=SystemRng(), on_fatal=errors.append)
    try:
        yield db
    finally:
        await db.close()
    assert fatal is not None or not errors


async def content_of(db: NodeDb, position: Position) -> bytes:
    found = await db.read(position)
    return found if isinstance(found, bytes) else found.read_bytes()


async def staged(db: NodeDb, head: Head, content: bytes) -> Staged:
    incoming = await db.receive(head.position)
    for at in range(0, len(content), 100_000):
        incoming.write(content[at : at + 100_000])
    return incoming.finish()


def log_files(folder: Path) -> list[str]:
    return sorted(file.name for file in (folder / "log").iterdir())


def flip(file: Path, around: bytes, at: int) -> None:
    """Flips one bit of the first place where ``around`` stands."""
    data = bytearray(file.read_bytes())
    where = data.index(around)
    data[where + at] ^= 1
    file.write_bytes(data)
