"""Ends an attempt: complete, fail, snooze. Fenced by the token, and repeatable with it."""

from collections.abc import Sequence
from contextlib import suppress
from itertools import compress, islice, repeat
from typing import Any

import apsw
import msgspec

from tqnode import ids
from tqnode.clock import Rng
from tqnode.errors import InvalidField, LeaseLost, NotFound, TqnodeError
from tqnode.metrics import Metrics
from tqnode.queue import membership, token, webhooks
from tqnode.queue.dependencies import followers
from tqnode.queue.enqueue import Enqueuer
from tqnode.queue.limits.rules import freed
from tqnode.queue.moves import Held, Movement, counts, move, place_in_line_ms
from tqnode.queue.rows import listed, place
from tqnode.retry import backoff_ms
from tqnode.sql import statement
from tqnode.store.effects import TaskEvent
from tqnode.store.tx import Row, Tx
from tqnode.task import Complete, Fail, Finish, Finished, Reason, Snooze, TaskError, TaskState

_COMPLETE = statement("complete_task")
_COMPLETE_MANY = statement("complete_tasks")
_READ_RUNNING = statement("read_running")
_READ_HELD = statement("read_held")
_WRITE_RECEIPT = statement("write_receipt")
_WRITE_RESULT = statement("write_result")


class Receipt(msgspec.Struct, frozen=True):
    """The stored answer to a finish."""

    outcome: str
    finished: Finished


_receipts = msgspec.json.Decoder(Receipt)


def plain_receipt(task_id: str) -> bytes:
    """What stands for the NULL receipt of a completion without ``then``."""
    return _encode("complete", Finished(id=task_id, state=TaskState.SUCCEEDED))


