"""Unique keys in whatever order things happen, the clock's steps included, beside a model of a few lines.

``pytest --hypothesis-profile=long`` looks much longer.
"""

from dataclasses import dataclass

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, rule

from tests.tqnode.nodes import complete, fail, snooze, spec
from tests.tqnode.queue.machines import CoreMachine
from tqnode import ids
from tqnode.errors import UniqueConflict
from tqnode.task import FINAL, WAITING, ClaimedTask, Fail, Finish, TaskState

READY, SCHEDULED, RUNNING = TaskState.READY, TaskState.SCHEDULED, TaskState.RUNNING
STATES = (
    "blocked scheduled ready",
    "blocked scheduled ready running",
    "blocked scheduled ready running succeeded",
    "blocked scheduled ready succeeded dead cancelled",
)
LEASE_MS = 10**12
"""So long that no step of the clock ends one."""

picks = st.integers(0, 1_000)


@dataclass
class Keyed:
    """A task as the model knows it."""

    id: str
    key: str | None
    states: frozenset[TaskState]
    state: TaskState
    run_at_ms: int
    payload: bytes
    period_ms: int | None = None
    until_ms: int | None = None
    token: ClaimedTask | None = None


class KeyMachine(CoreMachine):
    """Does something to both, and compares."""

    @initialize()
    def open(self) -> None:
        self.start(keep_succeeded_s=-1, keep_cancelled_s=-1, keep_dead_s=-1)
        self.tasks: dict[str, Keyed] = {}
        self.made = 0

    # -- the model -----------------------------------------------------------------------------

    @property
    def now_ms(self) -> int:
        return self.core.clock.now_ms()

    def over(self, task: Keyed) -> bool:
        return task.until_ms is not None and task.until_ms <= self.now_ms

    def named(self, key: str | None, *, but: Keyed | None = None) -> Keyed | None:
        """Who has a key in a state that counts, be its time over or not."""
        if key is None:
            return None
        found = [t for t in self.tasks.values() if t.key == key and t.state in t.states and t is not but]
        assert len(found) <= 1
        return found[0] if found else None

    def meet(self, key: str, mode: str) -> Keyed | None:
        """Who holds a key when a new task comes with it."""
        holder = self.named(key)
        if holder is None or holder.until_ms is None or holder.period_ms is None:
            return holder
        if self.over(holder):
            holder.key = None
            return None
        if mode != "reject":  # what is refused changes nothing
            holder.until_ms = min(holder.until_ms, self.now_ms + holder.period_ms)
        return holder

    def come_to(self, task: Keyed, state: TaskState, *, asked: bool = False) -> bool:
        """Moves a task; whether that is allowed."""
        rival = self.named(task.key, but=task) if state in task.states else None
        if rival is not None:
            if self.over(rival):
                rival.key = None
            elif asked and not self.over(task):
                return False
            else:
                task.key = None
        task.state = state
        return True

    # -- what is done --------------------------------------------------------------------------

    @rule(
        key=st.sampled_from(["k", "l"]),
        mode=st.sampled_from(["skip", "reject", "replace", "debounce", "keep_earliest"]),
        states=st.sampled_from(STATES),
        delay_ms=st.sampled_from([None, 700, 2_500, 10_000]),
        period_ms=st.sampled_from([None, None, 1_000, 5_000]),
    )
    def enqueue(self, key: str, mode: str, states: str, delay_ms: int | None, period_ms: int | None) -> None:
        self.made += 1
        payload = b"%d" % self.made
        run_at_ms = None if delay_ms is None else self.now_ms + delay_ms
        task = spec(
            unique_key=key,
            unique_mode=mode,
            unique_states=states,
            unique_period_ms=period_ms,
            run_at_ms=run_at_ms,
            payload=payload,
            lease_ms=LEASE_MS,
            max_attempts=3,
        )
        holder = self.meet(key, mode)
        if holder is not None and mode == "reject":
            try:
                self.run(self.core.queue.enqueue([task]))
            except UniqueConflict as conflict:
                assert conflict.task == holder.id  # noqa: PT017 - rules can't use pytest.raises' value twice
            else:
                raise AssertionError("the key was free")
            return
        (made,) = self.run(self.core.queue.enqueue([task]))
        stored = self.run(self.core.task(made.id))
        if holder is not None and (mode == "skip" or holder.state in WAITING):
            assert (made.id, made.duplicate) == (holder.id, True)
            if mode == "skip":
                assert stored.payload == holder.payload
                return
            assert stored.payload == payload
            wanted_ms = stored.created_at_ms if run_at_ms is None else run_at_ms
            match mode:
                case "replace":
                    assert run_at_ms is None or stored.run_at_ms == run_at_ms
                case "debounce":
                    assert stored.run_at_ms >= max(wanted_ms, holder.run_at_ms)
                case "keep_earliest":
                    assert stored.run_at_ms <= holder.run_at_ms
                    assert run_at_ms is None or stored.run_at_ms == min(run_at_ms, holder.run_at_ms)
            self.tasks[made.id] = Keyed(
                made.id, key, holder.states, stored.state, stored.run_at_ms, payload, token=holder.token
            )
        else:
            assert (made.duplicate, made.id in self.tasks) == (False, False)
            if holder is not None:
                holder.key = None
            self.tasks[made.id] = Keyed(made.id, key, frozenset(), stored.state, stored.run_at_ms, payload)
        assert (made.state, stored.state) == (stored.state, READY if made.state is READY else SCHEDULED)
        self.tasks[made.id].states = frozenset(map(TaskState, states.split()))
        if period_ms is not None:
            self.tasks[made.id].period_ms, self.tasks[made.id].until_ms = period_ms, self.now_ms + period_ms

    @rule()
    def claim(self) -> None:
        for claimed in self.run(self.core.claim()):
            task = self.tasks[claimed.id]
            task.token = claimed
            self.come_to(task, RUNNING)

    @rule(number=picks, outcome=st.sampled_from(["complete", "fail", "fail soon", "fail for good", "snooze"]))
    def finish(self, number: int, outcome: str) -> None:
        running = [task for task in self.tasks.values() if task.state is RUNNING and task.token]
        if not running:
            return
        task = running[number % len(running)]
        assert task.token is not None
        finishes: dict[str, Finish] = {
            "complete": complete(task.token),
            "fail": fail(task.token, delay_ms=2_000),
            "fail soon": fail(task.token, delay_ms=0),
            "fail for good": fail(task.token, retry=False),
            "snooze": snooze(task.token, delay_ms=1_000),
        }
        asked = finishes[outcome]
        finished = self.run(self.core.finish(asked))
        if isinstance(asked, Fail):
            assert finished.state in (READY, SCHEDULED, TaskState.DEAD, TaskState.CANCELLED)
        self.come_to(task, finished.state)
        task.run_at_ms = self.run(self.core.task(task.id)).run_at_ms

    @rule(number=picks)
    def cancel(self, number: int) -> None:
        waiting = [task for task in self.tasks.values() if task.state in WAITING]
        if waiting:
            task = waiting[number % len(waiting)]
            self.run(self.core.queue.cancel(task.id))
            self.come_to(task, TaskState.CANCELLED)

    @rule(number=picks)
    def retry(self, number: int) -> None:
        there = [task for task in self.tasks.values() if task.state in FINAL or task.state is SCHEDULED]
        if not there:
            return
        task = there[number % len(there)]
        rival = self.named(task.key, but=task)
        if self.come_to(task, READY, asked=True):
            task.run_at_ms = self.run(self.core.queue.retry(task.id)).run_at_ms
            return
        try:
            self.run(self.core.queue.retry(task.id))
        except UniqueConflict as conflict:
            assert rival is not None
            assert conflict.task == rival.id  # noqa: PT017 - rules can't use pytest.raises' value twice
        else:
            raise AssertionError("another task holds the key")

    @rule(seconds=st.sampled_from([0.5, 1, 3]))
    def let_time_pass(self, seconds: float) -> None:
        self.run(self.core.sweep_after(seconds))
        for task in self.tasks.values():
            if task.state is SCHEDULED and task.run_at_ms <= self.now_ms:
                self.come_to(task, READY)

    @rule(seconds=st.sampled_from([-3_600, -2, 2]))
    def set_the_clock(self, seconds: float) -> None:
        self.core.clock.step(seconds)

    # -- what always holds ---------------------------------------------------------------------

    @invariant()
    def stored_keys_and_states_agree_with_the_model(self) -> None:
        rows = self.run(
            self.core.rows("SELECT id, unique_key, state, unique_until_ms FROM task ORDER BY seq")
        )
        stored = [(ids.text(row[0]), *row[1:]) for row in rows]
        assert stored == [
            (task.id, task.key, task.state, None if task.key is None else task.until_ms)
            for task in self.tasks.values()
        ]

    @invariant()
    def a_key_has_one_holder_at_most(self) -> None:
        for key in ("k", "l"):
            self.named(key)


TestKeyMachine = KeyMachine.TestCase
if settings.get_current_profile_name() != "long":
    TestKeyMachine.settings = settings(max_examples=60, stateful_step_count=40)
