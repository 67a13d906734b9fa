"""Claims under limits beside a model that walks over every task there is and asks of each whether it may run.

Next to nothing is looked at in order, and few keys at a time, so that every way of finding tasks is taken.
"""

from collections import Counter
from contextlib import suppress
from itertools import product
from typing import Any, NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, precondition, rule

from tests.tqnode.nodes import complete, fail, snooze
from tests.tqnode.queue.machines import CoreMachine
from tqnode import ids
from tqnode.errors import InvalidField
from tqnode.queue.limits import LimitSpec
from tqnode.queue.limits.rules import Rule
from tqnode.task import ClaimedTask

QUEUES = ("q", "r")
KEYS = (None, "a", "ab", "abc", "b")
KINDS = ("mail", "fax")
LEASE_S = 10

picks = st.integers(0, 1_000)
tasks = st.tuples(
    st.sampled_from(["q", "q", "q", "r"]),
    st.sampled_from(KEYS),
    st.sampled_from(KINDS),
    st.sampled_from([5, 5, 1]),
)
rates = st.fixed_dictionaries(
    {"rate": st.integers(1, 3), "per_ms": st.sampled_from([500, 1000, 7000]), "burst": st.integers(1, 3)}
)
slots = st.fixed_dictionaries({"running": st.integers(0, 3)})
targets = st.one_of(
    st.fixed_dictionaries({"queue": st.sampled_from(["q", "q", "r"]), "fair": st.booleans()}),
    st.fixed_dictionaries(
        {"key": st.sampled_from(["a", "a*", "ab*", "*"]), "queue": st.sampled_from(["", "", "q", "r"])}
    ),
)
limits = st.builds(
    lambda name, target, allowed: {"name": name, **target, **allowed},
    st.sampled_from(["one", "two", "three"]),
    targets,
    st.one_of(slots, rates, st.builds(lambda one, other: one | other, slots, rates)),
)


class Ready(NamedTuple):
    """A ready task, in the order of claims."""

    order: int
    run_at_ms: int
    seq: int
    kind: str
    key: str | None


