"""Unique keys: who holds one, for how long, and who gives way.

The unique index sees to it that no two tasks of a kind have a key in the states in which they hold it. A key
that is held for a time runs out unseen: whoever meets it next takes it from its holder, so nothing has to
look for such keys.
"""

from collections.abc import Sequence

import msgspec

from tqnode import ids
from tqnode.errors import UniqueConflict
from tqnode.sql import statement
from tqnode.store.tx import Tx
from tqnode.task import TaskSpec, TaskState

_FIND_HOLDER = statement("find_key_holder")
_FIND_TAKEN = statement("find_taken_keys")
_FIND_RIVAL = statement("find_key_rival")
_HOLD_FOR = statement("hold_key_for")
_DROP = statement("drop_key")


class Holder(msgspec.Struct, frozen=True):
    """Who holds a key: a row of ``find_key_holder``."""

    seq: int
    packed: bytes
    state: TaskState
    queue: str
    needs: str | None
    notify: int | None
    run_at_ms: int
    created_at_ms: int


def holder_of(tx: Tx, kind: str, key: str | None) -> Holder | None:
    """Who holds a key now; one that held it for long enough loses it here."""
    row = tx.one(_FIND_HOLDER, {"kind": kind, "unique_key": key})
    if row is None:
        return None
    seq, packed, state, *others, period_ms, until_ms = row
    if until_ms is not None:
        if until_ms <= tx.now_ms:
            drop(tx, seq)
            return None
        if until_ms - period_ms > tx.now_ms:
            # The clock was set back since: the time begins again, else it would last for as much longer.
            hold_for(tx, seq, period_ms)
    return Holder(seq, packed, TaskState(state), *others)


def taken(tx: Tx, specs: Sequence[TaskSpec]) -> set[tuple[str, str | None]]:
    """The keys of new tasks, each with its kind, that a stored task has: of others nothing need be asked."""
    wanted = {(spec.kind, spec.unique_key) for spec in specs if spec.unique_key is not None}
    return set(tx.all(_FIND_TAKEN, {"keys": msgspec.json.encode(list(wanted)).decode()}))


def hold_for(tx: Tx, seq: int, period_ms: int) -> None:
    """Has a task give up its key ``period_ms`` from now, whatever its state is then."""
    tx.run(_HOLD_FOR, {"seq": seq, "period_ms": period_ms, "until_ms": tx.now_ms + period_ms})


def drop(tx: Tx, seq: int) -> None:
    """Takes a task's key from it for good."""
    tx.run(_DROP, {"seq": seq})


def give_way(tx: Tx, seq: int, *, refuse: bool) -> None:
    """Settles that a task comes to hold a key which another holds: one of them loses it.

    Args:
        tx: the transaction.
        seq: the one that comes to hold it. It keeps it only if the other's time is over.
        refuse: whether it is not to come to hold it at all, rather than to lose it.

    Raises:
        UniqueConflict: ``refuse``, and the other holds the key with right.
    """
    row = tx.one(_FIND_RIVAL, {"seq": seq})
    if row is not None:
        packed, rival_until_ms, until_ms, rival = row
        if _is_over(rival_until_ms, tx.now_ms):
            drop(tx, rival)
            return
        if refuse and not _is_over(until_ms, tx.now_ms):
            raise conflict(packed, "this task's unique key by now")
    drop(tx, seq)


def _is_over(until_ms: int | None, now_ms: int) -> bool:
    return until_ms is not None and until_ms <= now_ms


def conflict(holder: bytes, what: str) -> UniqueConflict:
    """The refusal that names the holder."""
    name = ids.text(holder)
    return UniqueConflict(f"task {name} holds {what}", task=name)


def time_of_both(
    tx: Tx, mode: str, holder: Holder, new: tuple[TaskState, int], spec: TaskSpec
) -> tuple[TaskState, int]:
    """State and run_at of a waiting task that gets the content of a new one.

    Args:
        tx: the transaction.
        mode: one of :data:`~tqnode.task.REPLACING`.
        holder: the waiting task.
        new: state and run_at that the new task would enter with.
        spec: says how long ``debounce`` may put it off.
    """
    # How long one waited for its parents says nothing of when it could have run.
    if mode == "replace" or holder.state is TaskState.BLOCKED:
        return new
    run_at_ms = new[1]
    if mode == "keep_earliest":
        run_at_ms = min(run_at_ms, holder.run_at_ms)
    else:
        if spec.unique_wait_max_ms is not None:
            run_at_ms = min(run_at_ms, holder.created_at_ms + spec.unique_wait_max_ms)
        run_at_ms = max(run_at_ms, holder.run_at_ms)
    # Of a task that is ready the time may lie ahead, where the clock was set back.
    ready = any(run_at_ms == at_ms and state is TaskState.READY for state, at_ms in (new, _stands(holder)))
    return TaskState.READY if ready or run_at_ms <= tx.now_ms else TaskState.SCHEDULED, run_at_ms


def _stands(holder: Holder) -> tuple[TaskState, int]:
    return holder.state, holder.run_at_ms
