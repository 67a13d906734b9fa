"""Makes tasks: all of a request or none."""

from collections.abc import Iterable, Sequence
from functools import partial
from itertools import repeat
from operator import attrgetter

import msgspec

from tqnode import ids
from tqnode.clock import Rng
from tqnode.config import Config
from tqnode.errors import IdempotencyMismatch, QueueFull, TqnodeError, UniqueConflict
from tqnode.queue import linking
from tqnode.queue.moves import counts
from tqnode.queue.remove import replace_tags
from tqnode.sql import statement
from tqnode.store.tx import Row, TaskEvent, Tx
from tqnode.task import WAITING, Enqueued, Idempotency, TaskSpec, TaskState

_INSERT_TASK = "insert_task"
_INSERT_LINKED = "insert_linked_task"
_INSERT_BODY = "insert_body"
_INSERT_TAG = "insert_tag"
_FIND_KEY_HOLDER = statement("find_key_holder")
_DROP_KEY = statement("drop_key")
_FORGET_PARENTS = statement("forget_parents")
_REPLACE_TASK = statement("replace_task")
_REPLACE_BODY = statement("replace_body")
_FIND_QUEUE = statement("find_queue")
_FIND_EMPTY_QUEUES = statement("find_empty_queues")
_DROP_QUEUE = statement("drop_queue")
_DROP_TALLIES = statement("drop_tallies")
_COUNT_QUEUES = statement("count_queues")
_ADD_QUEUE = statement("add_queue")
_READ_DEPTH = statement("read_depth")
_FIND_IDEMPOTENCY = statement("find_idempotency")
_ADD_IDEMPOTENCY = statement("add_idempotency")

# Looked up once: an enum's member costs as much as a short call.
_READY = TaskState.READY
_BLOCKED = TaskState.BLOCKED
_after = attrgetter("after")

_answers = msgspec.json.Decoder(list[Enqueued])
_some_answers = msgspec.json.Decoder(list[Enqueued | None])


