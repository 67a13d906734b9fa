"""The files of the log's large entries, snapshots above all: staged and synced before node.db names them."""

import errno
import hashlib
import io
import itertools
import os
import shutil
import threading
from collections.abc import Set
from pathlib import Path
from typing import Final, NamedTuple

from tqnode.replication.disk_errors import told_apart
from tqnode.replication.entry import Position

SYNC_EVERY_BYTES: Final = 32 * 1024 * 1024
COPY_BYTES: Final = 1024 * 1024
_NO_LINK: Final = (errno.EXDEV, errno.EPERM, errno.EMLINK, errno.EEXIST, errno.ENOENT)


class Staged(NamedTuple):
    """A file that is whole and fsynced, name included, but that no row names yet.

    Args:
        name: of the file, within the folder.
        size: in bytes.
        sha256: of its bytes; None if they are another program's finished file and were not read.
    """

    name: str
    size: int
    sha256: bytes | None


class Incoming:
    """An entry's file while its bytes arrive. Every method blocks on the disk: call it off the event loop.

    Args:
        stream: the empty file.
        path: where it is.
    """

    def __init__(self, stream: io.FileIO, path: Path) -> None:
        self._stream = stream
        self._path = path
        self._sha256 = hashlib.sha256()
        self._size = 0
        self._unsynced = 0
        # Whoever gives up waiting for a write must not close the file under it.
        self._busy = threading.Lock()

    def write(self, chunk: bytes | memoryview) -> None:
        """Adds the next bytes; not after :meth:`discard`.

        Raises:
            DiskFull: discard it.
            DiskFailed: the process must end.
        """
        rest = memoryview(chunk)
        with self._busy, told_apart():
            while rest:
                # Nothing is buffered here, so a disk that runs full takes a part before it refuses.
                rest = rest[self._stream.write(rest) :]
            self._sha256.update(chunk)
            self._size += len(chunk)
            self._unsynced += len(chunk)
            if self._unsynced >= SYNC_EVERY_BYTES:
                # Bit by bit, or the last sync, and those of all other files, would wait for gigabytes.
                os.fdatasync(self._stream.fileno())
                self._unsynced = 0

    def finish(self) -> Staged:
        """Syncs and closes the file.

        Raises:
            DiskFull: discard it.
            DiskFailed: the process must end.
        """
        with self._busy, told_apart():
            os.fsync(self._stream.fileno())
            self._stream.close()
            sync_folder(self._path.parent)
        return Staged(self._path.name, self._size, self._sha256.digest())

    def discard(self) -> None:
        """Removes the file, finished or not.

        Raises:
            DiskFailed: the process must end.
        """
        with self._busy, told_apart():
            self._stream.close()
            self._path.unlink(missing_ok=True)


class EntryFiles:
    """The folder of the files.

    Args:
        folder: made if it is not there; its parent must exist.

    Raises:
        DiskFull: it can't be made.
        DiskFailed: it can't be made or synced.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._numbers = itertools.count(1)
        with told_apart():
            folder.mkdir(mode=0o700, exist_ok=True)
            sync_folder(folder.parent)

    def receive(self, position: Position) -> Incoming:
        """Begins a file for the entry at ``position``.

        Raises:
            DiskFull: no file can be made.
            DiskFailed: no file can be made.
        """
        with told_apart():
            while True:
                path = self._folder / f"{position.term}-{position.txid}-{next(self._numbers)}.ltx"
                try:
                    return Incoming(io.FileIO(path, "xb"), path)
                except FileExistsError:
                    continue

    def stage(self, position: Position, source: Path) -> Staged:
        """Takes a finished file of another program over: by a second name for it, or else by a copy.

        Args:
            position: of the entry that its bytes are.
            source: the file, which is never written to again; it may be removed afterwards.

        Raises:
            FileNotFoundError: the source is gone.
            DiskFull: there is no space for it.
            DiskFailed: the disk failed.
        """
        with source.open("rb") as stream, told_apart():
            path = self._folder / f"{position.term}-{position.txid}-{next(self._numbers)}.ltx"
            try:
                os.link(source, path)
            except OSError as error:
                if error.errno not in _NO_LINK:
                    raise
            else:
                os.fsync(stream.fileno())
                sync_folder(self._folder)
                return Staged(path.name, os.fstat(stream.fileno()).st_size, None)
            incoming = self.receive(position)
            try:
                shutil.copyfileobj(stream, incoming, COPY_BYTES)
                return incoming.finish()
            except BaseException:
                incoming.discard()
                raise

    def path(self, name: str) -> Path:
        """Where the file of that name is."""
        return self._folder / name

    def remove(self, name: str) -> None:
        """Removes a file that no row names any more, or will name.

        Raises:
            DiskFailed: the disk failed.
        """
        with told_apart():
            (self._folder / name).unlink(missing_ok=True)

    def keep_only(self, names: Set[str]) -> list[str]:
        """Removes all files but ``names``: what was staged by a process that ended. Returns what it removed.

        Raises:
            DiskFailed: the disk failed.
        """
        with told_apart():
            orphans = sorted(file.name for file in self._folder.iterdir() if file.name not in names)
        for name in orphans:
            self.remove(name)
        return orphans


def sync_folder(folder: Path) -> None:
    """Makes the names in ``folder`` durable.

    Raises:
        OSError: fsync failed.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sha256_of(file: Path) -> tuple[bytes, int]:
    """SHA-256 and size of a file of any size; blocks on the disk.

    Raises:
        OSError: it can't be read.
    """
    with file.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").digest()
        return digest, stream.tell()
