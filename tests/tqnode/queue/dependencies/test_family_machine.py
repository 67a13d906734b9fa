"""Random graphs of tasks, whatever happens to them, beside a model that knows nothing of slices.

One transaction may settle next to nothing here, so that much is put off, and whatever is done meanwhile meets
it. After each sweep both agree; in between, what must hold at every moment is checked.
"""

from dataclasses import dataclass, field
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, precondition, rule

from tests.tqnode.nodes import complete, fail, settle
from tests.tqnode.queue.families import child
from tests.tqnode.queue.machines import CoreMachine
from tqnode import ids
from tqnode.errors import Overloaded, WrongState
from tqnode.store import TaskEvent
from tqnode.task import FINAL, TRANSITIONS, Needs, TaskState

BLOCKED, RUNNING = TaskState.BLOCKED, TaskState.RUNNING
WAITS = frozenset({TaskState.READY, TaskState.SCHEDULED})

picks = st.integers(0, 1_000)


@dataclass
class Member:
    """One task of the model. ``state`` is None while it may be claimed or is scheduled."""

    id: str
    needs: Needs
    open: set[str] = field(default_factory=set)
    """Parents that have not ended."""
    parents: frozenset[str] = frozenset()
    state: TaskState | None = BLOCKED
    forced: bool = False
    """A person has retried it: it waits for nobody any more."""