class Finisher:
    """The finish operations.

    Args:
        rng: the back-off's jitter.
        metrics: counts the fenced ones.
        enqueuer: enqueues a completion's ``then``.
        movement: moves the tasks.
    """

    def __init__(self, *, rng: Rng, metrics: Metrics, enqueuer: Enqueuer, movement: Movement) -> None:
        self._rng = rng
        self._metrics = metrics
        self._enqueuer = enqueuer
        self._movement = movement

    def finish(self, tx: Tx, asked: Finish) -> Finished:
        """Ends one attempt.

        Raises:
            LeaseLost: the token is not the task's current one; nothing was changed.
            NotFound: there is no such task.
        """
        where = place(asked.id)
        fence = token.read(asked.token, task=asked.id)
        if isinstance(asked, Complete):
            if asked.then:
                return tx.atomically(lambda: self._complete(tx, asked, where, fence))
            return self._complete(tx, asked, where, fence)
        found = self._hold(tx, asked.id, where, fence)
        if found is None:
            return self._repeat(tx, asked, where, fence)
        held, retry, cancel = found
        if isinstance(asked, Fail):
            return self._fail(tx, asked, held, retry=retry, cancel=bool(cancel))
        return self._snooze(tx, asked, held, cancel=bool(cancel))

    def finish_all(self, tx: Tx, asked: Sequence[Finish]) -> list[Finished | TqnodeError]:
        """Ends each attempt on its own; in the place of one that can't be, why not."""
        answers: list[Finished | TqnodeError] = []
        while len(answers) < len(asked):
            run = _completions(asked, len(answers))
            if len(run) > 1:
                answers += self._complete_all(tx, run)
            else:
                answers.append(self._try(tx, asked[len(answers)]))
        return answers

    def _try(self, tx: Tx, asked: Finish) -> Finished | TqnodeError:
        try:
            return self.finish(tx, asked)
        except TqnodeError as error:
            return error

    def _complete_all(self, tx: Tx, run: dict[str, Complete]) -> list[Finished | TqnodeError]:
        """Completes plain ones, each of another task, with two statements for all of them."""
        wanted = _packed_ids(run)
        seqs = listed(ids.seqs_of(list(wanted)))
        rows = tx.all(_READ_RUNNING, {"seqs": seqs})
        if _are_all_held(rows, wanted, run):
            held = list(run.values())
        else:
            rows = _held(rows, wanted, run)
            held = [run[wanted[row[1]]] for row in rows]
            seqs = listed([row[0] for row in rows])
        try:
            tx.run(_COMPLETE_MANY, {"seqs": seqs, "now_ms": tx.now_ms})
        except apsw.ConstraintError:
            # One must give up its unique key first: each on its own finds out which.
            rows, held = [], []
        self._note_completions(tx, rows, held)
        if len(rows) == len(run):
            return list(map(Finished, run, repeat(TaskState.SUCCEEDED)))
        completed = {asked.id for asked in held}
        # What is left was finished before, or lost, or is none.
        return [
            Finished(task_id, TaskState.SUCCEEDED) if task_id in completed else self._try(tx, asked)
            for task_id, asked in run.items()
        ]

    def _note_completions(self, tx: Tx, rows: list[Row], asked: list[Complete]) -> None:
        """Notes the results, moves and events of tasks that were completed together."""
        if not rows:
            return
        results = [
            (row[0], one.result) for row, one in zip(rows, asked, strict=True) if one.result is not None
        ]
        if results:
            tx.many(_WRITE_RESULT, results)
        seqs, packed, _, _, queues, kinds, attempts, awaited, notify, lanes, batches = zip(*rows, strict=True)
        state = TaskState.SUCCEEDED
        tx.effects.events.tell(packed, queues, kinds, (state,) * len(rows), tx.now_ms, attempts)
        for queue, tasks in counts(queues).items():
            tx.moved(queue, TaskState.RUNNING, state, tasks)
        if any(notify):
            webhooks.ended(tx, list(compress(seqs, notify)))
        if any(awaited):
            followers.ended(tx, dict.fromkeys(compress(seqs, awaited), True))
        if lanes.count(None) < len(lanes):
            for (queue, lane), tasks in counts(list(zip(queues, lanes, strict=True))).items():
                if lane is not None:
                    freed(tx, queue, lane, tasks)
        if any(batches):
            membership.ended(tx, batches, state)

    def _complete(self, tx: Tx, asked: Complete, where: dict[str, Any], fence: token.Fence) -> Finished:
        params = where | {
            "grants": fence.grants,
            "secret": fence.secret,
            "now_ms": tx.now_ms,
            "receipt": None,
        }
        rows = move(tx, _COMPLETE, params)
        if not rows:
            return self._repeat(tx, asked, where, fence)
        queue, kind, attempt, awaited, notify, lane, batch = rows[0]
        if asked.result is not None:
            tx.many(_WRITE_RESULT, [(where["seq"], asked.result)])
        then: tuple[str, ...] = ()
        if asked.then:
            try:
                then = tuple(made.id for made in self._enqueuer.enqueue(tx, asked.then, follows=True))
            except InvalidField as error:
                raise InvalidField(error.detail, field=f"then{error.field}", code=error.code) from None
        finished = Finished(id=asked.id, state=TaskState.SUCCEEDED, then=then)
        if then:
            tx.run(_WRITE_RECEIPT, {"seq": where["seq"], "receipt": _encode("complete", finished)})
        tx.moved(queue, TaskState.RUNNING, TaskState.SUCCEEDED)
        event = TaskEvent(where["id"], queue, kind, TaskState.SUCCEEDED, tx.now_ms, attempt)
        tx.effects.events.append(event)
        if notify:
            webhooks.ended(tx, [where["seq"]])
        if awaited:
            followers.ended(tx, {where["seq"]: True})
        if lane is not None:
            freed(tx, queue, lane)
        if batch:
            membership.ended(tx, (batch,), TaskState.SUCCEEDED)
        return finished

    def _fail(self, tx: Tx, asked: Fail, held: Held, *, retry: Row, cancel: bool) -> Finished:
        policy, max_attempts = retry
        error = TaskError(asked.type, asked.message, asked.trace, held.attempt, tx.now_ms)
        self._movement.note(tx, held.seq, error=error)
        if cancel:
            return self._end(tx, asked.id, held, TaskState.CANCELLED, Reason.REQUESTED)
        if not asked.retry:
            return self._end(tx, asked.id, held, TaskState.DEAD, Reason.FAILED)
        if held.attempt >= max_attempts:
            return self._end(tx, asked.id, held, TaskState.DEAD, Reason.ATTEMPTS)
        wait_ms = asked.delay_ms
        if wait_ms is None:
            wait_ms = backoff_ms(policy, attempt=held.attempt, rng=self._rng)
        return self._put_back(tx, "fail", asked.id, held, run_at_ms=tx.now_ms + wait_ms, attempt=held.attempt)

    def _snooze(self, tx: Tx, asked: Snooze, held: Held, *, cancel: bool) -> Finished:
        if cancel:
            return self._end(tx, asked.id, held, TaskState.CANCELLED, Reason.REQUESTED, outcome="snooze")
        run_at_ms = tx.now_ms + asked.delay_ms if asked.delay_ms else place_in_line_ms(tx, held)
        return self._put_back(tx, "snooze", asked.id, held, run_at_ms=run_at_ms, attempt=held.attempt - 1)

    def _end(
        self,
        tx: Tx,
        task_id: str,
        held: Held,
        state: TaskState,
        reason: Reason,
        *,
        outcome: str = "fail",
    ) -> Finished:
        finished = Finished(id=task_id, state=state, reason=reason)
        self._movement.end(tx, held, state, reason, crashes=0, receipt=_encode(outcome, finished))
        return finished

    def _put_back(
        self, tx: Tx, outcome: str, task_id: str, held: Held, *, run_at_ms: int, attempt: int
    ) -> Finished:
        state = TaskState.SCHEDULED if run_at_ms > tx.now_ms else TaskState.READY
        finished = Finished(id=task_id, state=state, run_at_ms=run_at_ms)
        self._movement.put_back(
            tx, held, run_at_ms=run_at_ms, attempt=attempt, crashes=0, receipt=_encode(outcome, finished)
        )
        return finished

    def _hold(
        self, tx: Tx, task_id: str, where: dict[str, Any], fence: token.Fence
    ) -> tuple[Held, Row, int | None] | None:
        """The task, its retry policy and attempts, and the cancel request; None if the token lost it."""
        row = tx.one(_READ_HELD, where)
        if row is None:
            raise NotFound("task", task_id)
        if row[2] != TaskState.RUNNING or (row[10], row[11]) != (fence.grants, fence.secret):
            return None
        held = Held(
            seq=where["seq"],
            packed=where["id"],
            queue=row[0],
            kind=row[1],
            state=TaskState.RUNNING,
            priority=row[3],
            run_at_ms=row[4],
            attempt=row[5],
            crashes=row[7],
            worker=row[8],
            lane=row[14],
        )
        return held, (row[13], row[6]), row[9]

    def _repeat(self, tx: Tx, asked: Finish, where: dict[str, Any], fence: token.Fence) -> Finished:
        """The answer this very finish got before.

        Raises:
            LeaseLost: it got none.
            NotFound: there is no such task.
        """
        row = tx.one(_READ_HELD, where)
        if row is None:
            raise NotFound("task", asked.id)
        if (row[10], row[11]) == (fence.grants, fence.secret):
            stored = row[12]
            if stored is None and row[2] == TaskState.SUCCEEDED:
                stored = plain_receipt(asked.id)
            if stored is not None:
                receipt = _receipts.decode(stored)
                if receipt.outcome == _OUTCOMES[type(asked)]:
                    return receipt.finished
        self._metrics.fenced.inc()
        raise LeaseLost("the token is not this task's current one", task=ids.text(where["id"]))


