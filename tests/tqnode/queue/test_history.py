"""Many workers at once, some of them bad: what each was answered is put down and checked as a whole."""

import asyncio
import itertools
import random
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.tqnode.nodes import Core, ask, ids_of, open_core, spec
from tqnode.errors import LeaseLost
from tqnode.task import ClaimedTask, Complete, Fail, Finish, Finished, Snooze, TaskState

TASKS, WORKERS = 150, 12
LEASE_MS = 3_000


@dataclass(frozen=True)
class Entry:
    """One operation on one task, between two moments of the history."""

    began: int
    ended: int
    what: str
    task: str
    grant: int
    ok: bool


@dataclass
class History:
    """All that was answered."""

    entries: list[Entry] = field(default_factory=list)
    _moments: "itertools.count[int]" = field(default_factory=itertools.count)

    def moment(self) -> int:
        return next(self._moments)

    def note(self, began: int, what: str, task: ClaimedTask, *, ok: bool = True) -> None:
        grant = int(task.token.partition("-")[0])
        self.entries.append(Entry(began, self.moment(), what, task.id, grant, ok))

    def of(self, *what: str) -> list[Entry]:
        return [entry for entry in self.entries if entry.what in what and entry.ok]


class BadWorker:
    """Works, fails, dies, comes late, sends things twice and hangs up while it waits.

    Args:
        core: the node.
        history: where it puts down what it was answered.
        seed: what it happens to do.
    """

    def __init__(self, core: Core, history: History, seed: int) -> None:
        self._core = core
        self._history = history
        self._chance = random.Random(seed)
        self._name = f"w{seed}"
        self._abandoned: list[ClaimedTask] = []

    async def run(self, done: asyncio.Event) -> None:
        while not done.is_set():
            for task in await self._claim():
                await self._work_on(task)
            if self._abandoned and self._chance.random() < 0.3:
                await self._finish(self._abandoned.pop(0), "complete")

    async def _claim(self) -> list[ClaimedTask]:
        began = self._history.moment()
        asked = ask(worker=self._name, max=self._chance.randint(1, 3))
        claiming = asyncio.create_task(self._core.queue.claim(asked, wait_s=0.05))
        if self._chance.random() < 0.3:
            for _ in range(self._chance.randint(0, 30)):
                await asyncio.sleep(0)
            claiming.cancel()
        await asyncio.wait([claiming])
        tasks = [] if claiming.cancelled() else claiming.result()
        for task in tasks:
            self._history.note(began, "claim", task)
        return tasks

    async def _work_on(self, task: ClaimedTask) -> None:
        if self._chance.random() < 0.3:
            await self._heartbeat(task)
        outcome = self._chance.choices(["complete", "fail", "snooze", "abandon"], [6, 2, 1, 2])[0]
        if outcome == "abandon":
            self._abandoned.append(task)
            return
        first = await self._finish(task, outcome)
        if self._chance.random() < 0.3:
            again = await self._finish(task, outcome)
            # In between somebody else may have claimed it; then the answer of the first is forgotten.
            assert again == first or again is None
        if self._chance.random() < 0.2:
            other = "fail" if outcome == "complete" else "complete"
            assert await self._finish(task, other) is None, "one token, two outcomes"

    async def _heartbeat(self, task: ClaimedTask) -> None:
        began = self._history.moment()
        try:
            await self._core.queue.heartbeat(task.id, task.token, lease_ms=None, progress=None)
        except LeaseLost:
            self._history.note(began, "heartbeat", task, ok=False)
        else:
            self._history.note(began, "heartbeat", task)

    async def _finish(self, task: ClaimedTask, outcome: str) -> Finished | None:
        finishes: dict[str, Finish] = {
            "complete": Complete(id=task.id, token=task.token),
            "fail": Fail(id=task.id, token=task.token, delay_ms=0),
            "snooze": Snooze(id=task.id, token=task.token),
        }
        began = self._history.moment()
        (answer,) = await self._core.queue.finish([finishes[outcome]])
        assert isinstance(answer, Finished | LeaseLost)
        self._history.note(began, outcome, task, ok=isinstance(answer, Finished))
        return answer if isinstance(answer, Finished) else None


async def let_time_pass(core: Core, done: asyncio.Event) -> None:
    """Sweeps until every task has succeeded."""
    while not done.is_set():
        core.clock.advance(0.25)
        await core.sweeper.sweep()
        if (await core.queue.stats()).totals == {"succeeded": TASKS}:
            done.set()


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_what_many_workers_were_answered_fits_together(tmp_path: Path, seed: int) -> None:
    history = History()
    async with open_core(tmp_path / "tq.db", seed=seed, crashes_max=1000) as core:
        done = asyncio.Event()
        workers = [BadWorker(core, history, 100 * seed + n).run(done) for n in range(WORKERS)]
        running = asyncio.gather(*workers, let_time_pass(core, done))
        made = []
        for _ in range(TASKS // 10):
            made += ids_of(
                await core.queue.enqueue([spec(lease_ms=LEASE_MS, max_attempts=1000) for _ in range(10)])
            )
        await asyncio.wait_for(running, 60)
        assert not await core.drift()
        stored = await core.rows("SELECT state, count(*) FROM task GROUP BY state")
        assert stored == [("succeeded", TASKS)]
        assert [await core.state(task_id) for task_id in made] == [TaskState.SUCCEEDED] * TASKS
    nothing_is_lost(history, made)
    each_task_is_completed_under_one_token(history)
    grants_strictly_increase(history)
    nothing_is_done_with_an_older_grant(history)


def nothing_is_lost(history: History, made: list[str]) -> None:
    assert {entry.task for entry in history.of("complete")} == set(made)
    assert {entry.task for entry in history.entries} == set(made)


def each_task_is_completed_under_one_token(history: History) -> None:
    completed = {(entry.task, entry.grant) for entry in history.of("complete")}
    assert len(completed) == TASKS
    ended = {(entry.task, entry.grant, entry.what) for entry in history.of("complete", "fail", "snooze")}
    assert len(ended) == len({(task, grant) for task, grant, _ in ended}), "one token, one outcome"


def grants_strictly_increase(history: History) -> None:
    grants: dict[str, list[Entry]] = {}
    for entry in history.of("claim"):
        grants.setdefault(entry.task, []).append(entry)
    for claims in grants.values():
        assert len({claim.grant for claim in claims}) == len(claims)
        for one, other in itertools.combinations(claims, 2):
            if one.ended < other.began:
                assert one.grant < other.grant
    assert max(len(claims) for claims in grants.values()) > 1, "no task was claimed twice: nothing was tried"


def nothing_is_done_with_an_older_grant(history: History) -> None:
    newest: dict[str, list[Entry]] = {}
    for entry in history.of("claim"):
        newest.setdefault(entry.task, []).append(entry)
    for done in history.of("heartbeat", "complete", "fail", "snooze"):
        before = [claim.grant for claim in newest[done.task] if claim.ended < done.began]
        assert done.grant >= max(before)
    assert [entry for entry in history.entries if not entry.ok], "nobody came too late: nothing was tried"
