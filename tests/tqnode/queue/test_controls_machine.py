"""Pauses, drains and limits, in any order with all else: no claim and no enqueue ever goes against them.

``pytest --hypothesis-profile=long`` looks much longer.
"""

import asyncio
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, rule

from tests.tqnode.nodes import FakeClock, HeldWriter, ask, spec
from tests.tqnode.queue.machines import CoreMachine
from tqnode.errors import QueueDraining, QueueFull, TqnodeError
from tqnode.queue.pauses import NewPause
from tqnode.task import WAITING, ClaimedTask, Complete, Enqueued, Fail, Snooze, TaskState

QUEUES = ("a", "b", "c")
NODE_DEPTH_MAX = 12
NODE_BYTES_MAX = 60
UNFINISHED = WAITING | {TaskState.RUNNING}

queues = st.sampled_from(QUEUES)
picks = st.integers(0, 1_000)
spans_ms = st.sampled_from([None, 500, 1_500, 4_000])
batches = st.lists(st.tuples(queues, st.integers(1, 9), st.sampled_from([0, 800])), min_size=1, max_size=4)


class Machine(CoreMachine):
    """Says what a claim and an enqueue may do from a few lines of its own."""

    @initialize()
    def open(self) -> None:
        self.clock = FakeClock()
        self.pauses: dict[str | None, int | None] = {}
        self.draining: set[str] = set()
        self.depths: dict[str, int] = {}
        self.bytes: dict[str, int] = {}
        self.claimed: list[ClaimedTask] = []
        self.ids: list[str] = []
        self.start_anew()
        for queue in QUEUES:
            self.run(self.core.queue.catalogue.configure(queue, {}))

    def start_anew(self) -> None:
        self.start(
            clock=self.clock,
            depth_max=NODE_DEPTH_MAX,
            bytes_max=NODE_BYTES_MAX,
        )

    def paused(self, queue: str | None) -> bool:
        if queue not in self.pauses:
            return False
        until_ms = self.pauses[queue]
        return until_ms is None or self.clock.now_ms() < until_ms

    def loads(self) -> dict[str, tuple[int, int]]:
        """Waiting tasks and bytes by queue, as the tables of tasks say; the empty name is the node."""
        rows = self.run(
            self.core.rows(
                "SELECT queue, state, length(payload) + coalesce(length(meta), 0)"
                " FROM task JOIN task_body USING (seq)"
            )
        )
        loads = dict.fromkeys(("", *QUEUES), (0, 0))
        for queue, state, size in rows:
            for name in ("", queue):
                tasks, held = loads[name]
                loads[name] = (
                    tasks + (TaskState(state) in WAITING),
                    held + size * (TaskState(state) in UNFINISHED),
                )
        return loads

    def room(self, batch: list[tuple[str, int, int]]) -> type[TqnodeError] | None:
        """What an enqueue of this batch would have to be refused with."""
        loads = self.loads()
        names = {queue for queue, _, _ in batch}
        if names & self.draining:
            return QueueDraining
        for name in names:
            mine = [size for queue, size, _ in batch if queue == name]
            if loads[name][0] + len(mine) > self.depths.get(name, 1 << 60):
                return QueueFull
            if loads[name][1] + sum(mine) > self.bytes.get(name, 1 << 60):
                return QueueFull
        if loads[""][0] + len(batch) > NODE_DEPTH_MAX:
            return QueueFull
        if loads[""][1] + sum(size for _, size, _ in batch) > NODE_BYTES_MAX:
            return QueueFull
        return None

    def specs(self, batch: list[tuple[str, int, int]]) -> list[Any]:
        now_ms = self.clock.now_ms()
        return [
            spec(queue=queue, payload=b"1" * size, run_at_ms=now_ms + delay_ms if delay_ms else None)
            for queue, size, delay_ms in batch
        ]

    # -- tasks ---------------------------------------------------------------------------------

    @rule(batch=batches)
    def enqueue(self, batch: list[tuple[str, int, int]]) -> None:
        refusal = self.room(batch)
        asked = self.core.queue.enqueue(self.specs(batch))
        if refusal is None:
            self.ids += [one.id for one in self.run(asked)]
        else:
            with pytest.raises(refusal):
                self.run(asked)

    @rule(batches=st.lists(batches, min_size=2, max_size=4))
    def enqueue_at_a_time(self, batches: list[list[tuple[str, int, int]]]) -> None:
        async def all_of() -> list[list[Enqueued] | BaseException]:
            async with HeldWriter(self.core.store):
                asked = [asyncio.create_task(self.core.queue.enqueue(self.specs(batch))) for batch in batches]
                await asyncio.sleep(0)
            return await asyncio.gather(*asked, return_exceptions=True)

        before = self.loads()
        for answer in self.run(all_of()):
            if isinstance(answer, BaseException):
                assert isinstance(answer, QueueDraining | QueueFull)
            else:
                self.ids += [one.id for one in answer]
        for name, (tasks, held) in self.loads().items():
            tasks_max = self.depths.get(name, 1 << 60) if name else NODE_DEPTH_MAX
            bytes_max = self.bytes.get(name, 1 << 60) if name else NODE_BYTES_MAX
            assert tasks <= max(tasks_max, before[name][0])
            assert held <= max(bytes_max, before[name][1])
            assert name not in self.draining or (tasks, held) == before[name]

    @rule(wanted=st.permutations(QUEUES), most=st.integers(1, 4))
    def claim(self, wanted: list[str], most: int) -> None:
        rows = self.run(self.core.rows("SELECT queue FROM task WHERE state = 'ready'"))
        free = [queue for (queue,) in rows if not self.paused(queue)]
        tasks = self.run(self.core.queue.claim(ask(*wanted, max=most), wait_s=0))
        assert not (tasks and self.paused(None))
        assert not [task for task in tasks if self.paused(task.queue)]
        # What is over is over: nobody has to clear it away first.
        assert len(tasks) == (0 if self.paused(None) else min(most, len(free)))
        self.claimed += tasks

    @rule(number=picks, outcome=st.sampled_from(["complete", "then", "fail", "dead", "snooze"]))
    def finish(self, number: int, outcome: str) -> None:
        if not self.claimed:
            return
        task = self.claimed.pop(number % len(self.claimed))
        fields = {"id": task.id, "token": task.token}
        asked: Complete | Fail | Snooze
        if outcome == "complete":
            asked = Complete(**fields)
        elif outcome == "then":
            asked = Complete(**fields, then=tuple(self.specs([(task.queue, 3, 0)])))
        elif outcome == "snooze":
            asked = Snooze(**fields)
        else:
            asked = Fail(**fields, retry=outcome == "fail", delay_ms=0)
        (answer,) = self.run(self.core.queue.finish([asked]))
        if isinstance(answer, QueueFull):
            assert outcome == "then"
            (answer,) = self.run(self.core.queue.finish([Complete(**fields)]))
        # No pause, no drain and no limit is in the way of anything else.
        assert not isinstance(answer, Exception)

    @rule(number=picks, what=st.sampled_from(["cancel", "retry", "delete"]))
    def manage(self, number: int, what: str) -> None:
        running = {task.id for task in self.claimed}
        waiting = [task_id for task_id in self.ids if task_id not in running]
        if not waiting:
            return
        task_id = waiting[number % len(waiting)]
        self.run(getattr(self.core.queue, what)(task_id))
        if what == "delete":
            self.ids.remove(task_id)

    # -- controls ------------------------------------------------------------------------------

    @rule(queue=st.sampled_from([None, *QUEUES]), span_ms=spans_ms)
    def pause(self, queue: str | None, span_ms: int | None) -> None:
        catalogue, new = self.core.queue.catalogue, NewPause(for_ms=span_ms)
        self.run(catalogue.pause_node(new) if queue is None else catalogue.pause(queue, new))
        self.pauses[queue] = None if span_ms is None else self.clock.now_ms() + span_ms

    @rule(queue=st.sampled_from([None, *QUEUES]))
    def resume(self, queue: str | None) -> None:
        catalogue = self.core.queue.catalogue
        self.run(catalogue.resume_node() if queue is None else catalogue.resume(queue))
        self.pauses.pop(queue, None)
        self.draining.discard(queue or "")

    @rule(queue=queues)
    def drain(self, queue: str) -> None:
        self.run(self.core.queue.catalogue.drain(queue))
        self.draining.add(queue)

    @rule(queue=queues, most=st.sampled_from([None, 1, 3, 6]))
    def limit_depth(self, queue: str, most: int | None) -> None:
        self.run(self.core.queue.catalogue.configure(queue, {"depth_max": most}))
        self.depths.pop(queue, None)
        if most is not None:
            self.depths[queue] = most

    @rule(queue=queues, most=st.sampled_from([None, 5, 20]))
    def limit_bytes(self, queue: str, most: int | None) -> None:
        self.run(self.core.queue.catalogue.configure(queue, {"bytes_max": most}))
        self.bytes.pop(queue, None)
        if most is not None:
            self.bytes[queue] = most

    # -- time ----------------------------------------------------------------------------------

    @rule(span_ms=st.sampled_from([1, 499, 1_000]), swept=st.booleans())
    def wait(self, span_ms: int, *, swept: bool) -> None:
        self.clock.advance(span_ms / 1000)
        if swept:
            self.run(self.core.sweeper.sweep())

    @rule()
    def restart(self) -> None:
        self.stop()
        self.start_anew()

    @invariant()
    def what_is_told_is_so(self) -> None:
        if not hasattr(self, "core"):
            return
        loads = self.loads()
        for info in self.run(self.core.queue.catalogue.all()):
            assert info.paused == self.paused(info.queue)
            assert info.draining == (info.queue in self.draining)
            assert info.bytes == (loads[info.queue][1] if info.queue in self.bytes else None)
        assert (self.run(self.core.queue.catalogue.node_pause()) is not None) == self.paused(None)
        assert not self.run(self.core.drift())


TestMachine = Machine.TestCase
if settings.get_current_profile_name() != "long":
    TestMachine.settings = settings(max_examples=30, stateful_step_count=40)