_OUTCOMES: dict[type, str] = {Complete: "complete", Fail: "fail", Snooze: "snooze"}


def _completions(asked: Sequence[Finish], start: int) -> dict[str, Complete]:
    """The plain completions, each of another task, that follow each other from ``start``."""
    run: dict[str, Complete] = {}
    for one in islice(asked, start, None):
        if not isinstance(one, Complete) or one.then or one.id in run:
            break
        run[one.id] = one
    return run


def _packed_ids(run: dict[str, Complete]) -> dict[bytes, str]:
    """The bytes of the keys that are ids: each once, however often and however it is written."""
    try:
        return dict(zip(ids.parse_all(list(run)), run, strict=True))
    except ValueError:
        packed = {}
        for task_id in run:
            with suppress(ValueError):  # it is no task's: the one who asked is told so
                packed[ids.parse(task_id)] = task_id
        return packed


def _are_all_held(rows: list[Row], wanted: dict[bytes, str], run: dict[str, Complete]) -> bool:
    """Whether the rows are of all these tasks, in their order, and all are held by one claim.

    That is the usual case, and quicker to find out than who of them is held.
    """
    if not rows or len(rows) != len(run):
        return False
    if [row[1] for row in rows] != [*wanted]:
        return False
    tokens = {token.write(*fence) for fence in {row[2:4] for row in rows}}
    return len(tokens) == 1 and {asked.token for asked in run.values()} == tokens


def _held(rows: list[Row], wanted: dict[bytes, str], run: dict[str, Complete]) -> list[Row]:
    """The rows of the tasks that are held with the token given."""
    found = {row[1]: row for row in rows}
    tokens = {fence: token.write(*fence) for fence in {row[2:4] for row in rows}}
    return [
        row
        for packed, task_id in wanted.items()
        if (row := found.get(packed)) and tokens[row[2:4]] == run[task_id].token
    ]


def _encode(outcome: str, finished: Finished) -> bytes:
    return msgspec.json.encode(Receipt(outcome, finished))