class Enqueuer:
    """The enqueue operations.

    Args:
        config: the limits on queues.
        rng: the ids' random bits.
    """

    def __init__(self, config: Config, rng: Rng) -> None:
        self._config = config
        self._rng = rng

    def once(self, tx: Tx, specs: Sequence[TaskSpec], idempotency: Idempotency | None) -> list[Enqueued]:
        """Enqueues, or answers again what the same key was answered before.

        Raises:
            IdempotencyMismatch: the key came with another body.
            UniqueConflict: a task's key is held and it said ``reject``.
            QueueFull: a queue would be deeper, or there would be more queues, than the limits allow.
        """
        known = _known_answer(tx, idempotency)
        if known is not None:
            return _answers.decode(known)
        answer = self.enqueue(tx, specs)
        _remember(tx, idempotency, answer)
        return answer

    def each(
        self, tx: Tx, specs: Sequence[TaskSpec], idempotency: Idempotency | None
    ) -> list[Enqueued | TqnodeError]:
        """Enqueues each task on its own; in the place of one that can't be, why not.

        Of a repeated key the tasks that were made are answered again, the others tried again.

        Raises:
            IdempotencyMismatch: the key came with another body.
        """
        known = _known_answer(tx, idempotency)
        earlier = _some_answers.decode(known) if known is not None else [None] * len(specs)
        if len(earlier) != len(specs):
            # What was valid then may not be now: a moment that has passed, a limit that was lowered.
            raise IdempotencyMismatch(
                "tasks that came first with this Idempotency-Key are not valid any more"
            )
        answers: list[Enqueued | TqnodeError] = []
        for spec, before in zip(specs, earlier, strict=True):
            try:
                answers.append(before or tx.atomically(partial(self._enqueue_one, tx, spec)))
            except TqnodeError as error:
                answers.append(error)
        made = [answer if isinstance(answer, Enqueued) else None for answer in answers]
        _remember(tx, idempotency, made)
        return answers

    def enqueue(self, tx: Tx, specs: Sequence[TaskSpec]) -> list[Enqueued]:
        """Enqueues all of ``specs`` or raises, having written nothing that survives.

        Raises:
            UniqueConflict: as in :meth:`once`.
            QueueFull: as in :meth:`once`.
            InvalidField: a task is to wait for one that is not there.
        """
        if any(map(_after, specs)):
            # Before the first write: what is undone after that costs the whole group a second run.
            stored = linking.find_parents(tx, specs)
            self._admit(tx, specs)
            return linking.link(tx, specs, self._make_all(tx, specs, linked=True), stored)
        self._admit(tx, specs)
        return self._make_all(tx, specs)

    def _make_all(self, tx: Tx, specs: Sequence[TaskSpec], *, linked: bool = False) -> list[Enqueued]:
        """Makes the tasks, or finds those that hold their keys."""
        answers: list[Enqueued] = []
        fresh: list[TaskSpec] = []
        for spec in specs:
            if spec.unique_key is not None:
                # What comes before in the same request may hold the key.
                answers += self._make(tx, fresh, linked=linked)
                fresh = []
                survivor = self._settle_key(tx, spec)
                if survivor is not None:
                    answers.append(survivor)
                    continue
            fresh.append(spec)
        return answers + self._make(tx, fresh, linked=linked)

    def _enqueue_one(self, tx: Tx, spec: TaskSpec) -> Enqueued:
        return self.enqueue(tx, [spec])[0]

    def _make(self, tx: Tx, specs: Sequence[TaskSpec], *, linked: bool) -> list[Enqueued]:
        """Notes the rows of new tasks, and tells of them; ``linked``: some of them wait for others."""
        if not specs:
            return []
        seqs, made_ms = tx.take_seqs(len(specs)), tx.id_ms
        nonces = self._rng.bits(ids.NONCE_BITS * len(specs))
        packed = ids.pack_all(at_ms=made_ms, seqs=seqs, nonces=nonces)
        states, runs_at_ms = _entries(tx, specs, linked=linked)
        queues, kinds = [spec.queue for spec in specs], [spec.kind for spec in specs]
        columns = zip(seqs, packed, queues, kinds, states, runs_at_ms, specs, strict=True)
        rows: list[Row] = [
            (
                seq,
                task_id,
                queue,
                kind,
                state,
                spec.priority,
                run_at_ms,
                made_ms,
                spec.max_attempts,
                spec.lease_ms,
                spec.timeout_ms,
                spec.expires_at_ms,
                spec.unique_key,
                None if spec.unique_key is None else spec.unique_states,
            )
            for seq, task_id, queue, kind, state, run_at_ms, spec in columns
        ]
        if linked:
            pairs = zip(rows, specs, strict=True)
            tx.insert(_INSERT_LINKED, [(*row, spec.needs, len(spec.after)) for row, spec in pairs])
        else:
            tx.insert(_INSERT_TASK, rows)
        tx.insert(
            _INSERT_BODY,
            [
                (seq, spec.payload, spec.meta, _encode_tags(spec) if spec.tags else None, spec.retry)
                for seq, spec in zip(seqs, specs, strict=True)
            ],
        )
        tags = [(tag, seq) for seq, spec in zip(seqs, specs, strict=True) for tag in spec.tags]
        if tags:
            tx.insert(_INSERT_TAG, tags)
        effects = tx.effects
        effects.events += map(TaskEvent, packed, queues, kinds, states, repeat(tx.now_ms), repeat(0))
        for spec, state, run_at_ms in zip(specs, states, runs_at_ms, strict=True):
            effects.entered(spec.queue, spec.kind, spec.priority, state, run_at_ms)
        entered = list(zip(queues, states, strict=True))
        for (queue, state), tasks in counts(entered).items():
            tx.moved(queue, None, state, tasks)
        return list(map(Enqueued, ids.texts(packed), states, repeat(False), runs_at_ms))

    def _admit(self, tx: Tx, specs: Sequence[TaskSpec]) -> None:
        """Makes the queues that are new; refuses what would go beyond the limits."""
        more: dict[str, int] = {}
        for spec in specs:
            more[spec.queue] = more.get(spec.queue, 0) + 1
        limit = self._config.queue_depth_max
        new = []
        for queue, count in more.items():
            depth = tx.depths.get(queue)
            if depth is None:
                if tx.one(_FIND_QUEUE, {"queue": queue}) is None:
                    new.append(queue)
                (tallied,) = tx.one(_READ_DEPTH, {"queue": queue}) or (0,)
                depth = tx.know_depth(queue, tallied)
            if depth + count > limit:
                raise QueueFull(
                    f"queue {queue} holds {depth} waiting tasks; its limit is {limit}", retry_after_s=5.0
                )
        for queue in new:
            self._add_queue(tx, queue, wanted=more)

    def room(self, tx: Tx, queue: str) -> int:
        """How many tasks a queue still takes; one that is new is made.

        Raises:
            QueueFull: it is new, and there are as many queues as allowed.
        """
        depth = tx.depths.get(queue)
        if depth is None:
            if tx.one(_FIND_QUEUE, {"queue": queue}) is None:
                self._add_queue(tx, queue, wanted=(queue,))
            (tallied,) = tx.one(_READ_DEPTH, {"queue": queue}) or (0,)
            depth = tx.know_depth(queue, tallied)
        return max(0, self._config.queue_depth_max - depth)

    def _add_queue(self, tx: Tx, queue: str, *, wanted: Iterable[str]) -> None:
        """Makes a queue, in the place of those that nobody needs if there are too many, ``wanted`` aside."""
        (queues,) = tx.one(_COUNT_QUEUES) or (0,)
        if queues >= self._config.queues_max and not _drop_empty_queues(tx, wanted):
            raise QueueFull(f"there are {queues} queues already, the most allowed", retry_after_s=60.0)
        tx.run(_ADD_QUEUE, {"queue": queue, "now_ms": tx.now_ms})

    def _settle_key(self, tx: Tx, spec: TaskSpec) -> Enqueued | None:
        """Decides who holds a unique key from now on.

        Returns:
            The task that survives in the place of a new one; None if a new one is to be made.

        Raises:
            UniqueConflict: the task said ``reject``.
        """
        holder = tx.one(_FIND_KEY_HOLDER, {"kind": spec.kind, "unique_key": spec.unique_key})
        if holder is None:
            return None
        seq, packed, state = holder[:3]
        if spec.unique_mode == "reject":
            raise UniqueConflict(
                f"task {ids.text(packed)} holds the key {spec.unique_key!r}", task=ids.text(packed)
            )
        if spec.unique_mode == "skip":
            return Enqueued(ids.text(packed), TaskState(state), True)
        if TaskState(state) not in WAITING:
            tx.run(_DROP_KEY, {"seq": seq})
            return None
        return self._replace(tx, spec, holder)

    def _replace(self, tx: Tx, spec: TaskSpec, holder: Row) -> Enqueued:
        seq, packed, before, queue, needs = holder
        if needs is not None:
            tx.run(_FORGET_PARENTS, {"seqs": f"[{seq}]"})  # whom it waits for is part of what is replaced
        state, run_at_ms = entry(tx, spec)
        tx.run(
            _REPLACE_TASK,
            {
                "seq": seq,
                "queue": spec.queue,
                "state": state,
                "priority": spec.priority,
                "run_at_ms": run_at_ms,
                "max_attempts": spec.max_attempts,
                "lease_ms": spec.lease_ms,
                "timeout_ms": spec.timeout_ms,
                "expires_at_ms": spec.expires_at_ms,
                "unique_states": spec.unique_states,
            },
        )
        replace_tags(tx, seq, spec.tags)
        tags = _encode_tags(spec) if spec.tags else None
        body = {"seq": seq, "payload": spec.payload, "meta": spec.meta, "tags": tags, "retry": spec.retry}
        tx.run(_REPLACE_BODY, body)
        tx.moved(queue, TaskState(before), None)
        tx.moved(spec.queue, None, state)
        tx.effects.events.append(TaskEvent(packed, spec.queue, spec.kind, state, tx.now_ms, 0))
        tx.effects.entered(spec.queue, spec.kind, spec.priority, state, run_at_ms)
        return Enqueued(ids.text(packed), state, True)


