"""Makes tasks: all of a request or none."""

from collections.abc import Sequence
from functools import partial
from operator import attrgetter

import msgspec

from tqnode import ids
from tqnode.clock import Rng
from tqnode.config import Config
from tqnode.errors import IdempotencyMismatch, TqnodeError
from tqnode.queue import keys, roster, webhooks
from tqnode.queue.controls import controls_of
from tqnode.queue.dependencies import linking
from tqnode.queue.logs import replace_log
from tqnode.queue.making import encode_tags, entry, make
from tqnode.queue.moves import counts
from tqnode.queue.quotas import Quotas
from tqnode.queue.remove import replace_tags
from tqnode.queue.results import replace_time
from tqnode.sql import statement
from tqnode.store.effects import TaskEvent
from tqnode.store.tx import Tx
from tqnode.task import REPLACING, WAITING, Enqueued, Idempotency, TaskSpec

_FORGET_PARENTS = statement("forget_parents")
_REPLACE_TASK = statement("replace_task")
_REPLACE_BODY = statement("replace_body")
_FIND_QUEUE = statement("find_queue")
_READ_DEPTH = statement("read_depth")
_MARK_KEYED = statement("mark_keyed")
_FIND_IDEMPOTENCY = statement("find_idempotency")
_ADD_IDEMPOTENCY = statement("add_idempotency")

_after = attrgetter("after")
_queue = attrgetter("queue")
_limit_key = attrgetter("limit_key")
_unique_key = attrgetter("unique_key")

_answers = msgspec.json.Decoder(list[Enqueued])
_some_answers = msgspec.json.Decoder(list[Enqueued | None])


