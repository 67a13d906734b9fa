"""Brings a database file to the schema this version knows."""

import apsw

from tqnode.sql import QUEUE, migrations, statement


class SchemaTooNew(Exception):
    """The file was written by a newer version.

    Args:
        found: the file's schema number.
        known: the newest one this version knows.
    """

    def __init__(self, *, found: int, known: int) -> None:
        super().__init__(
            f"the database has schema {found}, this version knows {known}: run the newer tqnode that wrote it"
        )


def migrate(connection: apsw.Connection, of: str = QUEUE) -> None:
    """Applies, each in its own transaction, the migrations the file does not have yet.

    Args:
        connection: to the file.
        of: whose migrations: :data:`tqnode.sql.QUEUE` or :data:`tqnode.sql.NODE`.

    Raises:
        SchemaTooNew: nothing was changed.
        apsw.Error: the migration at hand was rolled back.
    """
    steps = migrations(of)
    (found,) = connection.execute(statement("read_schema_version")).fetchone() or (0,)
    if found > steps[-1][0]:
        raise SchemaTooNew(found=found, known=steps[-1][0])
    for number, script in steps:
        if number <= found:
            continue
        with connection:
            connection.execute(script)
            connection.pragma("user_version", number)