def entry(tx: Tx, spec: TaskSpec) -> tuple[TaskState, int]:
    """The state a new task enters, and its run_at."""
    if spec.after:
        return _BLOCKED, tx.id_ms if spec.run_at_ms is None else spec.run_at_ms
    # Tasks for now take the ids' time, which never steps back: FIFO survives a clock that does.
    if spec.run_at_ms is None or spec.run_at_ms <= tx.now_ms:
        return _READY, tx.id_ms
    return TaskState.SCHEDULED, spec.run_at_ms


def _entries(tx: Tx, specs: Sequence[TaskSpec], *, linked: bool) -> tuple[Sequence[TaskState], Sequence[int]]:
    """The states that new tasks enter, and their run_at."""
    if linked or any(spec.run_at_ms for spec in specs):
        states, runs_at_ms = zip(*[entry(tx, spec) for spec in specs], strict=True)
        return states, runs_at_ms
    return (_READY,) * len(specs), (tx.id_ms,) * len(specs)


def _encode_tags(spec: TaskSpec) -> str:
    return msgspec.json.encode(spec.tags).decode()


def _known_answer(tx: Tx, idempotency: Idempotency | None) -> bytes | None:
    if idempotency is None:
        return None
    row = tx.one(_FIND_IDEMPOTENCY, {"key": idempotency.key})
    if row is None:
        return None
    digest, answer = row
    if digest != idempotency.digest:
        raise IdempotencyMismatch("this Idempotency-Key came before with another body")
    return bytes(answer)


def _remember(tx: Tx, idempotency: Idempotency | None, answer: Sequence[Enqueued | None]) -> None:
    if idempotency is not None:
        row = {
            "key": idempotency.key,
            "digest": idempotency.digest,
            "answer": msgspec.json.encode(answer),
            "now_ms": tx.now_ms,
        }
        tx.run(_ADD_IDEMPOTENCY, row)


def _drop_empty_queues(tx: Tx, wanted: Iterable[str]) -> int:
    """Forgets the queues without a task that nobody has paused, but for the wanted ones; how many.

    Without that, names that are used once would use up the number of queues for good.
    """
    # What this group did is not in the tallies yet.
    touched = {move[0] for move in tx.effects.moves} | {*wanted}
    empty = [name for (name,) in tx.all(_FIND_EMPTY_QUEUES) if name not in touched]
    for name in empty:
        tx.run(_DROP_QUEUE, {"queue": name})
        tx.run(_DROP_TALLIES, {"queue": name})
        tx.depths.pop(name, None)
    return len(empty)