class Families(CoreMachine):
    """Does something to both, and compares."""

    @initialize(settling=st.sampled_from([1, 2, 5, 512]))
    def open(self, settling: int) -> None:
        self.patch("tqnode.store.tx.SETTLING_MAX", settling)
        self.start(keep_succeeded_s=-1, keep_cancelled_s=-1, keep_dead_s=-1)
        self.members: dict[str, Member] = {}
        self.gone: set[str] = set()
        self.events: list[TaskEvent] = []
        self.core.store.listen(lambda effects: self.events.extend(effects.events))
        self.told: dict[str, TaskState | None] = {}
        self.released: set[str] = set()
        self.run(self.core.sweep_after(1))

    def pick(self, number: int) -> Member:
        members = list(self.members.values())
        return members[number % len(members)]

    # -- the model -----------------------------------------------------------------------------

    def end(self, member: Member, state: TaskState) -> None:
        """A task has ended; all that follows from it."""
        member.state = state
        line = [(member.id, state is TaskState.SUCCEEDED)]
        while line:
            parent, succeeded = line.pop()
            for one in self.members.values():
                if parent not in one.open:
                    continue
                one.open.discard(parent)
                if one.state is not BLOCKED:
                    continue
                if not succeeded and one.needs is Needs.SUCCEEDED:
                    one.state = TaskState.CANCELLED
                    line.append((one.id, False))
                elif not one.open:
                    one.state = None

    # -- what is done --------------------------------------------------------------------------

    @rule(
        order=st.permutations(range(5)),
        wanted=st.lists(
            st.tuples(
                st.sets(picks, max_size=3), st.sets(st.integers(0, 4), max_size=3), st.sampled_from(Needs)
            ),
            min_size=1,
            max_size=5,
        ),
        delay_ms=st.sampled_from([0, 0, 1_500]),
    )
    def enqueue(
        self, order: list[int], wanted: list[tuple[set[int], set[int], Needs]], delay_ms: int
    ) -> None:
        specs, needs, known = [], [], list(self.members)
        rank = [order.index(place) for place in range(5)]
        for place, (stored, siblings, need) in enumerate(wanted):
            after: list[Any] = sorted({known[number % len(known)] for number in stored} if known else set())
            # A task waits for those of lower rank alone, wherever in the request they stand: no circles.
            after += [one for one in sorted(siblings) if one < len(wanted) and rank[one] < rank[place]]
            run_at_ms = self.core.clock.now_ms() + delay_ms if delay_ms else None
            specs.append(child(*after, needs=need, queue="default", run_at_ms=run_at_ms, max_attempts=1_000))
            needs.append(need)
        made = [one.id for one in self.run(self.core.queue.enqueue(specs))]
        for place in sorted(range(len(specs)), key=rank.__getitem__):
            parents = frozenset(
                made[one] if isinstance(one, int) else ids.text(one) for one in specs[place].after
            )
            self.enter(Member(made[place], needs[place], parents=parents))

    def enter(self, member: Member) -> None:
        states = {parent: self.members[parent].state for parent in member.parents}
        member.open = {parent for parent, state in states.items() if state not in FINAL}
        failed = any(state in FINAL and state is not TaskState.SUCCEEDED for state in states.values())
        self.members[member.id] = member
        if failed and member.needs is Needs.SUCCEEDED:
            member.state = TaskState.CANCELLED
        elif not member.open:
            member.state = None

    @rule(
        number=st.integers(1, 3), outcome=st.sampled_from(["complete", "complete", "fail", "fail for good"])
    )
    def work(self, number: int, outcome: str) -> None:
        tasks = self.run(self.core.claim(max=number))
        for task in tasks:
            member = self.members[task.id]
            assert member.state is None
            assert member.forced or not member.open, "it runs before a parent has ended"
            left = {one.id for one in task.inputs}
            assert left == {parent for parent in member.parents if parent not in self.gone}
        if outcome == "complete":
            self.run(self.core.queue.finish([complete(task) for task in tasks]))
        else:
            again = outcome == "fail"
            self.run(self.core.queue.finish([fail(task, retry=again, delay_ms=0) for task in tasks]))
        for task in tasks:
            if outcome != "fail":
                ended = TaskState.SUCCEEDED if outcome == "complete" else TaskState.DEAD
                self.end(self.members[task.id], ended)

    @precondition(lambda self: self.members)
    @rule(number=picks)
    def cancel(self, number: int) -> None:
        member = self.pick(number)
        self.run(self.core.queue.cancel(member.id))
        if member.state not in FINAL:
            self.end(member, TaskState.CANCELLED)

    @precondition(lambda self: self.members)
    @rule(number=picks)
    def delete(self, number: int) -> None:
        member = self.pick(number)
        self.run(self.core.queue.delete(member.id))
        if member.state not in FINAL:
            self.end(member, TaskState.CANCELLED)
        del self.members[member.id]
        self.gone.add(member.id)

    @precondition(lambda self: self.members)
    @rule(number=picks)
    def retry(self, number: int) -> None:
        member = self.pick(number)
        try:
            task = self.run(self.core.queue.retry(member.id))
        except (Overloaded, WrongState):
            # Not all that follows is done yet, or it is blocked: nothing has changed.
            return
        assert task.state is TaskState.READY
        if member.state in FINAL:
            member.state, member.forced = None, True

    @rule(seconds=st.sampled_from([0, 1, 2]))
    def sweep(self, seconds: int) -> None:
        self.run(self.core.sweep_after(seconds))
        self.run(self.core.sweeper.sweep())
        rows = self.run(self.core.rows("SELECT id, state, pending FROM task"))
        stored = {ids.text(row[0]): (None if row[1] in WAITS else row[1], row[2]) for row in rows}
        assert stored == {one.id: (one.state, len(one.open)) for one in self.members.values()}
        assert self.run(self.core.count("settlement")) == 0

    # -- what always holds ---------------------------------------------------------------------

    @invariant()
    def a_blocked_task_has_a_parent_that_has_not_ended_or_whose_end_is_still_to_be_told(self) -> None:
        assert not self.run(
            self.core.rows(
                "SELECT d.parent, d.child FROM dependency d LEFT JOIN task p ON p.seq = d.parent WHERE d.open"
                " AND coalesce(p.state, 'deleted') IN ('deleted', 'succeeded', 'dead', 'cancelled')"
                " AND NOT EXISTS (SELECT 1 FROM settlement s WHERE s.parent = d.parent)"
            )
        )

    @invariant()
    def each_task_counts_its_open_parents_right(self) -> None:
        assert not self.run(
            self.core.rows(
                "SELECT seq FROM task t WHERE pending <>"
                " (SELECT count(*) FROM dependency d WHERE d.child = t.seq AND d.open)"
            )
        )

    @invariant()
    def whoever_is_waited_for_knows_it(self) -> None:
        assert not self.run(
            self.core.rows(
                "SELECT p.seq FROM dependency d JOIN task p ON p.seq = d.parent"
                " WHERE d.open AND NOT p.awaited"
            )
        )

    @invariant()
    def a_released_task_has_no_open_parents(self) -> None:
        forced = {one.id for one in self.members.values() if one.forced}
        rows = self.run(
            self.core.rows("SELECT id FROM task WHERE pending > 0 AND state NOT IN ('blocked', 'cancelled')")
        )
        assert {ids.text(row[0]) for row in rows} <= forced

    @invariant()
    def nothing_is_released_twice_and_all_moves_are_allowed(self) -> None:
        self.run(settle(3))
        for event in self.events:
            task_id = ids.text(event.id)
            before = self.told.get(task_id)
            if before is not None and event.state is not None:
                assert event.state in TRANSITIONS[before]
            if before is BLOCKED and event.state in WAITS:
                assert task_id not in self.released
                self.released.add(task_id)
            self.told[task_id] = event.state
        self.events.clear()

    @invariant()
    def tallies_agree_and_no_dependency_outlives_its_child(self) -> None:
        assert not self.run(self.core.drift())
        assert not self.run(
            self.core.rows("SELECT child FROM dependency WHERE child NOT IN (SELECT seq FROM task)")
        )


TestFamilies = Families.TestCase
if settings.get_current_profile_name() != "long":
    TestFamilies.settings = settings(max_examples=40, stateful_step_count=30)
