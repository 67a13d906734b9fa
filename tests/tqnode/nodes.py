"""A node's core for tests: a real store on a real file, with time and chance in the test's hands."""

import asyncio
import contextlib
import dataclasses
import heapq
import itertools
import random
import threading
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from tests.waiting import eventually_async
from tqnode.config import Config
from tqnode.metrics import Metrics
from tqnode.queue import Queue
from tqnode.store import Reader, Store, Tx
from tqnode.store.gate import Gate
from tqnode.sweeper import Sweeper
from tqnode.task import (
    Ask,
    ClaimedTask,
    Complete,
    Enqueued,
    Fail,
    Finish,
    Finished,
    Snooze,
    Task,
    TaskSpec,
    TaskState,
)

T = TypeVar("T")

START_MS = 1_900_000_000_000
"""The wall time at which a test's world begins."""


class FakeClock:
    """Time that passes only when a test says so. Sleepers wake in the order of their deadlines."""

    def __init__(self, *, wall_ms: int = START_MS, monotonic: float = 1_000.0) -> None:
        self._wall_ms = wall_ms
        self._monotonic = monotonic
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._order = itertools.count()

    def now_ms(self) -> int:
        return self._wall_ms

    def monotonic(self) -> float:
        return self._monotonic

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._monotonic + seconds, next(self._order), woken))
        await woken

    @property
    def sleepers(self) -> list[float]:
        """In how many seconds each of those who sleep wakes, soonest first."""
        return sorted(at - self._monotonic for at, _, woken in self._sleepers if not woken.done())

    def advance(self, seconds: float) -> None:
        """Lets time pass: both clocks go on together, and who has slept enough wakes."""
        self._monotonic += seconds
        self._wall_ms += round(seconds * 1000)
        while self._sleepers and self._sleepers[0][0] <= self._monotonic:
            _, _, woken = heapq.heappop(self._sleepers)
            if not woken.done():
                woken.set_result(None)

    def step(self, seconds: float) -> None:
        """Steps the wall clock alone, as an administrator or NTP does."""
        self._wall_ms += round(seconds * 1000)


class SeededRng:
    """Chance that is the same in every run."""

    def __init__(self, seed: int = 0) -> None:
        self._random = random.Random(seed)

    def bits(self, count: int) -> int:
        return self._random.getrandbits(count) if count else 0

    def fraction(self) -> float:
        return self._random.random()


def spec(**fields: Any) -> TaskSpec:
    """A task to enqueue; what a test does not say is usual."""
    usual: dict[str, Any] = {
        "kind": "mail",
        "queue": "default",
        "payload": b"{}",
        "priority": 128,
        "run_at_ms": None,
        "max_attempts": 10,
        "lease_ms": 30_000,
    }
    return TaskSpec(**usual | fields)


def ask(*queues: str, **fields: Any) -> Ask:
    """A claim; of the queue ``default`` and by the worker ``w1`` when a test does not say."""
    return Ask(**{"queues": queues or ("default",), "worker": "w1"} | fields)


def complete(task: ClaimedTask, **fields: Any) -> Complete:
    return Complete(id=task.id, token=task.token, **fields)


def fail(task: ClaimedTask, **fields: Any) -> Fail:
    return Fail(id=task.id, token=task.token, **fields)


def snooze(task: ClaimedTask, delay_ms: int = 0) -> Snooze:
    return Snooze(id=task.id, token=task.token, delay_ms=delay_ms)


@dataclass
class Core:
    """Store, queue and sweeper of one node, without HTTP."""

    clock: FakeClock
    config: Config
    metrics: Metrics
    store: Store
    queue: Queue
    sweeper: Sweeper
    fatal: list[BaseException] = field(default_factory=list)

    async def enqueue(self, **fields: Any) -> str:
        """One task; its id."""
        return (await self.enqueued(**fields)).id

    async def enqueued(self, **fields: Any) -> Enqueued:
        """One task; the whole answer."""
        (made,) = await self.queue.enqueue([spec(**fields)])
        return made

    async def claim(self, *queues: str, wait_s: float = 0, **fields: Any) -> list[ClaimedTask]:
        """Claims one task, or up to ``max``."""
        return await self.queue.claim(ask(*queues, **fields), wait_s=wait_s)

    async def claim_one(self, *queues: str, **fields: Any) -> ClaimedTask:
        """Claims exactly one task."""
        (task,) = await self.claim(*queues, **fields)
        return task

    async def running(self, **fields: Any) -> ClaimedTask:
        """Enqueues a task and claims it."""
        task_id = await self.enqueue(**fields)
        task = await self.claim_one(fields.get("queue", "default"))
        assert task.id == task_id, "the queue was not empty"
        return task

    async def finish(self, finish: Finish) -> Finished:
        """Ends one attempt; a refusal is raised."""
        (answer,) = await self.queue.finish([finish])
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def complete(self, task: ClaimedTask) -> Finished:
        """Completes a claimed task."""
        return await self.finish(complete(task))

    async def state(self, task_id: str) -> TaskState:
        return (await self.queue.get(task_id)).state

    async def task(self, task_id: str) -> Task:
        return await self.queue.get(task_id)

    async def sweep_after(self, seconds: float) -> None:
        """Lets time pass in ticks, so that it does not look like a stall, then sweeps."""
        while seconds > 0:
            tick_s = min(1.0, seconds)
            self.clock.advance(tick_s)
            seconds -= tick_s
            await self.sweeper.sweep()

    async def count(self, table: str) -> int:
        """Rows of a table."""
        rows = await self.rows(f"SELECT count(*) FROM {table}")
        count: int = rows[0][0]
        return count

    async def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """What a statement reads."""
        return await self.store.read(lambda reader: reader.all(sql))

    async def drift(self) -> list[tuple[Any, ...]]:
        """Where the tallies differ from the tasks; empty when all is well."""
        return await self.store.read(tallies_that_lie)


