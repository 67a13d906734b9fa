"""The list of terms: which there were, since when, and who wrote them. It goes into the archive with them.

A term has a folder of its own in the archive, and Litestream can't list folders: so whoever restores, perhaps
years later on an empty machine, learns from this list where to look.
"""

import json
from collections.abc import Iterable
from pathlib import Path

import apsw
import msgspec

from tqnode.sql import TERMS, statement
from tqnode.store.connection import open_reader, open_writer
from tqnode.store.migrations import migrate

_LIST = statement("list_terms")
_NOTE = statement("note_term")
_FORGET = statement("forget_terms")


class Term(msgspec.Struct, frozen=True):
    """One leadership.

    Args:
        number: it increases.
        started_at_ms: wall time at which its log begins.
        node: name of the node that wrote it.
    """

    number: int
    started_at_ms: int
    node: str


class Terms:
    """The list on this node's disk; each change is fsynced.

    Args:
        path: the database file; made if it is not there.

    Raises:
        apsw.Error: it can't be opened, or is damaged.
        SchemaTooNew: a newer version wrote it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._connection = open_writer(path, checkpoints=False)
        migrate(self._connection, TERMS)

    def all(self) -> list[Term]:
        """Every known term, the oldest first."""
        return _listed(self._connection)

    def merge(self, known: Iterable[Term]) -> None:
        """Adds terms that are known elsewhere.

        Raises:
            apsw.Error: they can't be written.
        """
        with self._connection:
            for term in known:
                self._connection.execute(_NOTE, msgspec.structs.asdict(term))

    def open_next(self, *, now_ms: int, node: str) -> Term:
        """Counts one term on and makes that durable before anything is written under its number.

        Args:
            now_ms: wall time.
            node: name of this node.

        Raises:
            apsw.Error: it can't be written.
        """
        numbers = [term.number for term in self.all()]
        term = Term(max(numbers, default=0) + 1, now_ms, node)
        self.merge([term])
        return term

    def forget(self, numbers: Iterable[int]) -> None:
        """Takes terms out whose archive is gone.

        Raises:
            apsw.Error: they can't be taken out.
        """
        self._connection.execute(_FORGET, {"numbers": json.dumps(list(numbers))})

    def close(self) -> None:
        """Closes the file."""
        self._connection.close()


def read_terms(path: Path) -> list[Term]:
    """The terms in a file that was restored from an archive.

    Raises:
        apsw.Error: it is no list of terms.
    """
    connection = open_reader(path, checkpoints=False)
    try:
        return _listed(connection)
    finally:
        connection.close()


def _listed(connection: apsw.Connection) -> list[Term]:
    return [Term(number, started, node) for number, started, node in connection.execute(_LIST)]
