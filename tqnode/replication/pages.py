"""A standby's database, written page by page from the log's files.

For the standby, and for a node that becomes leader. While it writes, nobody has the file open: SQLite knows
nothing of it. Which files are applied is the caller's to know: it notes that after :func:`apply` returned.
"""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Final

from tqnode.replication.ltx import Header, LtxError, LtxFile

RUN_BYTES_MAX: Final = 1 << 20  # neighbouring pages that go to the disk in one write
HELD_BYTES_MAX: Final = 16 << 20  # a file of no more pages is decoded once, a larger one twice
FILE_MODE: Final = 0o600
DRAFT_SUFFIX: Final = ".new"
SIDE_SUFFIXES: Final = ("-wal", "-shm", "-journal")


class DivergedFile(Exception):
    """The database is not what the log made of it; only a snapshot can follow."""


def apply(database: Path, files: Iterable[LtxFile]) -> Header | None:
    """Applies files one after another, and returns once all of it is on disk.

    A snapshot starts a new database, which takes the old one's place only when it is whole; files that follow
    change that. Applying files again gives the same database, whatever a crash left of it, if it is done from
    the first file that was not noted as applied.

    A snapshot deletes the old database's write-ahead log before the old database itself. So whoever was
    leader, and may have one, notes before the call that its database is worth nothing.

    Args:
        database: the file; no connection may be open to it.
        files: in order, without a gap; each is verified before it changes anything that stays.

    Returns:
        The last file's header; None if there were no files.

    Raises:
        LtxError: a file is damaged, or does not follow the one before it. Those before it are applied, but
            perhaps not on disk.
        DivergedFile: SQLite wrote to the database, or its pages are of another size.
        OSError: the disk is full, failed, or has no such database. What is on disk is unknown then, but for
            a snapshot's old database, which is untouched until the new one is on disk.
    """
    last: Header | None = None
    with _Target(database) as target:
        for file in files:
            header = file.header
            if header.is_snapshot:
                target.replace(file)
            elif last is not None and header.min_txid != last.max_txid + 1:
                raise LtxError(f"txid {header.min_txid} does not follow {last.max_txid}")
            else:
                target.change(file)
            last = header
        target.sync()
    return last


class _Target:
    """The database while files are applied: open from the first that changes it on.

    One descriptor for the writes and the sync after them: through another one it could miss their failure.
    """

    def __init__(self, database: Path) -> None:
        self._database = database
        self._descriptor: int | None = None

    def __enter__(self) -> "_Target":
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def replace(self, snapshot: LtxFile) -> None:
        """Puts a new database in the old one's place; it is on disk, and so is its name."""
        self._close()
        draft = self._database.with_name(self._database.name + DRAFT_SUFFIX)
        try:
            with _opened(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC) as descriptor:
                _write(descriptor, snapshot.header, snapshot.pages())
                os.fsync(descriptor)
        except BaseException:
            # It may be what fills the disk, and is worth nothing.
            draft.unlink(missing_ok=True)
            raise
        # Before the new file has the name: SQLite would write an old log's pages into it.
        for suffix in SIDE_SUFFIXES:
            self._database.with_name(self._database.name + suffix).unlink(missing_ok=True)
        _sync_folder(self._database.parent)
        draft.replace(self._database)
        _sync_folder(self._database.parent)

    def change(self, file: LtxFile) -> None:
        """Writes the file's pages; they are on disk after :meth:`sync`."""
        pages = _verified(file)
        if self._descriptor is None:
            self._descriptor = os.open(self._database, os.O_RDWR | os.O_CLOEXEC)
        self._check_base(self._descriptor, file.header.page_size)
        _write(self._descriptor, file.header, pages)

    def sync(self) -> None:
        if self._descriptor is not None:
            os.fsync(self._descriptor)

    def _check_base(self, descriptor: int, page_size: int) -> None:
        wal = self._database.with_name(self._database.name + "-wal")
        if wal.exists() and wal.stat().st_size > 0:
            raise DivergedFile(f"{wal} has commits that are not the log's")
        # https://www.sqlite.org/fileformat2.html#page_size
        due = 1 if page_size == 65536 else page_size
        if int.from_bytes(os.pread(descriptor, 2, 16)) != due:
            raise DivergedFile(f"{self._database} does not have pages of {page_size} bytes")

    def _close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def _verified(file: LtxFile) -> Iterable[tuple[int, bytes]]:
    pages = file.pages()
    held = list(islice(pages, HELD_BYTES_MAX // file.header.page_size))
    more = False
    for _ in pages:
        more = True
    return file.pages() if more else held


def _write(descriptor: int, header: Header, pages: Iterable[tuple[int, bytes]]) -> None:
    for pgno, content in _runs(pages, RUN_BYTES_MAX // header.page_size):
        _write_all(descriptor, content, (pgno - 1) * header.page_size)
    # Also makes a file of full length where the lock page is the last one.
    os.ftruncate(descriptor, header.commit_pages * header.page_size)


def _runs(pages: Iterable[tuple[int, bytes]], pages_max: int) -> Iterator[tuple[int, bytes]]:
    """Joins the pages that are neighbours: (first pgno, content)."""
    first = 0
    run: list[bytes] = []
    for pgno, page in pages:
        if run and (pgno != first + len(run) or len(run) == pages_max):
            yield first, b"".join(run)
            run = []
        if not run:
            first = pgno
        run.append(page)
    if run:
        yield first, b"".join(run)


def _write_all(descriptor: int, content: bytes, offset: int) -> None:
    rest = memoryview(content)
    while rest:
        written = os.pwrite(descriptor, rest, offset)
        rest = rest[written:]
        offset += written


@contextmanager
def _opened(path: Path, flags: int) -> Iterator[int]:
    descriptor = os.open(path, flags | os.O_CLOEXEC, FILE_MODE)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _sync_folder(folder: Path) -> None:
    with _opened(folder, os.O_RDONLY | os.O_DIRECTORY) as descriptor:
        os.fsync(descriptor)