def tallies_that_lie(reader: Reader) -> list[tuple[Any, ...]]:
    """(queue, state, tasks) that only the tallies say, or only the tasks."""
    said = set(reader.all("SELECT queue, state, tasks FROM tally WHERE tasks <> 0"))
    true = set(reader.all("SELECT queue, state, count(*) FROM task GROUP BY queue, state"))
    return sorted(said ^ true)


@contextlib.asynccontextmanager
async def open_core(
    path: Path,
    *,
    clock: FakeClock | None = None,
    seed: int = 0,
    gate: Gate | None = None,
    checkpoints: bool = True,
    **settings: Any,
) -> AsyncIterator[Core]:
    """Opens a node's core on the database ``path``; ``settings`` are keys of the configuration."""
    clock = clock or FakeClock()
    config = dataclasses.replace(Config(), **settings)
    metrics = Metrics()
    fatal: list[BaseException] = []
    store = Store(
        path,
        clock=clock,
        metrics=metrics,
        backlog_max=config.writer_backlog_max,
        on_fatal=fatal.append,
        gate=gate,
        checkpoints=checkpoints,
    )
    queue = Queue(store, clock=clock, rng=SeededRng(seed), config=config, metrics=metrics)
    sweeper = Sweeper(store, queue, clock=clock, config=config)
    try:
        yield Core(clock, config, metrics, store, queue, sweeper, fatal)
    finally:
        await store.close()


class HeldWriter:
    """Keeps the writer's thread busy, so that what is submitted meanwhile comes in one group.

    Args:
        store: whose writer is held.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._go_on = threading.Event()
        self._began = threading.Event()
        self._held: asyncio.Future[None] | None = None

    def _hold(self, _tx: Tx) -> None:
        self._began.set()
        assert self._go_on.wait(30), "nobody let the writer go on"

    def begin(self) -> None:
        """Has the writer held from now on; returns when it is."""
        self._held = self._store.submit(self._hold)
        assert self._began.wait(30), "the writer is busy with something else"

    async def end(self) -> None:
        """Lets the writer go on."""
        self._go_on.set()
        assert self._held is not None
        await self._held

    async def __aenter__(self) -> "HeldWriter":
        self.begin()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.end()


def sample(metrics: Metrics, name: str, **labels: str) -> float:
    """The value of a metric now; 0 when nothing was counted yet."""
    return metrics.registry.get_sample_value(name, labels) or 0.0


async def settle(turns: int = 20) -> None:
    """Lets the event loop run what is ready to run."""
    for _ in range(turns):
        await asyncio.sleep(0)


def ids_of(tasks: Iterable[ClaimedTask | Task | Enqueued]) -> list[str]:
    return [task.id for task in tasks]


def fails_after_writing(error: Exception) -> Callable[[Tx], None]:
    """An operation that writes a row and then fails."""

    def operation(tx: Tx) -> None:
        add_queue(tx, "half-made")
        raise error

    return operation


def add_queue(tx: Tx, name: str) -> str:
    """A small write, for tests of the writer alone."""
    tx.run(
        "INSERT INTO queue (name, created_at_ms) VALUES (:name, :now_ms)",
        {"name": name, "now_ms": tx.now_ms},
    )
    return name


def adds(name: str) -> Callable[[Tx], str]:
    """An operation that does so."""
    return lambda tx: add_queue(tx, name)


@contextlib.asynccontextmanager
async def sweeping(core: Core) -> AsyncIterator[None]:
    """Runs the sweeper; inside, it has swept once and sleeps."""
    running = asyncio.create_task(core.sweeper.run())
    await eventually_async(lambda: core.clock.sleepers)
    try:
        yield
        assert not running.done()
    finally:
        running.cancel()
        await asyncio.wait([running])
