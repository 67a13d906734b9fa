"""Opens SQLite connections the one way this project uses them."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import apsw

from tqnode.sql import statement

BUSY_TIMEOUT_MS = 5_000
STATEMENT_CACHE = 256
LOG_PAGES = 8_000
"""Pages in the write-ahead log from which on a COMMIT moves them into the file: 32 MB. Before that they are
moved beside the writer, so that few are left."""


def open_writer(path: Path, *, checkpoints: bool = True) -> apsw.Connection:
    """The one connection that writes: WAL, every COMMIT fsynced.

    Args:
        path: the database file.
        checkpoints: whether it moves the write-ahead log into the file, now and then and when it closes.
            Where Litestream does that, nobody else may: its next entry would be the whole database.

    Raises:
        apsw.Error: the file can't be opened or is not a database.
    """
    with _told_apart():
        connection = apsw.Connection(str(path), statementcachesize=STATEMENT_CACHE)
        _prepare(connection, checkpoints=checkpoints)
        connection.execute(statement("writer_pragmas")).fetchall()
    return connection


def open_checkpointer(path: Path) -> apsw.Connection:
    """A connection that does nothing but move the write-ahead log into the file, as durably as the writer.

    Args:
        path: the database file, which the writer has opened.

    Raises:
        apsw.Error: the file can't be opened.
    """
    with _told_apart():
        connection = apsw.Connection(str(path))
        _prepare(connection, checkpoints=True)
        connection.execute(statement("checkpointer_pragmas")).fetchall()
    return connection


def open_reader(path: Path, *, checkpoints: bool = True) -> apsw.Connection:
    """A connection that can't write.

    Args:
        path: the database file.
        checkpoints: as for :func:`open_writer`; a reader that is the last to close would make one too.

    Raises:
        apsw.Error: the file can't be opened.
    """
    with _told_apart():
        connection = apsw.Connection(
            str(path), flags=apsw.SQLITE_OPEN_READONLY, statementcachesize=STATEMENT_CACHE
        )
        _prepare(connection, checkpoints=checkpoints)
        connection.execute(statement("reader_pragmas")).fetchall()
    return connection


def _prepare(connection: apsw.Connection, *, checkpoints: bool) -> None:
    connection.set_busy_timeout(BUSY_TIMEOUT_MS)
    connection.wal_autocheckpoint(LOG_PAGES if checkpoints else 0)
    if not checkpoints:
        connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
    # Without the planner's stability guarantee SQLite looks whether a bound value makes a partial index
    # usable, and for that compiles the statement anew each time a value changes: ten times a claim's cost.
    connection.config(apsw.SQLITE_DBCONFIG_ENABLE_QPSG, 1)


@contextlib.contextmanager
def _told_apart() -> Iterator[None]:
    """Tells a full disk from a failed one: SQLite calls both an I/O error where its shared memory can't grow.

    While a file is being opened nothing is written that could be there all the same.
    """
    try:
        yield
    except apsw.IOError as error:
        if getattr(error, "extendedresult", None) == apsw.SQLITE_IOERR_SHMSIZE:  # which the stubs lack
            raise apsw.FullError("there is no room for the index of the write-ahead log") from error
        raise
