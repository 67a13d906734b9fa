"""Bulk operations as they are stored: begun, read, listed, advanced slice by slice, stopped."""

from enum import StrEnum

import msgspec

from tqnode import ids
from tqnode.clock import Rng
from tqnode.errors import IdempotencyMismatch, InvalidField, NotFound
from tqnode.queue import cursors
from tqnode.queue.rows import Reads
from tqnode.queue.search import Filters
from tqnode.sql import statement
from tqnode.store import Reader, Tx
from tqnode.store.tx import Row
from tqnode.task import Idempotency

_READ = statement("read_bulk")
_LIST = statement("list_bulks")
_NEXT_TURN = statement("next_turn")
_FIND_KEY = statement("find_bulk_of_key")
_COUNT_RUNNING = statement("count_running_bulks")
_NEXT_SEQ = statement("next_bulk_seq")
_LAST_TURN = statement("last_turn")
_ADD = statement("add_bulk")
_ADVANCE = statement("advance_bulk")
_STOP = statement("stop_bulk")
_FORGET = statement("forget_bulks")
_FIRST_TASK = statement("first_task")

_filters = msgspec.json.Decoder(Filters)
_skips = msgspec.json.Decoder(dict[str, int])


class Action(StrEnum):
    """What is done to each task."""

    CANCEL = "cancel"
    RETRY = "retry"
    DELETE = "delete"
    MOVE = "move"
    REPRIORITIZE = "reprioritize"


class BulkState(StrEnum):
    RUNNING = "running"
    """It goes on, slice by slice."""
    DONE = "done"
    """All tasks were looked at."""
    CANCELLED = "cancelled"
    """By a person: what was done stays done."""


class BulkSpec(msgspec.Struct, frozen=True, kw_only=True):
    """What to do, and to which tasks: ``queue`` goes with a move, ``priority`` with a new priority."""

    action: Action
    filters: Filters
    queue: str | None = None
    priority: int | None = None


class Bulk(msgspec.Struct, frozen=True, kw_only=True):
    """A bulk operation as it stands.

    Args:
        first, last: the row numbers of the tasks it is about: those that were there when it began.
        reached: the last one that was looked at.
        matched: tasks that matched when they were looked at: those done and those skipped.
        asked: of those done, running tasks that were asked to stop.
        skips: how many were left as they were, for each reason.
    """

    seq: int
    id: str
    spec: BulkSpec
    state: BulkState
    first: int
    last: int
    reached: int
    matched: int
    done: int
    asked: int
    skips: dict[str, int]
    created_at_ms: int
    finished_at_ms: int | None

    @property
    def progress(self) -> float:
        """Which part of the tasks it has looked at, from 0 to 1."""
        if self.state is BulkState.DONE or self.last < self.first:
            return 1.0
        return (self.reached - self.first + 1) / (self.last - self.first + 1)


class BulkPage(msgspec.Struct, frozen=True):
    """``next_cursor`` is None on the last page."""

    bulks: list[Bulk]
    next_cursor: str | None


def begin(
    tx: Tx, spec: BulkSpec, *, rng: Rng, running_max: int, kept_max: int, idempotency: Idempotency | None
) -> str:
    """Stores an operation that is to be done, or finds the one that the same key has begun; its id.

    Args:
        rng: the id's random bits.
        running_max: how many may be under way.
        kept_max: how many of those that have ended stay.
        idempotency: the request's key.

    Raises:
        IdempotencyMismatch: the key came with another body.
        InvalidField: too many are under way.
    """
    if idempotency is not None:
        known = tx.one(_FIND_KEY, {"key": idempotency.key})
        if known is not None:
            if known[1] != idempotency.digest:
                raise IdempotencyMismatch("this Idempotency-Key came before with another body")
            return ids.text(known[0])
    (running,) = tx.one(_COUNT_RUNNING) or (0,)
    if running >= running_max:
        raise InvalidField(
            f"{running} bulk operations are under way, the most allowed: wait for one, or cancel one",
            limit=running_max,
            code="too_many_bulks",
        )
    tx.run(_FORGET, {"kept": kept_max})
    (seq,) = tx.one(_NEXT_SEQ) or (1,)
    (first,) = tx.one(_FIRST_TASK) or (1,)
    (turn,) = tx.one(_LAST_TURN) or (0,)
    packed = ids.pack(at_ms=tx.now_ms, seq=seq, nonce=rng.bits(ids.NONCE_BITS))
    tx.run(
        _ADD,
        {
            "seq": seq,
            "id": packed,
            "action": spec.action,
            "filter": msgspec.json.encode(spec.filters),
            "queue": spec.queue,
            "priority": spec.priority,
            "first": first,
            "last": tx.next_seq - 1,
            "turn": turn + 1,
            "now_ms": tx.now_ms,
            "key": None if idempotency is None else idempotency.key,
            "digest": None if idempotency is None else idempotency.digest,
        },
    )
    tx.effects.due_ms.append(tx.now_ms)
    return ids.text(packed)


def read(reader: Reads, bulk_id: str) -> Bulk:
    """One operation.

    Raises:
        NotFound: there is none, or none any more.
    """
    try:
        packed = ids.parse(bulk_id)
    except ValueError:
        raise NotFound("bulk", bulk_id) from None
    row = reader.one(_READ, {"seq": ids.seq_of(packed), "id": packed})
    if row is None:
        raise NotFound("bulk", bulk_id)
    return _bulk_of(row)


def page(reader: Reader, *, limit: int, cursor: str | None) -> BulkPage:
    """Operations, newest first.

    Raises:
        InvalidCursor: no page ended with this cursor.
    """
    before = cursors.seq_of(cursor)
    rows = reader.all(_LIST, {"before": before, "limit": limit + 1})
    shown = [_bulk_of(row) for row in rows[:limit]]
    return BulkPage(shown, cursors.of_seq(shown[-1].seq) if len(rows) > limit else None)


def next_in_turn(tx: Tx) -> Bulk | None:
    """The one under way whose turn it is; None without any."""
    row = tx.one(_NEXT_TURN)
    return None if row is None else _bulk_of(row)


def advance(tx: Tx, bulk: Bulk) -> None:
    """Stores how far it has come; it is another's turn then."""
    (turn,) = tx.one(_LAST_TURN) or (0,)
    tx.run(
        _ADVANCE,
        {
            "seq": bulk.seq,
            "reached": bulk.reached,
            "matched": bulk.matched,
            "done": bulk.done,
            "asked": bulk.asked,
            "skips": msgspec.json.encode(bulk.skips),
            "turn": turn + 1,
            "state": bulk.state,
            "finished_at_ms": bulk.finished_at_ms,
        },
    )


def stop(tx: Tx, bulk_id: str) -> None:
    """Ends one that is under way where it stands; leaves one that has ended.

    Raises:
        NotFound: there is none, or none any more.
    """
    tx.run(_STOP, {"seq": read(tx, bulk_id).seq, "now_ms": tx.now_ms})


def _bulk_of(row: Row) -> Bulk:
    return Bulk(
        seq=row[0],
        id=ids.text(row[1]),
        spec=BulkSpec(action=Action(row[2]), filters=_filters.decode(row[3]), queue=row[4], priority=row[5]),
        state=BulkState(row[6]),
        first=row[7],
        last=row[8],
        reached=row[9],
        matched=row[10],
        done=row[11],
        asked=row[12],
        skips=_skips.decode(row[13]),
        created_at_ms=row[14],
        finished_at_ms=row[15],
    )
