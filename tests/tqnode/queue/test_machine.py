"""The real queue and sweeper beside a model of a few lines: whatever is done, in whatever order, they agree.

``pytest --hypothesis-profile=long`` looks much longer.
"""

from collections.abc import Awaitable
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, precondition, rule

from tests.tqnode.nodes import ask, ids_of, settle, spec
from tests.tqnode.queue.machines import CoreMachine
from tests.tqnode.queue.model import BACKOFF_MS, LEASE_MS, RUNNING, Model, ModelTask
from tqnode import ids
from tqnode.errors import LeaseLost, NotFound, UniqueConflict, WrongState
from tqnode.store import TaskEvent
from tqnode.task import TRANSITIONS, WAITING, Complete, Fail, Finish, Finished, Snooze, TaskState

QUEUES = ("a", "b")
RETRY = b'{"type":"fixed","delay_s":%g}' % (BACKOFF_MS / 1000)
KEY_STATES = (
    "blocked scheduled ready running",
    "blocked scheduled ready",
    "blocked scheduled ready succeeded",
)

queues = st.sampled_from(QUEUES)
delays_ms = st.sampled_from([0, 700, 2_500])
keys = st.sampled_from(["k", "l"])
picks = st.integers(0, 1_000)
outcomes = st.sampled_from(["complete", "fail", "fail for good", "fail soon", "snooze", "snooze long"])