class Limited(CoreMachine):
    """Does something to the queue; of each claim it foresees what it gets."""

    @initialize(
        look=st.integers(0, 2),
        lanes=st.integers(1, 3),
        new=st.lists(tasks, min_size=20, max_size=40),
        limits=st.lists(limits, min_size=1, max_size=3),
    )
    def open(
        self,
        look: int,
        lanes: int,
        new: list[tuple[str, str | None, str, int]],
        limits: list[dict[str, Any]],
    ) -> None:
        self.begin(look, lanes, new, limits)

    def begin(
        self,
        look: int,
        lanes: int,
        new: list[tuple[str, str | None, str, int]],
        limits: list[dict[str, Any]],
    ) -> None:
        self.patch("tqnode.queue.limits.lanes.LOOK_MAX", look)
        self.patch("tqnode.queue.limits.lanes.LANES_AT_A_TIME", lanes)
        self.start(crashes_max=1000)
        self.rules: dict[str, Rule] = {}
        self.held: list[ClaimedTask] = []
        self.run(self.core.sweep_after(1))
        for fields in limits:
            self.put(fields)
        self.enqueue_all(new)

    # -- the model -----------------------------------------------------------------------------

    def governing(self, queue: str, key: str | None) -> list[tuple[Rule, str]]:
        """The limits on a task, each with the key whose slots and tokens it counts."""
        rules = [rule for rule in self.rules.values() if rule.queue in ("", queue)]
        on_queue = [(rule, "") for rule in rules if not rule.key]
        if key is None:
            return on_queue
        matching = [
            (rule.key == key, len(rule.key), bool(rule.queue), rule.name)
            for rule in rules
            if rule.key and (rule.key == key or (rule.key[-1] == "*" and key.startswith(rule.key[:-1])))
        ]
        if not matching:
            return on_queue
        return [*on_queue, (self.rules[max(matching)[3]], key)]

    def room(self, queue: str) -> Counter[tuple[str, str]]:
        """How many more tasks each limit that counts anything lets through, by its queue and key."""
        running = self.run(self.core.rows("SELECT queue, limit_key FROM task WHERE state = 'running'"))
        levels = {row[:2]: row[2:] for row in self.run(self.core.rows("SELECT * FROM bucket"))}
        room: Counter[tuple[str, str]] = Counter()
        for key in KEYS:
            for limit, counted in self.governing(queue, key):
                left = 1_000
                if limit.running is not None:
                    taken = [
                        row for row in running if limit.queue in ("", row[0]) and counted in ("", row[1])
                    ]
                    left = limit.running - len(taken)
                if limit.rate is not None and limit.per_ms is not None and limit.burst is not None:
                    level, updated_ms = levels.get((limit.queue, counted), (limit.burst, 0))[:2]
                    passed_ms = self.core.clock.now_ms() - updated_ms
                    tokens = min(limit.burst, level + passed_ms * limit.rate / limit.per_ms)
                    left = min(left, int(tokens + 1e-6))
                room[limit.queue, counted] = left
        return room

    def may_run(self, queue: str, key: str | None, room: Counter[tuple[str, str]]) -> bool:
        return all(room[limit.queue, counted] > 0 for limit, counted in self.governing(queue, key))

    def ready(self, queue: str, kinds: tuple[str, ...] | None, low: int) -> list[Ready]:
        rows = self.run(
            self.core.rows(
                "SELECT -priority, run_at_ms, seq, kind, limit_key, queue FROM task WHERE state = 'ready'"
            )
        )
        found = [Ready(*row[:5]) for row in rows if row[5] == queue]
        return sorted(one for one in found if (kinds is None or one.kind in kinds) and -one.order >= low)

    def expected(self, queue: str, kinds: tuple[str, ...] | None, low: int, most: int) -> list[int]:
        """The row numbers that a claim is to get."""
        room, left = self.room(queue), self.ready(queue, kinds, low)
        fair = any(limit.fair for limit, _ in self.governing(queue, None))
        turns = dict(self.run(self.core.rows(f"SELECT priority, key FROM turn WHERE queue = '{queue}'")))
        chosen: list[int] = []
        while len(chosen) < most:
            able = [one for one in left if self.may_run(queue, one.key, room)]
            if not able:
                break
            best = able[0]
            if fair:
                keys = sorted({one.key or "" for one in able if one.order == best.order})
                last = turns.get(-best.order)
                key = next((one for one in keys if last is not None and one > last), keys[0])
                best = next(one for one in able if one.order == best.order and (one.key or "") == key)
                turns[-best.order] = key
            chosen.append(best.seq)
            left.remove(best)
            for limit, counted in self.governing(queue, best.key):
                room[limit.queue, counted] -= 1
        return chosen

    # -- what is done --------------------------------------------------------------------------

    @rule(new=st.lists(tasks, min_size=1, max_size=6))
    def enqueue(self, new: list[tuple[str, str | None, str, int]]) -> None:
        self.enqueue_all(new)

    def enqueue_all(self, new: list[tuple[str, str | None, str, int]]) -> None:
        for queue, key, kind, priority in new:
            fields: dict[str, Any] = {"queue": queue, "kind": kind, "priority": priority}
            self.run(self.core.enqueue(limit_key=key, lease_ms=LEASE_S * 1000, **fields))

    @rule(
        queues=st.sampled_from(["q", "q", "qr"]),
        kinds=st.sampled_from([None, ("mail",), KINDS]),
        low=st.sampled_from([0, 0, 3]),
        most=st.lists(st.integers(1, 4), min_size=1, max_size=3),
    )
    def claim(self, queues: str, kinds: tuple[str, ...] | None, low: int, most: list[int]) -> None:
        self.claim_some(queues, kinds, low, most * 3)

    def claim_some(self, queues: str, kinds: tuple[str, ...] | None, low: int, most: list[int]) -> None:
        for number, (queue, wanted) in enumerate(product(queues, most)):
            expected = self.expected(queue, kinds, low, wanted)
            tasks = self.run(self.core.claim(queue, kinds=kinds, min_priority=low, max=wanted))
            assert [ids.seq_of(ids.parse(task.id)) for task in tasks] == expected
            self.held += tasks
            if number % 2 and self.held:
                self.finish_one(number, complete)
                self.core.clock.advance(0.1)

    @precondition(lambda self: self.held)
    @rule(pick=picks, how=st.sampled_from([complete, fail, snooze]))
    def finish(self, pick: int, how: Any) -> None:
        self.finish_one(pick, how)

    def finish_one(self, pick: int, how: Any) -> None:
        task = self.held.pop(pick % len(self.held))
        more = {"delay_ms": 0} if how is fail else {}
        self.run(self.core.finish(how(task, **more)))

    @precondition(lambda self: self.held)
    @rule()
    def finish_all(self) -> None:
        self.run(self.core.queue.finish([complete(task) for task in self.held]))
        self.held = []

    @precondition(lambda self: self.held)
    @rule()
    def crash(self) -> None:
        """All workers fall silent."""
        self.held = []
        self.run(self.core.sweep_after(LEASE_S + 1))
        assert not self.run(self.core.rows("SELECT seq FROM task WHERE state = 'running'"))

    @rule(pick=picks)
    def cancel(self, pick: int) -> None:
        waiting = self.run(self.core.rows("SELECT id FROM task WHERE state = 'ready' ORDER BY seq"))
        if waiting:
            self.run(self.core.queue.cancel(ids.text(waiting[pick % len(waiting)][0])))

    @rule(ms=st.sampled_from([1, 100, 499, 1500]))
    def wait(self, ms: int) -> None:
        if not self.held:
            self.run(self.core.sweep_after(ms / 1000))
        else:
            self.core.clock.advance(ms / 10_000)

    @rule(fields=limits)
    def put_limit(self, fields: dict[str, Any]) -> None:
        self.put(fields)

    def put(self, fields: dict[str, Any]) -> None:
        with suppress(InvalidField):
            self.rules[fields["name"]], _ = self.run(self.core.queue.limits.put(LimitSpec(**fields)))

    @precondition(lambda self: self.rules)
    @rule(pick=picks)
    def delete_limit(self, pick: int) -> None:
        name = sorted(self.rules)[pick % len(self.rules)]
        del self.rules[name]
        self.run(self.core.queue.limits.delete(name))


TestLimited = Limited.TestCase
TestLimited.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)


@settings(max_examples=60, deadline=None)
@given(
    fair=st.booleans(),
    kinds=st.sampled_from([None, KINDS]),
    new=st.lists(tasks, min_size=10, max_size=30),
    rate=st.none() | rates,
    most=st.lists(st.integers(1, 3), min_size=10, max_size=20),
)
def test_each_claim_gets_what_is_first_behind_all_that_is_held_back(
    fair: bool,
    kinds: tuple[str, ...] | None,
    new: list[tuple[str, str | None, str, int]],
    rate: dict[str, int] | None,
    most: list[int],
) -> None:
    limits: list[dict[str, Any]] = [{"name": "each", "key": "*", "running": 1}]
    if fair:
        limits.append({"name": "fair", "queue": "q", "fair": True})
    if rate is not None:
        limits.append({"name": "rate", "key": "ab*", **rate})
    machine = Limited()
    held_back: list[tuple[str, str | None, str, int]] = [("q", "b", "mail", 5)] * 8
    machine.begin(0, 2, [*held_back, *new], limits)
    try:
        machine.claim_some("q", kinds, 0, most)
    finally:
        machine.teardown()
