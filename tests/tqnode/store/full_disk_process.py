"""Opens a database on a disk that has no room at all, in a process of its own: ``FOLDER`` is that disk.

Says what came of it each time, with one more page of room.
"""

import errno
import sys
from pathlib import Path

import apsw

from tqnode.store.connection import open_writer
from tqnode.store.migrations import migrate

PAGE = bytes(4096)


def fill(file: Path) -> None:
    with file.open("wb", buffering=0) as stream:
        try:
            while True:
                stream.write(PAGE)
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise


def opened(path: Path) -> str:
    try:
        open_writer(path, checkpoints=False).close()
    except apsw.FullError:
        return "full"
    return "open"


def main() -> None:
    folder = Path(sys.argv[1])
    path = folder / "tq.db"
    connection = open_writer(path, checkpoints=False)
    migrate(connection)
    connection.close()
    # As after a restart: the index of the write-ahead log has to be made anew.
    (folder / "tq.db-shm").unlink()
    filler = folder / "filler"
    fill(filler)
    told = []
    while not told or told[-1] != "open":
        told.append(opened(path))
        with filler.open("r+b") as stream:
            stream.truncate(filler.stat().st_size - len(PAGE))
    print(*told)


if __name__ == "__main__":
    main()