class Machine(CoreMachine):
    """Does something to both, and compares."""

    @initialize()
    def open(self) -> None:
        self.start(keep_succeeded_s=-1, keep_cancelled_s=-1, keep_dead_s=-1)
        self.model = Model(self.core.clock)
        self.order = 0
        self.events: list[TaskEvent] = []
        self.core.store.listen(lambda effects: self.events.extend(effects.events))
        self.states: dict[str, TaskState | None] = {}
        # Since a start, leases are spared for their own length.
        self.run(self.core.sweep_after(LEASE_MS / 1000 + 1))

    def pick(self, number: int, states: frozenset[TaskState] = frozenset(TaskState)) -> ModelTask | None:
        """One of the tasks in ``states``; ``number`` says which."""
        tasks = [task for task in self.model.tasks.values() if task.state in states]
        return tasks[number % len(tasks)] if tasks else None

    # -- enqueue -------------------------------------------------------------------------------

    @rule(
        queue=queues,
        priority=st.integers(0, 2),
        delay_ms=delays_ms,
        max_attempts=st.integers(1, 3),
        expires_in_ms=st.sampled_from([None, None, None, 1_000, 4_000]),
    )
    def enqueue(
        self, queue: str, priority: int, delay_ms: int, max_attempts: int, expires_in_ms: int | None
    ) -> None:
        self.enqueue_one(
            queue=queue,
            priority=priority,
            run_at_ms=self.model.now_ms + delay_ms if delay_ms else None,
            max_attempts=max_attempts,
            expires_at_ms=None if expires_in_ms is None else self.model.now_ms + expires_in_ms,
        )

    @rule(
        queue=queues,
        key=keys,
        mode=st.sampled_from(["skip", "replace", "reject"]),
        key_states=st.sampled_from(KEY_STATES),
        delay_ms=delays_ms,
    )
    def enqueue_keyed(self, queue: str, key: str, mode: str, key_states: str, delay_ms: int) -> None:
        fields: dict[str, Any] = {
            "queue": queue,
            "priority": 1,
            "run_at_ms": self.model.now_ms + delay_ms if delay_ms else None,
            "max_attempts": 2,
            "expires_at_ms": None,
        }
        holder = self.model.holder(key)
        unique: dict[str, Any] = {"unique_key": key, "unique_mode": mode, "unique_states": key_states}
        if holder is None:
            self.enqueue_one(**fields, **unique)
        elif mode == "reject":
            try:
                self.run(self.core.enqueue(**self.whole(fields), **unique))
            except UniqueConflict as conflict:
                assert conflict.task == holder.id  # noqa: PT017 - rules can't use pytest.raises' value twice
            else:
                raise AssertionError("the key was free")
        elif mode == "replace" and holder.state not in WAITING:
            holder.key = None
            self.enqueue_one(**fields, **unique)
        else:
            made = self.run(self.core.enqueued(**self.whole(fields), **unique))
            assert (made.id, made.duplicate) == (holder.id, True)
            if mode == "replace":
                self.replace(holder, fields, key_states)
                assert made.state is holder.state
            self.model.queues.add(queue)

    def replace(self, holder: ModelTask, fields: dict[str, Any], key_states: str) -> None:
        holder.state, holder.run_at_ms = self.model.entry(fields["run_at_ms"])
        holder.queue, holder.priority = fields["queue"], fields["priority"]
        holder.max_attempts, holder.expires_at_ms = fields["max_attempts"], fields["expires_at_ms"]
        holder.key_states = frozenset(map(TaskState, key_states.split()))

    def whole(self, fields: dict[str, Any]) -> dict[str, Any]:
        return fields | {"lease_ms": LEASE_MS, "retry": RETRY}

    def enqueue_one(self, *, unique_key: str | None = None, unique_states: str = "", **fields: Any) -> None:
        unique = {"unique_key": unique_key, "unique_states": unique_states} if unique_key else {}
        mode = {"unique_mode": fields.pop("unique_mode", "skip")}
        (made,) = self.run(self.core.queue.enqueue([spec(**self.whole(fields), **unique, **mode)]))
        state, run_at_ms = self.model.entry(fields["run_at_ms"])
        assert (made.state, made.duplicate) == (state, False)
        self.order += 1
        self.model.queues.add(fields["queue"])
        self.model.tasks[made.id] = ModelTask(
            id=made.id,
            order=self.order,
            queue=fields["queue"],
            priority=fields["priority"],
            state=state,
            run_at_ms=run_at_ms,
            max_attempts=fields["max_attempts"],
            expires_at_ms=fields["expires_at_ms"],
            key=unique_key,
            key_states=frozenset(map(TaskState, unique_states.split())),
        )

    # -- workers -------------------------------------------------------------------------------

    @rule(order=st.permutations(QUEUES), wanted=st.integers(1, 4))
    def claim(self, order: list[str], wanted: int) -> None:
        expected = self.model.claimable(tuple(order), wanted)
        tasks = self.run(self.core.queue.claim(ask(*order, max=wanted), wait_s=0))
        assert ids_of(tasks) == expected
        for claimed in tasks:
            task = self.model.tasks[claimed.id]
            grants = [int(token.partition("-")[0]) for token in [*task.tokens, claimed.token]]
            assert grants == sorted(set(grants)), "grants of one task strictly increase"
            self.model.claimed(task, claimed.token)
            assert claimed.attempt == task.attempt
            assert claimed.lease_expires_at_ms == task.lease_ends_ms

    @precondition(lambda self: any(task.tokens for task in self.model.tasks.values()))
    @rule(number=picks, which=picks, running=st.booleans())
    def heartbeat(self, number: int, which: int, running: bool) -> None:
        task, token = self.a_token(number, which, running)
        if task is None:
            return
        work = self.core.queue.heartbeat(task.id, token, lease_ms=None, progress=b"%d" % number)
        if task.state is RUNNING and token == task.tokens[-1]:
            lease = self.run(work)
            task.lease_ends_ms = self.model.now_ms + LEASE_MS
            assert (lease.lease_expires_at_ms, lease.cancel) == (task.lease_ends_ms, task.cancel)
        else:
            self.refused(work, LeaseLost)

    def a_token(self, number: int, which: int, running: bool) -> tuple[ModelTask | None, str]:
        """A task that was claimed before, and one of its tokens: mostly the last, or an older one."""
        tasks = [
            task
            for task in self.model.tasks.values()
            if task.tokens and (task.state is RUNNING or not running)
        ]
        if not tasks:
            return None, ""
        task = tasks[number % len(tasks)]
        return task, task.tokens[-1] if which % 3 else task.tokens[which % len(task.tokens)]

    def refused(self, work: Awaitable[object], error: type[Exception]) -> None:
        try:
            answer = self.run(work)
        except error:
            return
        raise AssertionError(f"it was not refused: {answer}")

    @precondition(lambda self: any(task.tokens for task in self.model.tasks.values()))
    @rule(number=picks, which=picks, running=st.sampled_from([True, True, False]), outcome=outcomes)
    def finish(self, number: int, which: int, running: bool, outcome: str) -> None:
        task, token = self.a_token(number, which, running)
        if task is None:
            return
        finish, kind = self.finish_of(outcome, task.id, token)
        (answer,) = self.run(self.core.queue.finish([finish]))
        if token != task.tokens[-1]:
            assert isinstance(answer, LeaseLost)
        elif task.state is RUNNING and task.receipt is None:
            self.apply(outcome, task)
            assert isinstance(answer, Finished)
            assert (answer.state, answer.reason) == (task.state, task.reason)
            task.receipt = (kind, answer)
        elif task.receipt is not None and task.receipt[0] == kind:
            assert answer == task.receipt[1], "the same finish gets the same answer"
        else:
            assert isinstance(answer, LeaseLost)

    def finish_of(self, outcome: str, task_id: str, token: str) -> tuple[Finish, str]:
        where: dict[str, Any] = {"id": task_id, "token": token}
        match outcome:
            case "complete":
                return Complete(**where, result=b"1"), "complete"
            case "fail" | "fail for good":
                return Fail(**where, retry=outcome == "fail"), "fail"
            case "fail soon":
                return Fail(**where, delay_ms=0), "fail"
            case _:
                return Snooze(**where, delay_ms=2_500 if outcome == "snooze long" else 0), "snooze"

    def apply(self, outcome: str, task: ModelTask) -> None:
        match outcome:
            case "complete":
                self.model.complete(task)
            case "fail" | "fail for good" | "fail soon":
                delay_ms = 0 if outcome == "fail soon" else None
                self.model.fail(task, retry=outcome != "fail for good", delay_ms=delay_ms)
            case _:
                self.model.snooze(task, 2_500 if outcome == "snooze long" else 0)

    # -- people --------------------------------------------------------------------------------

    @precondition(lambda self: self.model.tasks)
    @rule(number=picks)
    def cancel(self, number: int) -> None:
        task = self.pick(number)
        assert task is not None
        self.model.cancel(task)
        assert self.run(self.core.queue.cancel(task.id)).state is task.state

    @precondition(lambda self: self.model.tasks)
    @rule(number=picks)
    def retry(self, number: int) -> None:
        task = self.pick(number)
        assert task is not None
        if self.model.retry(task):
            assert self.run(self.core.queue.retry(task.id)).state is task.state
        else:
            self.refused(self.core.queue.retry(task.id), UniqueConflict)

    @precondition(lambda self: self.model.tasks)
    @rule(number=picks)
    def delete(self, number: int) -> None:
        task = self.pick(number)
        assert task is not None
        if task.state is RUNNING:
            self.refused(self.core.queue.delete(task.id), WrongState)
            return
        self.run(self.core.queue.delete(task.id))
        del self.model.tasks[task.id]
        self.refused(self.core.queue.get(task.id), NotFound)

    @rule(queue=queues, paused=st.booleans())
    def pause_or_resume(self, queue: str, paused: bool) -> None:
        work = self.core.queue.catalogue.pause(queue) if paused else self.core.queue.catalogue.resume(queue)
        if queue not in self.model.queues:
            self.refused(work, NotFound)
            return
        assert self.run(work).paused is paused
        (self.model.paused.add if paused else self.model.paused.discard)(queue)

    @rule(ticks=st.sampled_from([1, 1, 1, 2, 5]), rest=st.sampled_from([0.0, 0.3]))
    def let_time_pass(self, ticks: int, rest: float) -> None:
        for seconds in [1.0] * ticks + [rest] * bool(rest):
            self.run(self.core.sweep_after(seconds))
            self.model.sweep()

    # -- what always holds ---------------------------------------------------------------------

    @invariant()
    def stored_tasks_agree_with_the_model(self) -> None:
        rows = self.run(
            self.core.rows(
                "SELECT id, state, reason, queue, priority, run_at_ms, attempt, max_attempts, crashes,"
                " unique_key FROM task"
            )
        )
        stored = {ids.text(row[0]): row[1:] for row in rows}
        assert stored == {task.id: task.facts for task in self.model.tasks.values()}

    @invariant()
    def tallies_agree_with_the_tasks(self) -> None:
        assert not self.run(self.core.drift())

    @invariant()
    def a_key_has_one_holder_at_most(self) -> None:
        held = self.run(
            self.core.rows(
                "SELECT kind, unique_key FROM task WHERE instr(unique_states, state)"
                " GROUP BY kind, unique_key HAVING count(*) > 1"
            )
        )
        assert not held

    @invariant()
    def events_tell_of_transitions_that_are_allowed(self) -> None:
        self.run(settle(3))
        for event in self.events:
            task_id = ids.text(event.id)
            before = self.states.get(task_id)
            if before is None:
                assert task_id not in self.states, "nothing happens to a deleted task"
                assert event.state in WAITING
            elif event.state is None:
                assert before is not RUNNING
            else:
                assert event.state in TRANSITIONS[before]
            self.states[task_id] = event.state
        self.events.clear()
        told = {task_id: state for task_id, state in self.states.items() if state is not None}
        assert told == {task.id: task.state for task in self.model.tasks.values()}

    @invariant()
    def nothing_else_is_left_behind(self) -> None:
        rows = self.run(
            self.core.rows(
                "SELECT (SELECT count(*) FROM task), (SELECT count(*) FROM task_body),"
                " (SELECT count(*) FROM task_note WHERE seq NOT IN (SELECT seq FROM task))"
            )
        )
        assert rows[0][0] == rows[0][1] == len(self.model.tasks)
        assert rows[0][2] == 0


TestMachine = Machine.TestCase
if settings.get_current_profile_name() != "long":
    TestMachine.settings = settings(max_examples=40, stateful_step_count=40)
