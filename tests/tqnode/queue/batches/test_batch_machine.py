"""Random batches, whatever happens to their members and to the node, beside a model that knows the rules.

Each event comes when the model says, not before, and once; the counts are those of the rows.
"""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, precondition, rule

from tests.tqnode.nodes import complete, fail, snooze
from tests.tqnode.queue.batching import CALLBACKS, batch_spec, get
from tests.tqnode.queue.families import child
from tests.tqnode.queue.machines import CoreMachine
from tqnode.errors import BatchCancelled, BatchFinished, Overloaded, WrongState
from tqnode.queue.batches import BatchHook, BatchState
from tqnode.queue.membership import BatchEvent
from tqnode.queue.webhooks import QUEUE
from tqnode.task import FINAL, Needs, TaskState, Webhook

picks = st.integers(0, 1_000)
SUCCEEDED, DEAD, CANCELLED = TaskState.SUCCEEDED, TaskState.DEAD, TaskState.CANCELLED
HOOK = Webhook(url="https://example.com/hook")
KEPT: dict[str, Any] = {"keep_succeeded_s": -1, "keep_cancelled_s": -1, "keep_dead_s": -1}


@dataclass
class Group:
    """A batch of the model."""

    id: str
    open: bool
    cancelled: bool = False
    finished: bool = False
    gone: Counter[TaskState] = field(default_factory=Counter)
    """Deleted members, by what they are counted as."""
    events: list[str] = field(default_factory=list)
    told: frozenset[BatchEvent] = frozenset()
    """What its webhook is told of."""


