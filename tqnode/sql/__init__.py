"""Every SQL statement of the server, by name, from the ``.sql`` files beside this module."""

import re
from functools import cache
from importlib import resources
from typing import Final

QUEUE: Final = "migrations"
"""The queue's own database, ``tq.db``."""
NODE: Final = "node_migrations"
"""What is true of one node alone, ``node.db``."""
TERMS: Final = "term_migrations"
"""The list of terms, ``terms.db``."""

_HEADER = re.compile(r"^-- (name|part): (\w+)\n", re.MULTILINE)
_PART = re.compile(r"\{(\w+)\}")
_COMMENT = re.compile(r"^\s*--.*\n", re.MULTILINE)


@cache
def _statements() -> dict[str, str]:
    found: dict[str, str] = {}
    shared: dict[str, str] = {}
    for file in sorted(resources.files(__name__).iterdir(), key=lambda entry: entry.name):
        if not file.name.endswith(".sql"):
            continue
        _, *pieces = _HEADER.split(file.read_text())
        for sort, name, text in zip(pieces[::3], pieces[1::3], pieces[2::3], strict=True):
            if name in found or name in shared:
                raise ValueError(f"two statements are named {name}")
            (shared if sort == "part" else found)[name] = _COMMENT.sub("", text).strip()
    return {name: _PART.sub(lambda named: shared[named[1]], text) for name, text in found.items()}


def statement(name: str) -> str:
    """The statement under ``-- name: <name>``; ``{part}`` in it is what stands under ``-- part: <part>``.

    Raises:
        KeyError: no file has it.
    """
    return _statements()[name]


@cache
def script(name: str) -> str:
    """Several statements that are run together, from ``scripts/<name>.sql``."""
    return (resources.files(__name__) / "scripts" / f"{name}.sql").read_text()


@cache
def statement_of_rows(name: str, count: int) -> str:
    """The INSERT under that name, which ends with one row of parameters, for ``count`` rows.

    Raises:
        KeyError: no file has it.
    """
    head, values, row = statement(name).rpartition("VALUES ")
    return head + values + ", ".join([row] * count)


def migrations(of: str = QUEUE) -> list[tuple[int, str]]:
    """The migrations of one database in order: (number, script).

    Args:
        of: the folder they stand in: :data:`QUEUE`, :data:`NODE` or :data:`TERMS`.
    """
    folder = resources.files(__name__) / of
    return sorted(
        (int(file.name.partition("_")[0]), file.read_text())
        for file in folder.iterdir()
        if file.name.endswith(".sql")
    )
