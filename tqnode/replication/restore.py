"""Makes a database of a past moment out of the archive, over all terms, and looks whether it is sound."""

import contextlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import apsw

from tqnode.replication.archive import Archive, ArchivedFile, NothingThere, first_moment_ms, last_txid
from tqnode.replication.archive_url import ArchiveError
from tqnode.replication.terms import Term
from tqnode.sql import statement

TRIES_MAX: Final = 3
FIRST_ENTRY_MS: Final = 5_000
"""A term's first entry follows its beginning this soon."""
_SIDE_FILES: Final = ("", "-wal", "-shm", "-journal")
_CHECK = statement("check_integrity")
_COUNT = statement("count_by_state")


@dataclass(frozen=True, slots=True)
class Window:
    """The moments that an archive can restore, wall time in ms; the last change it has is at ``to_ms``."""

    from_ms: int
    to_ms: int


class OutsideWindow(ArchiveError):
    """The archive can't restore that moment.

    Args:
        detail: why, in one sentence.
        window: what it can restore; None when it is empty.
    """

    def __init__(self, detail: str, window: Window | None) -> None:
        super().__init__(detail)
        self.window = window


class Unsound(ArchiveError):
    """What was restored is not what the archive should hold."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    """A database that was restored.

    Args:
        path: where it is.
        term: whose log it was made from.
        txid: the last transaction in it.
        written_at_ms: when that one was written, to the second.
        counts: tasks by state.
    """

    path: Path
    term: int
    txid: int
    written_at_ms: int
    counts: dict[str, int]


async def restore(archive: Archive, target: Path, *, at_ms: int | None) -> Restored:
    """Restores the queue as it was at a moment.

    The state is that of the last entry of the log up to then. An entry is written within a second of what it
    holds, so what was done in the last second or two before the moment may be missing; nothing later is.

    Args:
        archive: where from.
        target: a file that is not there yet, in a folder that is.
        at_ms: the moment; None for the newest state.

    Raises:
        OutsideWindow: the archive has no such moment.
        Unsound: files are missing in the archive, or what came out is damaged.
        ArchiveError: it can't be reached or read.
        OSError: the target can't be written.
    """
    _check_free(target)
    terms = await archive.terms()
    draft = target.with_name(f"{target.name}.restoring")
    try:
        term, txid, files = await _newest(archive, terms, draft, at_ms)
        counts = inspect(draft)
        # Unlike a rename, this never takes the place of a file that came meanwhile.
        os.link(draft, target)
    finally:
        _remove(draft)
    written_at_ms = min((file.at_ms for file in files if file.max_txid >= txid), default=0)
    return Restored(path=target, term=term, txid=txid, written_at_ms=written_at_ms, counts=counts)


def _check_free(target: Path) -> None:
    for side in _SIDE_FILES:
        path = target.with_name(target.name + side)
        if path.exists():
            raise ArchiveError(f"{path} is there already; restore into another folder")


def _remove(draft: Path) -> None:
    for side in _SIDE_FILES:
        draft.with_name(draft.name + side).unlink(missing_ok=True)


async def window_of(archive: Archive, terms: Sequence[Term]) -> Window | None:
    """From when to when the archive can restore; None when it is empty.

    Raises:
        ArchiveError: it can't be reached or read.
    """
    from_ms = to_ms = None
    for term in terms:
        from_ms = first_moment_ms(await archive.files(term.number))
        if from_ms is not None:
            break
    for term in reversed(terms):
        if files := await archive.files(term.number):
            to_ms = max(file.at_ms for file in files)
            break
    return None if from_ms is None or to_ms is None else Window(from_ms, to_ms)


def inspect(path: Path) -> dict[str, int]:
    """Tasks by state in a restored file, which nobody else has open.

    Raises:
        Unsound: SQLite finds it damaged.
    """
    flags = apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI
    # Otherwise reading would leave files beside it.
    connection = apsw.Connection(f"{path.absolute().as_uri()}?immutable=1", flags=flags)
    try:
        found = [str(line) for (line,) in connection.execute(_CHECK)]
        if found != ["ok"]:
            raise Unsound(f"the restored database is damaged: {'; '.join(found)[:500]}")
        return {str(state): int(tasks) for state, tasks in connection.execute(_COUNT)}
    except apsw.Error as error:
        raise Unsound(f"the restored database is damaged: {error}") from error
    finally:
        connection.close()


async def _newest(
    archive: Archive, terms: Sequence[Term], draft: Path, at_ms: int | None
) -> tuple[int, int, list[ArchivedFile]]:
    """Restores from the last term that has the moment; (term, txid, its files)."""
    begun = [term for term in terms if at_ms is None or term.started_at_ms <= at_ms]
    for term in reversed(begun):
        files = await archive.files(term.number)
        if not files and at_ms is None:
            continue  # it began, and nothing of it arrived
        if not files:
            lacks = f"the archive has nothing of term {term.number}, which had begun by then"
            raise await _outside(archive, terms, lacks)
        with contextlib.suppress(NothingThere):
            txid, files = await _restore_term(archive, term.number, draft, at_ms=at_ms, files=files)
            return term.number, txid, files
        if at_ms is None or at_ms - term.started_at_ms > FIRST_ENTRY_MS:
            # It is in this term, and what the term began with is kept no more.
            break
        # Its first entry was not written yet: the last state of the term before was still the state.
    raise await _outside(archive, terms, "the archive does not reach back to that moment")


async def _restore_term(
    archive: Archive, term: int, draft: Path, *, at_ms: int | None, files: list[ArchivedFile]
) -> tuple[int, list[ArchivedFile]]:
    for _ in range(TRIES_MAX):
        expected = last_txid(files, before_ms=at_ms)
        txid = await archive.restore(term, draft, at_ms=at_ms)
        if txid >= expected:
            return txid, files
        # Entries of the last seconds are put together while they are listed; anything else stays so.
        _remove(draft)
        files = await archive.files(term)
    raise Unsound(
        f"files are missing in the archive of term {term}: it gives transaction {txid}, and lists {expected}"
    )


async def _outside(archive: Archive, terms: Sequence[Term], detail: str) -> OutsideWindow:
    window = await window_of(archive, terms)
    return OutsideWindow(detail if window is not None else "the archive is empty", window)
