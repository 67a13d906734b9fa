"""Makes new tasks' rows. Called by the enqueue operations, once it is decided that the tasks may be made."""

from collections.abc import Sequence
from operator import attrgetter

import msgspec

from tqnode import ids
from tqnode.clock import Rng
from tqnode.queue import membership, webhooks
from tqnode.queue.moves import counts
from tqnode.queue.results import note_times
from tqnode.store.tx import Row, Tx
from tqnode.task import Enqueued, TaskSpec, TaskState

_INSERT_TASK = "insert_task"
_INSERT_TIED = "insert_tied_task"
_INSERT_BODY = "insert_body"
_INSERT_TAG = "insert_tag"

# Looked up once: an enum's member costs as much as a short call.
_READY = TaskState.READY
_BLOCKED = TaskState.BLOCKED
_columns = attrgetter(
    *("queue", "kind", "priority", "max_attempts", "lease_ms", "timeout_ms", "expires_at_ms"),
    *("unique_key", "unique_states", "payload", "meta", "tags", "retry", "webhook", "limit_key"),
    *("result_ttl_ms", "run_at_ms"),
)


def make(
    tx: Tx, specs: Sequence[TaskSpec], *, rng: Rng, linked: bool = False, batch: int | None = None
) -> list[Enqueued]:
    """Notes the rows of new tasks, and tells of them.

    Args:
        tx: the transaction.
        specs: the tasks.
        rng: the ids' random bits.
        linked: whether some of them wait for others.
        batch: the row number of the batch that they become members of, None for none.
    """
    if not specs:
        return []
    # Column by column: in a loop, with names, a task takes three times as long.
    (
        queues,
        kinds,
        priorities,
        attempts,
        leases_ms,
        timeouts_ms,
        expiries_ms,
        unique_keys,
        key_states,
        payloads,
        metas,
        tags,
        retries,
        hooks,
        limit_keys,
        ttls_ms,
        asked_ms,
    ) = zip(*map(_columns, specs), strict=True)
    seqs, made_ms, none = tx.take_seqs(len(specs)), tx.id_ms, (None,) * len(specs)
    packed = ids.pack_all(at_ms=made_ms, seqs=seqs, nonces=rng.bits(ids.NONCE_BITS * len(specs)))
    states: Sequence[TaskState] = (_READY,) * len(specs)
    runs_at_ms: Sequence[int] = (made_ms,) * len(specs)
    if linked or any(asked_ms):
        states, runs_at_ms = zip(*[entry(tx, spec) for spec in specs], strict=True)
    if any(unique_keys):
        pairs = zip(unique_keys, key_states, strict=True)
        key_states = tuple([None if key is None else kept for key, kept in pairs])
    else:
        key_states = none
    before = (seqs, packed, queues, kinds, states, priorities, runs_at_ms, (made_ms,) * len(specs))
    limits = (attempts, leases_ms, timeouts_ms, expiries_ms, unique_keys, key_states)
    rows: list[Row] = list(zip(*before, *limits, strict=True))
    if linked or batch is not None or any(limit_keys):
        ties = [(spec.needs, len(spec.after), spec.limit_key, batch) for spec in specs]
        tx.insert(_INSERT_TIED, [(*row, *tie) for row, tie in zip(rows, ties, strict=True)])
        if batch is not None:
            membership.joined(tx, batch, len(specs))
    else:
        tx.insert(_INSERT_TASK, rows)
    tagged = [encode_tags(some) if some else None for some in tags] if any(tags) else none
    tx.insert(_INSERT_BODY, list(zip(seqs, payloads, metas, tagged, retries, strict=True)))
    if tagged is not none:
        tx.insert(_INSERT_TAG, [(tag, seq) for seq, some in zip(seqs, tags, strict=True) for tag in some])
    if any(hooks):
        webhooks.ask(tx, dict(zip(seqs, hooks, strict=True)))
    if any(ttls_ms):
        times = zip(seqs, ttls_ms, strict=True)
        note_times(tx, [(seq, ttl_ms) for seq, ttl_ms in times if ttl_ms is not None])
    _tell(tx, packed, queues, kinds, priorities, states, runs_at_ms)
    return list(map(Enqueued, ids.texts(packed), states, (False,) * len(specs), runs_at_ms))


def _tell(
    tx: Tx,
    packed: Sequence[bytes],
    queues: Sequence[str],
    kinds: Sequence[str],
    priorities: Sequence[int],
    states: Sequence[TaskState],
    runs_at_ms: Sequence[int],
) -> None:
    """Tells of new tasks, for who follows them, who waits for some, and the tallies."""
    effects = tx.effects
    effects.events.tell(packed, queues, kinds, states, tx.now_ms, (0,) * len(packed))
    if states.count(_READY) == len(states):
        effects.ready += zip(queues, kinds, priorities, strict=True)
    else:
        for entering in zip(queues, kinds, priorities, states, runs_at_ms, strict=True):
            effects.entered(*entering)
    for (queue, state), tasks in counts(list(zip(queues, states, strict=True))).items():
        tx.moved(queue, None, state, tasks)


def entry(tx: Tx, spec: TaskSpec) -> tuple[TaskState, int]:
    """The state a new task enters, and its run_at."""
    if spec.after:
        return _BLOCKED, tx.id_ms if spec.run_at_ms is None else spec.run_at_ms
    # Tasks for now take the ids' time, which never steps back: FIFO survives a clock that does.
    if spec.run_at_ms is None or spec.run_at_ms <= tx.now_ms:
        return _READY, tx.id_ms
    return TaskState.SCHEDULED, spec.run_at_ms


def encode_tags(tags: Sequence[str]) -> str:
    """A task's tags as they are stored."""
    return msgspec.json.encode(tags).decode()