class Batches(CoreMachine):
    """Does something to both, and compares. What tasks do to each other is taken from the rows."""

    @initialize(settling=st.sampled_from([1, 3, 512]), at_once=st.sampled_from([1, 2, 256]))
    def open(self, settling: int, at_once: int) -> None:
        self.patch("tqnode.store.tx.SETTLING_MAX", settling)
        self.patch("tqnode.queue.batches.CANCELLED_AT_ONCE", at_once)
        self.groups: dict[str, Group] = {}
        self.batch_of: dict[str, str | None] = {}
        self.before: dict[str, TaskState] = {}
        self.start(**KEPT)

    # -- the model ---------------------------------------------------------------------------------

    def look(self) -> None:
        """Draws from the rows, and from nothing else, what each batch must have come to by now."""
        rows = self.run(
            self.core.rows(
                f"SELECT hex(id), state FROM task WHERE queue NOT IN ('{CALLBACKS}', '{QUEUE}')"
                " ORDER BY finished_at_ms"
            )
        )
        self.before = {task_id: TaskState(state) for task_id, state in rows}
        for group in self.groups.values():
            states = self.states(group)
            if states[DEAD] and "failure" not in group.events:
                group.events.append("failure")
            if not group.open and not sum(states[one] for one in TaskState if one not in FINAL):
                if not group.finished:
                    group.finished = True
                    group.events.append("finished")
                succeeded = states[SUCCEEDED] == sum(states.values())
                if succeeded and not group.cancelled and "success" not in group.events:
                    group.events.append("success")

    def states(self, group: Group) -> Counter[TaskState]:
        """How many members of a batch are in each state, the deleted ones included."""
        states = Counter(group.gone)
        for task_id, batch in self.batch_of.items():
            if batch == group.id and task_id in self.before:
                states[self.before[task_id]] += 1
        return states

    def joined(self, made: list[Any], batch: str | None) -> None:
        for one in made:
            self.batch_of[one.id.replace("-", "").upper()] = batch

    def pick(self, number: int) -> str:
        known = list(self.before)
        digits = known[number % len(known)].lower()
        return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"

    def group(self, number: int) -> Group:
        return list(self.groups.values())[number % len(self.groups)]

    def specs(self, wanted: list[tuple[set[int], Needs, int]]) -> list[Any]:
        known = list(self.before)
        made = []
        for place, (parents, needs, delay_ms) in enumerate(wanted):
            after: list[Any] = sorted({self.pick(one) for one in parents} if known else set())
            after += [place - 1] if place and len(after) == 1 else []
            run_at_ms = self.core.clock.now_ms() + delay_ms if delay_ms else None
            expires_at_ms = self.core.clock.now_ms() + 2_500 if delay_ms == 1_000 else None
            fields: dict[str, Any] = {"queue": "default", "run_at_ms": run_at_ms, "max_attempts": 1_000}
            made.append(child(*after, needs=needs, expires_at_ms=expires_at_ms, **fields))
            if not after:
                made[-1] = child(needs=None, expires_at_ms=expires_at_ms, **fields)  # type: ignore[arg-type]  # it waits for nobody
        return made

    tasks = st.lists(
        st.tuples(st.sets(picks, max_size=2), st.sampled_from(Needs), st.sampled_from([0, 0, 0, 1_000])),
        max_size=4,
    )

    # -- what is done ------------------------------------------------------------------------------

    @rule(wanted=tasks, open=st.booleans(), told=st.frozensets(st.sampled_from(BatchEvent)))
    def create(
        self, wanted: list[tuple[set[int], Needs, int]], open: bool, told: frozenset[BatchEvent]
    ) -> None:
        hook = BatchHook(to=HOOK, on=tuple(sorted(told))) if told else None
        spec = batch_spec(open=open, webhook=hook)
        made = self.run(self.core.queue.batcher.create(spec, self.specs(wanted)))
        self.groups[made.id] = Group(made.id, open, told=told)
        self.joined(made.tasks, made.id)

    @rule(wanted=tasks)
    def enqueue_plain(self, wanted: list[tuple[set[int], Needs, int]]) -> None:
        self.joined(self.run(self.core.queue.enqueue(self.specs(wanted))), None)

    @precondition(lambda self: self.groups)
    @rule(number=picks, wanted=tasks)
    def add(self, number: int, wanted: list[tuple[set[int], Needs, int]]) -> None:
        group = self.group(number)
        try:
            made = self.run(self.core.queue.batcher.add(group.id, self.specs(wanted)))
        except BatchCancelled:
            assert group.cancelled
        except BatchFinished:
            assert group.finished
        else:
            assert not group.cancelled
            assert not group.finished
            self.joined(made.tasks, group.id)

    @precondition(lambda self: self.groups)
    @rule(number=picks)
    def close(self, number: int) -> None:
        group = self.group(number)
        self.run(self.core.queue.batcher.close(group.id))
        group.open = False

    @precondition(lambda self: self.groups)
    @rule(number=picks)
    def cancel_batch(self, number: int) -> None:
        group = self.group(number)
        self.run(self.core.queue.batcher.cancel(group.id))
        if not group.finished:
            group.cancelled, group.open = True, False

    @rule(
        number=st.integers(1, 3), outcome=st.sampled_from(["complete", "complete", "bury", "snooze", "hold"])
    )
    def work(self, number: int, outcome: str) -> None:
        tasks = self.run(self.core.claim(max=number, lease_ms=1_500))
        for task in tasks:
            assert task.batch == self.batch_of[task.id.replace("-", "").upper()]
        finishes: list[Any] = {
            "complete": [complete(task) for task in tasks],
            "bury": [fail(task, retry=False) for task in tasks],
            "snooze": [snooze(task, delay_ms=100) for task in tasks],
            "hold": [],
        }[outcome]
        self.run(self.core.queue.finish(finishes))

    @precondition(lambda self: self.before)
    @rule(number=picks, how=st.sampled_from(["cancel", "retry", "delete"]))
    def manage(self, number: int, how: str) -> None:
        task_id = self.pick(number)
        key = task_id.replace("-", "").upper()
        try:
            self.run(getattr(self.core.queue, how)(task_id))
        except (Overloaded, WrongState):
            return
        if how == "delete":
            self.forget(key)

    def forget(self, key: str) -> None:
        batch, state = self.batch_of.pop(key), self.before.pop(key)
        if batch is not None:
            self.groups[batch].gone[state if state in FINAL else CANCELLED] += 1

    @rule()
    def purge(self) -> None:
        states = [TaskState.READY, TaskState.DEAD]
        gone = [key for key, state in self.before.items() if state in states]
        deleted = self.run(self.core.queue.catalogue.purge("default", states)) if self.before else 0
        assert deleted == len(gone)
        for key in gone:
            self.forget(key)

    @rule()
    def restart(self) -> None:
        clock = self.core.clock
        self.stop()
        self.start(clock=clock, **KEPT)

    @rule(seconds=st.sampled_from([0, 1, 2]))
    def sweep(self, seconds: int) -> None:
        for _ in range(seconds or 1):
            self.run(self.core.sweep_after(1 if seconds else 0.001))
            self.look()
        self.run(self.core.sweeper.sweep())
        made = self.run(
            self.core.rows(
                f"SELECT json_extract(meta, '$.batch.id'), kind FROM task JOIN task_body USING (seq)"
                f" WHERE queue = '{CALLBACKS}'"
            )
        )
        expected = [(group.id, f"on_{event}") for group in self.groups.values() for event in group.events]
        assert sorted(made) == sorted(expected)
        delivered = self.run(
            self.core.rows(
                "SELECT json_extract(payload, '$.data.id'), json_extract(payload, '$.type')"
                f" FROM task JOIN task_body USING (seq) WHERE queue = '{QUEUE}'"
            )
        )
        asked = {group.id: group.told for group in self.groups.values()}
        told = [
            (batch, kind.replace("on_", "batch.")) for batch, kind in expected if kind[3:] in asked[batch]
        ]
        assert sorted(delivered) == sorted(told)
        assert self.run(self.core.count("batch_event")) == 0

    # -- what always holds -------------------------------------------------------------------------

    @invariant()
    def the_counts_are_those_of_the_rows_and_the_events_those_of_the_counts(self) -> None:
        self.look()
        for group in self.groups.values():
            states = self.states(group)
            batch = self.run(get(self.core, group.id))
            assert (batch.succeeded, batch.dead, batch.cancelled, batch.total) == (
                *(states[SUCCEEDED], states[DEAD], states[CANCELLED]),
                sum(states.values()),
            )
            times = {
                "failure": batch.failed_at_ms,
                "finished": batch.finished_at_ms,
                "success": batch.succeeded_at_ms,
            }
            assert {event for event, at_ms in times.items() if at_ms is not None} == set(group.events)
            assert (batch.state is BatchState.FINISHED) == group.finished

    @invariant()
    def tallies_agree(self) -> None:
        assert not self.run(self.core.drift())


TestBatches = Batches.TestCase
if settings.get_current_profile_name() != "long":
    TestBatches.settings = settings(max_examples=40, stateful_step_count=30)
