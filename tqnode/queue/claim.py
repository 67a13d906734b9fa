"""Hands ready tasks to a worker, under a lease."""

from collections.abc import Iterator, Sequence
from contextlib import closing
from functools import partial
from itertools import islice
from typing import Any

from msgspec.structs import replace

from tqnode import ids
from tqnode.clock import Rng
from tqnode.queue import token
from tqnode.queue.controls import controls_of
from tqnode.queue.dependencies.inputs import with_inputs
from tqnode.queue.limits.ageing import AgedLanes
from tqnode.queue.limits.kinds import first_of, ready_kinds
from tqnode.queue.limits.lanes import Lanes, Walk
from tqnode.queue.limits.rules import rules_of
from tqnode.queue.membership import with_batches
from tqnode.queue.rows import listed, texts_of
from tqnode.sql import statement
from tqnode.store.tx import Row, Tx
from tqnode.task import Ask, ClaimedTask, TaskState

_FIND = statement("find_claimable")
_CLAIM_ONE = statement("claim_task")
_CLAIM_MANY = statement("claim_tasks")
_READ_CLAIMABLE = statement("read_claimable")
_CLAIM_LIMITED = statement("claim_limited")
_FIND_QUEUE = statement("find_queue")
_FIND_QUEUE_AND_KINDS = statement("find_queue_and_kinds")
_FIND_WORKER_STATE = statement("find_worker_state")

PAYLOADS_MAX = 16 * 1024 * 1024
"""Bytes of payload after which a claim takes no further task."""
_PAYLOAD = 12
_PLAIN_COLUMNS = 17
_KEYED = 1
"""The bit of a queue's ``lanes`` that says that its tasks may have keys."""
_READ_AHEAD = 16
"""Rows read at a time; a claim's last ones may be read in vain."""


def claim(tx: Tx, ask: Ask, rng: Rng, walk: Walk | None = None) -> list[ClaimedTask] | None:
    """Claims up to ``ask.max`` tasks, best first; None for a worker that was told to be quiet.

    Payloads of more than :data:`PAYLOADS_MAX` together end it early: the answer has to fit in memory.

    Args:
        ask: what is asked for.
        rng: the token's secret.
        walk: where it goes on among very many keys, and is to go on next; None: as at first.
    """
    walk = walk or Walk()
    walk.next = None
    steered = tx.one(_FIND_WORKER_STATE, {"id": ask.worker})
    if steered is not None and steered[0] != "run":
        return None
    controls = controls_of(tx)
    if controls.pause is not None and controls.stands_still(tx.now_ms):
        return []
    claimed: list[ClaimedTask] = []
    room = PAYLOADS_MAX
    secret = rng.bits(token.SECRET_BITS)
    for queue in ask.queues:
        wanted = ask.max - len(claimed)
        if wanted == 0 or room <= 0:
            break
        known = tx.one(_FIND_QUEUE_AND_KINDS if ask.kinds is None else _FIND_QUEUE, {"queue": queue})
        if known is None or (known[0] and controls.pauses_queue(queue, tx.now_ms)):
            continue
        params = {
            "queue": queue,
            "worker": ask.worker,
            "secret": secret,
            "lease_ms": ask.lease_ms,
            "min_priority": ask.min_priority,
            "now_ms": tx.now_ms,
            "max": wanted,
        }
        if known[1] or queue in controls.ages:
            rows, room = _claim_limited(
                tx, ask, params, room, lanes=known[1], walk=walk, milli=controls.ages.get(queue)
            )
            if walk.next is not None and not rows:
                break  # The queues after it have their turn when it is known that this one has nothing.
        else:
            kinds = _kinds_of(tx, queue, *known[2:]) if ask.kinds is None else ask.kinds
            rows, room = _claim_plain(tx, kinds, params, room)
        if not rows:
            continue
        claimed += _hand_over(tx, ask, queue, secret, rows)
        tx.moved(queue, TaskState.READY, TaskState.RUNNING, len(rows))
    return claimed


def _kinds_of(tx: Tx, queue: str, first: str | None, last: str | None) -> Sequence[str]:
    """The kinds that a queue has ready tasks of, given the first and the last of them."""
    if first is None or last is None:
        return ()
    return (first,) if first == last else ready_kinds(tx, queue)


