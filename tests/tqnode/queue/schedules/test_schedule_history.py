"""A schedule through arbitrary histories, beside a model of a few lines.

Time passes, the clock steps, the node restarts, people pause and put, workers finish; whatever comes, each
tick is dealt with once, as the policies say.
"""

import asyncio
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.tqnode.nodes import START_MS, Core, FakeClock, open_core
from tests.tqnode.queue.scheduling import EVERY_MS, get, made, put, second
from tqnode.queue.schedules.firing import LATE_MS, MADE_UP_MAX

EVERY_S = EVERY_MS // 1000
Action = tuple[str, float]

ACTIONS = st.one_of(
    st.tuples(st.just("pass"), st.sampled_from((0.5, 3.0, 10.0, 25.0, 130.0, 1_500.0))),
    st.tuples(st.just("step"), st.sampled_from((-2_000.0, -30.0, -1.0, 1.0, 45.0, 400.0))),
    st.tuples(st.sampled_from(("restart", "finish", "claim", "pause", "resume", "put")), st.just(0.0)),
)


class Model:
    """What must have become of the ticks, reckoned tick by tick."""

    def __init__(self, missed: str, overlap: str) -> None:
        self.missed = missed
        self.overlap = overlap
        self.paused = False
        self.done = START_MS
        self.made: list[list[Any]] = []
        """The second and the state of each task."""

    def resume(self, now_ms: int) -> None:
        if self.paused:
            self.done = max(self.done, now_ms)
        self.paused = False

    def sweep(self, now_ms: int) -> None:
        if self.paused:
            return
        first = self.done - (self.done - START_MS) % EVERY_MS + EVERY_MS
        waiting = [*range(first, now_ms + 1, EVERY_MS)]
        if not waiting:
            return
        self.done = waiting[-1]
        if self.missed == "all":
            chosen = waiting[-MADE_UP_MAX:]
        elif self.missed == "one" or now_ms - waiting[-1] <= LATE_MS:
            chosen = waiting[-1:]
        else:
            chosen = []
        for tick in chosen:
            last = self.made[-1] if self.made else None
            if last is not None and last[1] in ("ready", "running"):
                if self.overlap == "skip":
                    continue
                if self.overlap == "replace" and last[1] == "ready":
                    last[1] = "cancelled"
            self.made.append([(tick - START_MS) / 1000, "ready"])

    def become(self, before: str, after: str) -> None:
        for task in self.made:
            if task[1] == before:
                task[1] = after


async def act(core: Core, model: Model, action: Action) -> None:
    what, seconds = action
    now_ms = core.clock.now_ms()
    if what == "pass":
        core.clock.advance(seconds)
    elif what == "step":
        core.clock.step(seconds)
    elif what == "pause":
        await core.queue.scheduler.pause("often")
        model.paused = True
    elif what == "resume":
        await core.queue.scheduler.resume("often")
        model.resume(now_ms)
    elif what == "put":
        await put(core, missed=model.missed, overlap=model.overlap)
    elif what == "claim":
        await core.claim(max=1_000, lease_ms=10**9)
        model.become("ready", "running")
    elif what == "finish":
        for task in await core.claim(max=1_000):
            await core.complete(task)
        model.become("ready", "succeeded")
    await core.sweeper.sweep()
    model.sweep(core.clock.now_ms())
    found = [[second(about), state] for about, state in await made(core)]
    assert found == model.made, action
    schedule = await get(core)
    assert schedule.fires == len(found)
    assert schedule.paused == model.paused
    assert not await core.drift()


async def live(folder: Path, model: Model, actions: list[Action]) -> None:
    clock = FakeClock()
    path = folder / "tq.db"
    kept: dict[str, Any] = dict.fromkeys(("keep_succeeded_s", "keep_cancelled_s"), -1)
    async with open_core(path, clock=clock, **kept) as core:
        await put(core, missed=model.missed, overlap=model.overlap)
    for action in actions:
        # Each in a life of the node's own: what is not in the file is not known.
        async with open_core(path, clock=clock, **kept) as core:
            await act(core, model, action)


@given(
    missed=st.sampled_from(("skip", "one", "all")),
    overlap=st.sampled_from(("allow", "skip", "replace")),
    actions=st.lists(ACTIONS, min_size=3, max_size=12),
)
@settings(max_examples=40, deadline=None)
def test_each_tick_is_dealt_with_once_as_the_policies_say_whatever_happens(
    missed: str, overlap: str, actions: list[Action]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(live(Path(folder), Model(missed, overlap), actions))
