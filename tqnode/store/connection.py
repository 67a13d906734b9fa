"""Opens SQLite connections the one way this project uses them."""

from pathlib import Path

import apsw

from tqnode.sql import statement

BUSY_TIMEOUT_MS = 5_000
STATEMENT_CACHE = 256


def open_writer(path: Path) -> apsw.Connection:
    """The one connection that writes: WAL, every COMMIT fsynced.

    Raises:
        apsw.Error: the file can't be opened or is not a database.
    """
    connection = apsw.Connection(str(path), statementcachesize=STATEMENT_CACHE)
    _prepare(connection)
    connection.execute(statement("writer_pragmas")).fetchall()
    return connection


def open_reader(path: Path) -> apsw.Connection:
    """A connection that can't write.

    Raises:
        apsw.Error: the file can't be opened.
    """
    connection = apsw.Connection(
        str(path), flags=apsw.SQLITE_OPEN_READONLY, statementcachesize=STATEMENT_CACHE
    )
    _prepare(connection)
    connection.execute(statement("reader_pragmas")).fetchall()
    return connection


def _prepare(connection: apsw.Connection) -> None:
    connection.set_busy_timeout(BUSY_TIMEOUT_MS)
    # Without the planner's stability guarantee SQLite looks whether a bound value makes a partial index
    # usable, and for that compiles the statement anew each time a value changes: ten times a claim's cost.
    connection.config(apsw.SQLITE_DBCONFIG_ENABLE_QPSG, 1)
