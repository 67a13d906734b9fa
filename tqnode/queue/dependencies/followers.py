"""Counts the end of tasks that others wait for: releases these, or cancels them, and so on down the line.

Called by whatever ends or deletes a task. One transaction does a bounded part of it; what is left is a row in
``settlement``, written with the end itself, and done by the sweeper slice by slice.
"""

from collections.abc import Collection, Mapping
from itertools import islice, takewhile

import msgspec

from tqnode.queue import membership, webhooks
from tqnode.queue.rows import listed
from tqnode.sql import statement
from tqnode.store.effects import TaskEvent
from tqnode.store.tx import Row, Tx
from tqnode.task import Needs, Reason, TaskState

_FIND_OPEN = statement("find_open_dependencies")
_CLOSE = statement("close_dependency")
_COUNT_OFF = statement("count_parents_off")
_RELEASE = statement("release_task")
_CANCEL = statement("cancel_follower")
_PUT_OFF = statement("put_settlement_off")
_TAKE = statement("take_settlements")

WAVE_UNITS = 8
"""What one round of statements costs, in dependencies: a chain has a round for each of its tasks."""

_BLOCKED = TaskState.BLOCKED


class Follower(msgspec.Struct):
    """A task that was enqueued after others: a row of ``find_blocked``, and what its parents came to."""

    seq: int
    packed: bytes
    queue: str
    kind: str
    state: str
    priority: int
    run_at_ms: int
    attempt: int
    needs: str
    pending: int
    awaited: int
    notify: int | None
    batch: int | None
    ended: int = 0
    """Parents to take off ``pending``."""
    failed: bool = False
    """Whether one of them ended without success."""


def ended(tx: Tx, parents: Mapping[int, bool]) -> None:
    """Tells those who wait for tasks that have ended, now or, beyond the transaction's bound, soon.

    Args:
        parents: by row number, whether it succeeded; a deleted task did not.
    """
    line = dict(parents)
    tx.settling_left -= _settle(tx, line, tx.settling_left)
    _put_off(tx, line)


def settle_rest(tx: Tx, limit: int) -> int:
    """Goes on with what was put off; how much was done, in units of one dependency."""
    line = {parent: bool(succeeded) for parent, succeeded in sorted(tx.all(_TAKE, {"limit": limit}))}
    taken = len(line)
    if not taken:
        return 0
    used = _settle(tx, line, limit)
    _put_off(tx, line)
    return max(used, taken)


def _put_off(tx: Tx, line: Mapping[int, bool]) -> None:
    if line:
        tx.many(_PUT_OFF, list(line.items()))
        tx.effects.due_ms.append(tx.now_ms)


def _settle(tx: Tx, line: dict[int, bool], room: int) -> int:
    """Works through ``line``, wave by wave, until it is empty or ``room`` is used; how much was.

    Takes out of ``line`` who is done, and adds who was cancelled and is waited for: no depth of a chain is a
    depth of calls.
    """
    used = 0
    while line and used < room:
        limit = room - used
        wave = list(islice(line, limit))
        rows = tx.all(_FIND_OPEN, {"parents": listed(wave), "limit": limit})
        cancelled = _count(tx, rows, line) if rows else []
        # The rows come in the order of the wave: of the last one's parent there may be more.
        unfinished = rows[-1][0] if len(rows) == limit else 0
        for parent in takewhile(unfinished.__ne__, wave):
            del line[parent]
        line.update(dict.fromkeys(cancelled, False))
        used += len(rows) + WAVE_UNITS
    return used


def _count(tx: Tx, rows: list[Row], outcomes: Mapping[int, bool]) -> list[int]:
    """Counts one wave of dependencies; the row numbers of the cancelled tasks that are waited for."""
    tx.many(_CLOSE, [row[:2] for row in rows])
    followers: dict[int, Follower] = {}
    for parent, seq, *rest in rows:
        follower = followers.get(seq)
        if follower is None:
            follower = followers[seq] = Follower(seq, *rest)
        follower.ended += 1
        follower.failed |= not outcomes[parent]
    free, doomed, others = [], [], []
    for follower in followers.values():
        if follower.state != _BLOCKED:
            others.append(follower)
        elif follower.failed and follower.needs == Needs.SUCCEEDED:
            doomed.append(follower)
        elif follower.ended >= follower.pending:
            free.append(follower)
        else:
            others.append(follower)
    if others:
        tx.many(_COUNT_OFF, [(follower.ended, follower.seq) for follower in others])
    release(tx, free)
    return cancel(tx, doomed)


def release(tx: Tx, followers: Collection[Follower]) -> None:
    """Lets blocked tasks go whose parents have all ended: to ready, or to scheduled before their time."""
    if not followers:
        return
    rows = []
    for follower in followers:
        # It gets in line now: how long it waited for others says nothing of how long it could have run.
        due = follower.run_at_ms <= tx.now_ms
        state = TaskState.READY if due else TaskState.SCHEDULED
        run_at_ms = tx.id_ms if due else follower.run_at_ms
        rows.append((state, run_at_ms, follower.seq))
        _record(tx, follower, state)
        tx.effects.entered(follower.queue, follower.kind, follower.priority, state, run_at_ms)
    tx.many(_RELEASE, rows)


def cancel(tx: Tx, followers: Collection[Follower]) -> list[int]:
    """Cancels blocked tasks that a parent has failed; the row numbers of those that are waited for."""
    if not followers:
        return []
    tx.many(_CANCEL, [(follower.ended, tx.now_ms, follower.seq) for follower in followers])
    for follower in followers:
        _record(tx, follower, TaskState.CANCELLED, Reason.DEPENDENCY)
    webhooks.ended(tx, [follower.seq for follower in followers if follower.notify])
    membership.ended(tx, [follower.batch for follower in followers], TaskState.CANCELLED)
    return [follower.seq for follower in followers if follower.awaited]


def _record(tx: Tx, follower: Follower, state: TaskState, reason: Reason | None = None) -> None:
    tx.moved(follower.queue, _BLOCKED, state)
    tx.effects.events.append(
        TaskEvent(follower.packed, follower.queue, follower.kind, state, tx.now_ms, follower.attempt, reason)
    )