class Enqueuer:
    """The enqueue operations.

    Args:
        config: the limit on their number.
        quotas: the limits on what waits in them.
        rng: the ids' random bits.
    """

    def __init__(self, config: Config, quotas: Quotas, rng: Rng) -> None:
        self._config = config
        self._quotas = quotas
        self._rng = rng

    def once(self, tx: Tx, specs: Sequence[TaskSpec], idempotency: Idempotency | None) -> list[Enqueued]:
        """Enqueues, or answers again what the same key was answered before.

        Raises:
            IdempotencyMismatch: the key came with another body.
            UniqueConflict: a task's key is held and it said ``reject``.
            QueueDraining: a queue takes no new tasks.
            QueueFull: a queue would be deeper, or there would be more queues, than the limits allow.
        """
        known = known_answer(tx, idempotency)
        if known is not None:
            return _answers.decode(known)
        answer = self.enqueue(tx, specs)
        remember(tx, idempotency, answer)
        return answer

    def each(
        self, tx: Tx, specs: Sequence[TaskSpec], idempotency: Idempotency | None
    ) -> list[Enqueued | TqnodeError]:
        """Enqueues each task on its own; in the place of one that can't be, why not.

        Of a repeated key the tasks that were made are answered again, the others tried again.

        Raises:
            IdempotencyMismatch: the key came with another body.
        """
        known = known_answer(tx, idempotency)
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
        remember(tx, idempotency, made)
        return answers

    def enqueue(
        self, tx: Tx, specs: Sequence[TaskSpec], *, batch: int | None = None, follows: bool = False
    ) -> list[Enqueued]:
        """Enqueues all of ``specs`` or raises, having written nothing that survives.

        Args:
            specs: the tasks; what they leave open, their queue's own defaults say first.
            batch: the row number of the batch that new ones become members of, None for none.
            follows: whether they go on what is running already: a drain lets such in.

        Raises:
            UniqueConflict: as in :meth:`once`.
            QueueDraining: as in :meth:`once`.
            QueueFull: as in :meth:`once`.
            InvalidField: a task is to wait for one that is not there.
        """
        controls = controls_of(tx)
        if not controls.given:
            return self._enter(tx, specs, batch=batch, follows=follows)
        filled = list(map(controls.filled, specs))
        made = self._enter(tx, [spec for spec, _ in filled], batch=batch, follows=follows)
        return [
            one if given is None or one.duplicate else msgspec.structs.replace(one, given=given)
            for one, (_, given) in zip(made, filled, strict=True)
        ]

    def _enter(
        self, tx: Tx, specs: Sequence[TaskSpec], *, batch: int | None, follows: bool
    ) -> list[Enqueued]:
        if any(map(_after, specs)):
            # Before the first write: what is undone after that costs the whole group a second run.
            stored = linking.find_parents(tx, specs)
            self._admit(tx, specs, follows=follows)
            made = self._make_all(tx, specs, linked=True, batch=batch)
            return linking.link(tx, specs, made, stored)
        self._admit(tx, specs, follows=follows)
        return self._make_all(tx, specs, batch=batch)

    def _make_all(
        self, tx: Tx, specs: Sequence[TaskSpec], *, linked: bool = False, batch: int | None = None
    ) -> list[Enqueued]:
        """Makes the tasks, or finds those that hold their keys."""
        if not any(map(_unique_key, specs)):
            return self._make(tx, specs, linked=linked, batch=batch)
        answers: list[Enqueued] = []
        fresh: list[TaskSpec] = []
        taken = keys.taken(tx, specs)
        for spec in specs:
            if spec.unique_key is not None:
                name = (spec.kind, spec.unique_key)
                if name in taken:
                    # What comes before in the same request may hold the key.
                    answers += self._make_keyed(tx, fresh, linked=linked, batch=batch)
                    fresh = []
                    survivor = self._settle_key(tx, spec)
                    if survivor is not None:
                        answers.append(survivor)
                        continue
                taken.add(name)
            fresh.append(spec)
        return answers + self._make_keyed(tx, fresh, linked=linked, batch=batch)

    def _make_keyed(
        self, tx: Tx, specs: Sequence[TaskSpec], *, linked: bool, batch: int | None
    ) -> list[Enqueued]:
        """As :meth:`_make`, for tasks of which some have keys."""
        made = self._make(tx, specs, linked=linked, batch=batch)
        for one, spec in zip(made, specs, strict=True):
            if spec.unique_period_ms is not None:
                keys.hold_for(tx, ids.seq_of(ids.parse(one.id)), spec.unique_period_ms)
        return made

    def _make(self, tx: Tx, specs: Sequence[TaskSpec], *, linked: bool, batch: int | None) -> list[Enqueued]:
        return make(tx, specs, rng=self._rng, linked=linked, batch=batch)

    def _enqueue_one(self, tx: Tx, spec: TaskSpec) -> Enqueued:
        return self.enqueue(tx, [spec])[0]

    def _admit(self, tx: Tx, specs: Sequence[TaskSpec], *, follows: bool) -> None:
        """Makes the queues that are new; refuses what would go beyond the limits."""
        more = counts(list(map(_queue, specs)))
        new = []
        for queue in more:
            if queue not in tx.depths:
                if tx.one(_FIND_QUEUE, {"queue": queue}) is None:
                    new.append(queue)
                (tallied,) = tx.one(_READ_DEPTH, {"queue": queue}) or (0,)
                tx.know_depth(queue, tallied)
        self._quotas.admit(tx, specs, more, follows=follows)
        for queue in new:
            roster.add(tx, queue, queues_max=self._config.queues_max, wanted=more)
        if any(map(_limit_key, specs)):
            for queue in {spec.queue for spec in specs if spec.limit_key is not None}:
                tx.run(_MARK_KEYED, {"queue": queue})

    def room(self, tx: Tx, queue: str) -> int:
        """How many tasks a queue still takes; one that is new is made.

        Raises:
            QueueFull: it is new, and there are as many queues as allowed.
        """
        if queue not in tx.depths:
            if tx.one(_FIND_QUEUE, {"queue": queue}) is None:
                roster.add(tx, queue, queues_max=self._config.queues_max, wanted=(queue,))
            (tallied,) = tx.one(_READ_DEPTH, {"queue": queue}) or (0,)
            tx.know_depth(queue, tallied)
        return self._quotas.room(tx, queue)

    def _settle_key(self, tx: Tx, spec: TaskSpec) -> Enqueued | None:
        """Decides who holds a unique key from now on.

        Returns:
            The task that survives in the place of a new one; None if a new one is to be made.

        Raises:
            UniqueConflict: the task said ``reject``.
        """
        holder = keys.holder_of(tx, spec.kind, spec.unique_key)
        if holder is None:
            return None
        if spec.unique_mode == "reject":
            raise keys.conflict(holder.packed, f"the key {spec.unique_key!r}")
        if spec.unique_mode not in REPLACING:
            return Enqueued(ids.text(holder.packed), holder.state, True)
        if holder.state not in WAITING:
            keys.drop(tx, holder.seq)
            return None
        return self._replace(tx, spec, holder)

    def _replace(self, tx: Tx, spec: TaskSpec, holder: keys.Holder) -> Enqueued:
        if holder.needs is not None:
            # Whom it waits for is part of what is replaced.
            tx.run(_FORGET_PARENTS, {"seqs": f"[{holder.seq}]"})
        state, run_at_ms = keys.time_of_both(tx, spec.unique_mode, holder, entry(tx, spec), spec)
        seq, period_ms = holder.seq, spec.unique_period_ms
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
                "limit_key": spec.limit_key,
                "period_ms": period_ms,
                "until_ms": None if period_ms is None else tx.now_ms + period_ms,
            },
        )
        replace_tags(tx, seq, spec.tags)
        replace_log(tx, seq)
        replace_time(tx, seq, spec.result_ttl_ms)
        tags = encode_tags(spec.tags) if spec.tags else None
        body = {"seq": seq, "payload": spec.payload, "meta": spec.meta, "tags": tags, "retry": spec.retry}
        tx.run(_REPLACE_BODY, body)
        if holder.notify is not None:
            webhooks.forget(tx, [seq])
        webhooks.ask(tx, {seq: spec.webhook})
        tx.moved(holder.queue, holder.state, None)
        tx.moved(spec.queue, None, state)
        tx.effects.events.append(TaskEvent(holder.packed, spec.queue, spec.kind, state, tx.now_ms, 0))
        tx.effects.entered(spec.queue, spec.kind, spec.priority, state, run_at_ms)
        return Enqueued(ids.text(holder.packed), state, True)


def known_answer(tx: Tx, idempotency: Idempotency | None) -> bytes | None:
    """What the same key was answered before, as :func:`remember` had it.

    Raises:
        IdempotencyMismatch: the key came with another body.
    """
    if idempotency is None:
        return None
    row = tx.one(_FIND_IDEMPOTENCY, {"key": idempotency.key})
    if row is None:
        return None
    digest, answer = row
    if digest != idempotency.digest:
        raise IdempotencyMismatch("this Idempotency-Key came before with another body")
    return bytes(answer)


def remember(tx: Tx, idempotency: Idempotency | None, answer: object) -> None:
    """Keeps an answer, as JSON, for when the same key comes again."""
    if idempotency is not None:
        row = {
            "key": idempotency.key,
            "digest": idempotency.digest,
            "answer": msgspec.json.encode(answer),
            "now_ms": tx.now_ms,
        }
        tx.run(_ADD_IDEMPOTENCY, row)