def _claim_plain(tx: Tx, kinds: Sequence[str], params: dict[str, Any], room: int) -> tuple[list[Row], int]:
    """Claims from a queue without keys and limits; the rows as they were before, and what room is left."""
    rows: list[Row] = []
    if len(kinds) == 1:
        # The statement that finds them holds nothing up: nobody else writes during the transaction.
        with closing(tx.each(_FIND, {**params, "kind": kinds[0]})) as found:
            rows, room = _within(found, params["max"], room)
    elif kinds:
        low, wanted = params["min_priority"], params["max"]
        kinds = tuple(dict.fromkeys(kinds))
        rows, room = _read(tx, first_of(tx, params["queue"], kinds, min_priority=low, wanted=wanted), room)
    if len(rows) == 1:
        tx.run(_CLAIM_ONE, params | {"seq": rows[0][0]})
    elif rows:
        tx.run(_CLAIM_MANY, params | {"seqs": listed([row[0] for row in rows])})
    return rows, room


def _claim_limited(
    tx: Tx, ask: Ask, params: dict[str, Any], room: int, *, lanes: int, walk: Walk, milli: int | None
) -> tuple[list[Row], int]:
    """As :func:`_claim_plain` from any other queue; the rows end with the tasks' keys."""
    line = (Lanes if milli is None else partial(AgedLanes, milli))(
        tx,
        rules_of(tx),
        params["queue"],
        kinds=ask.kinds,
        min_priority=ask.min_priority,
        keyed=bool(lanes & _KEYED),
        at=walk.place_in(params["queue"]),
    )
    seqs = line.pick(params["max"])
    if line.place is not None:
        walk.next = (params["queue"], line.place)
    rows, room = _read(tx, seqs, room)
    if rows:
        claimed = {"seqs": listed([row[0] for row in rows]), "slot": line.slot}
        tx.run(_CLAIM_LIMITED, params | claimed)
        line.taken(rows)
    return rows, room


def _read(tx: Tx, seqs: list[int], room: int) -> tuple[list[Row], int]:
    """As :func:`_within`, of the tasks with these row numbers."""
    if not seqs:
        return [], room
    with closing(tx.each(_READ_CLAIMABLE, {"seqs": listed(seqs)})) as found:
        return _within(found, len(seqs), room)


def _within(found: Iterator[Row], wanted: int, room: int) -> tuple[list[Row], int]:
    """The first ``wanted`` rows, or those with which the payloads take ``room``; and what room is left."""
    rows: list[Row] = []
    while room > 0 and (part := list(islice(found, min(_READ_AHEAD, wanted - len(rows))))):
        size = sum([len(row[_PAYLOAD]) for row in part])
        while size - len(part[-1][_PAYLOAD]) >= room:
            size -= len(part.pop()[_PAYLOAD])
        room -= size
        rows += part
    return rows, room


def _hand_over(tx: Tx, ask: Ask, queue: str, secret: int, rows: list[Row]) -> list[ClaimedTask]:
    """The tasks as they are now; ``rows`` are from before their claim."""
    keys: list[str | None] = []
    if len(rows[0]) > _PLAIN_COLUMNS:
        keys = [row[_PLAIN_COLUMNS] for row in rows]
        rows = [row[:_PLAIN_COLUMNS] for row in rows]
    (
        _,
        packed,
        kinds,
        priorities,
        runs_at_ms,
        grants,
        attempts_before,
        max_attempts,
        crashes,
        leases_ms,
        timeouts_ms,
        created_at_ms,
        payloads,
        metas,
        tags,
        needs,
        batches,
    ) = zip(*rows, strict=True)
    now_ms = tx.now_ms
    attempts = [attempt + 1 for attempt in attempts_before]
    if ask.lease_ms is not None:
        leases_ms = (ask.lease_ms,) * len(rows)
    # Most have been claimed equally often.
    tokens = {before: token.write(before + 1, secret) for before in {*grants}}
    queues, states = (queue,) * len(rows), (TaskState.RUNNING,) * len(rows)
    tx.effects.events.tell(packed, queues, kinds, states, now_ms, attempts)
    # By position, column by column: in a loop, with names, a task takes three times as long.
    claimed = list(
        map(
            ClaimedTask,
            ids.texts(packed),
            map(tokens.__getitem__, grants),
            queues,
            kinds,
            priorities,
            attempts,
            max_attempts,
            crashes,
            leases_ms,
            [now_ms + lease_ms for lease_ms in leases_ms],
            timeouts_ms,
            created_at_ms,
            runs_at_ms,
            payloads,
            metas,
            [texts_of(one) if one else () for one in tags],
        )
    )
    if any(needs):
        after = [task for task, need in zip(claimed, needs, strict=True) if need]
        whole = iter(with_inputs(tx, after))
        claimed = [next(whole) if need else task for task, need in zip(claimed, needs, strict=True)]
    if any(keys):
        pairs = zip(claimed, keys, strict=True)
        claimed = [replace(task, limit_key=key) if key else task for task, key in pairs]
    if any(batches):
        claimed = with_batches(tx, claimed, batches)
    return claimed
