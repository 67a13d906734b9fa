"""Many threads, or asyncio tasks, that enqueue with one client at a time, against a real node."""

import asyncio
import contextlib
import random
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tq
from tests.e2e.cutting_proxy import cutting
from tests.e2e.processes import NodeProcess, running_node
from tests.waiting import eventually
from tq import wire

CALLERS = 32
FLAGS = ("--payload-bytes-max", "1024", "--max-attempts", "7", "--lease-s", "12.5")
TOO_LARGE = "x" * 1024

Enqueue = Callable[[int], tuple[tuple[Any, ...], dict[str, Any]]]
End = wire.Task | BaseException


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeProcess]:
    with running_node(tmp_path_factory.mktemp("node"), *FLAGS) as running:
        yield running


@pytest.fixture
def queue(request: pytest.FixtureRequest) -> str:
    """A queue that no other test uses."""
    return str(request.node.name).replace("[", "-").replace("]", "")


def in_threads(url: str, arguments: Enqueue, each: int, **options: Any) -> list[list[End]]:
    """How each caller's enqueues ended, one after the other."""

    def caller(client: tq.Client, number: int) -> list[End]:
        ends: list[End] = []
        for index in range(each):
            args, kwargs = arguments(number * each + index)
            try:
                ends.append(client.enqueue(*args, **kwargs))
            except tq.TqError as error:
                ends.append(error)
        return ends

    with tq.Client(url, **options) as client, ThreadPoolExecutor(CALLERS) as pool:
        return list(pool.map(lambda number: caller(client, number), range(CALLERS)))


def in_tasks(url: str, arguments: Enqueue, each: int, **options: Any) -> list[list[End]]:
    """As :func:`in_threads`, with an event loop."""

    async def caller(client: tq.AsyncClient, number: int) -> list[End]:
        ends: list[End] = []
        for index in range(each):
            args, kwargs = arguments(number * each + index)
            try:
                ends.append(await client.enqueue(*args, **kwargs))
            except tq.TqError as error:
                ends.append(error)
        return ends

    async def run() -> list[list[End]]:
        async with tq.AsyncClient(url, **options) as client:
            return await asyncio.gather(*(caller(client, number) for number in range(CALLERS)))

    return asyncio.run(run())


Run = Callable[..., list[list[End]]]
both = pytest.mark.parametrize("run", [in_threads, in_tasks], ids=["threads", "tasks"])


def flat(ends: list[list[End]]) -> list[End]:
    return [end for of_caller in ends for end in of_caller]


def stored(url: str, queue: str) -> dict[str, Any]:
    """Payloads by id."""
    with tq.Client(url) as client:
        return {task.id: tq.value(task.payload) for task in client.list(queue=queue, payload=True)}


@both
def test_each_caller_gets_its_own_task_and_those_refused_their_own_error(
    node: NodeProcess, queue: str, run: Run
) -> None:
    def arguments(number: int) -> tuple[tuple[Any, ...], dict[str, Any]]:
        bad = number % 50 == 7
        return ("k", TOO_LARGE if bad else number), {"queue": queue, "tags": [str(number)]}

    ends = flat(run(node.url, arguments, 40))
    found = stored(node.url, queue)
    made = {number: end for number, end in enumerate(ends) if isinstance(end, wire.Task)}
    assert {end.id: number for number, end in made.items()} == found
    assert all(end.tags == [str(number)] for number, end in made.items())
    refused = [end for end in ends if not isinstance(end, wire.Task)]
    assert len(refused) == sum(number % 50 == 7 for number in range(CALLERS * 40))
    assert {(type(end), getattr(end, "field", None)) for end in refused} == {
        (tq.errors.InvalidField, "payload")
    }


@both
def test_tasks_are_made_once_each_when_answers_are_lost(node: NodeProcess, queue: str, run: Run) -> None:
    chance = random.Random(11)
    with cutting(node.url, lambda _: chance.random() < 0.3) as proxy:
        ends = flat(run(proxy.url, lambda number: (("k", number), {"queue": queue}), 20, retries=50))
        assert proxy.lost > 3
        # They went together: singly there would be as many answers as tasks.
        assert proxy.answers < len(ends) / 2
    found = stored(node.url, queue)
    assert {end.id: number for number, end in enumerate(ends) if isinstance(end, wire.Task)} == found
    assert len(found) == len(ends)


@both
def test_no_task_is_lost_or_made_twice_when_the_node_is_killed_and_comes_back(
    tmp_path: Path, run: Run
) -> None:
    with running_node(tmp_path) as node, ThreadPoolExecutor(1) as pool:
        going = pool.submit(run, node.url, numbered, 120, timeout_s=60.0, retries=50)
        for count in (100, 1500):
            eventually(lambda count=count: stored_tasks(node.url) >= count)  # type: ignore[misc]  # its default
            node.kill()
            assert not going.done()
            node.restart()
        ends = flat(going.result(90))
        found = stored(node.url, "q")
    assert {end.id: number for number, end in enumerate(ends) if isinstance(end, wire.Task)} == found
    assert len(found) == len(ends) == CALLERS * 120


def numbered(number: int) -> tuple[tuple[Any, ...], dict[str, Any]]:
    return ("k", number), {"queue": "q"}


def stored_tasks(url: str) -> int:
    with contextlib.suppress(tq.errors.QueueNotFound), tq.Client(url) as client:
        return client.queue("q").counts.get("ready", 0)
    return 0


OPTIONS: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {},
    optional={
        "payload": st.sampled_from([None, 1, "ü", {"a": [1]}]),
        "priority": st.integers(0, 255),
        "max_attempts": st.integers(1, 1000),
        "retry": st.sampled_from(
            [tq.Fixed(delay_s=3), tq.Linear(), tq.Exponential(base_s=1, jitter=0), tq.Listed(delays_s=[1, 2])]
        ),
        "lease_s": st.floats(1e-6, 1000),
        "timeout_s": st.floats(1e-6, 1e6),
        "tags": st.lists(st.sampled_from("abc"), max_size=4),
        "meta": st.just({"m": 1}),
    },
)


def without_identity(task: wire.Task) -> bytes:
    kept = msgspec.structs.replace(task, id="", created_at="", run_at="")
    return msgspec.json.encode(kept)


@settings(max_examples=30)
@given(st.lists(OPTIONS, min_size=2, max_size=20))
def test_the_answer_in_a_crowd_is_the_one_a_lone_caller_gets(
    node: NodeProcess, rows: list[dict[str, Any]]
) -> None:
    async def run() -> tuple[list[wire.Task], list[wire.Task]]:
        async with tq.AsyncClient(node.url) as client:
            lone = [await client.enqueue("k", **row) for row in [{}, *rows]]
            return lone, await asyncio.gather(*(client.enqueue("k", **row) for row in [{}, *rows]))

    lone, together = asyncio.run(run())
    assert [without_identity(task) for task in together] == [without_identity(task) for task in lone]
    assert lone[0].lease_s == 12.5
    with tq.Client(node.url) as client:
        last = together[-1]
        kept = client.get(last.id)
    assert (kept.created_at, kept.run_at) == (last.created_at, last.run_at)
