"""The deliverer claims what is to be told, so much at a time, and loses none of it whenever it stops."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from tests.tqnode.delivery.servers import NO_CONTENT, Server, server
from tests.tqnode.nodes import Core, HeldWriter, open_core, sample, settle
from tests.waiting import eventually_async
from tqnode.delivery.courier import Courier
from tqnode.delivery.deliverer import Deliverer
from tqnode.delivery.endpoints import Endpoint, Endpoints
from tqnode.delivery.silence import SILENT_AFTER
from tqnode.queue import Filters
from tqnode.queue.webhooks import QUEUE
from tqnode.task import TaskState, Webhook

ENDPOINTS = Endpoints([Endpoint("default", (b"k" * 32,))])
RETRY = b'{"type":"fixed","delay_s":10.0}'
FILTERS = Filters(queues=(QUEUE,))


@contextlib.asynccontextmanager
async def delivering(core: Core, endpoints: Endpoints = ENDPOINTS) -> AsyncIterator[Deliverer]:
    """A deliverer at work; it must not have failed in the end."""
    courier = Courier(endpoints, config=core.config, clock=core.clock)
    deliverer = Deliverer(
        core.store, core.queue, courier, clock=core.clock, config=core.config, metrics=core.metrics
    )
    running = asyncio.create_task(deliverer.run())
    try:
        yield deliverer
        assert not running.done()
    finally:
        running.cancel()
        await asyncio.wait([running])
    assert running.cancelled()


@pytest.fixture
async def open_world(tmp_path: Path) -> AsyncIterator[Core]:
    """A core that may deliver to this machine, two at a time."""
    async with open_core(
        tmp_path / "tq.db", webhook_allow="127.0.0.0/8", webhook_concurrency=2, webhook_timeout_s=30.0
    ) as core:
        yield core
        assert await core.drift() == []


async def end_some(core: Core, url: str, tasks: int = 1) -> None:
    hook = Webhook(url=url, retry=RETRY)
    for _ in range(tasks):
        await core.queue.cancel(await core.enqueue(webhook=hook))


async def counts(core: Core) -> dict[str, int]:
    return {state: tasks for state, tasks in (await core.queue.catalogue.one(QUEUE)).counts.items() if tasks}


def url_of(there: Server) -> str:
    return f"http://127.0.0.1:{there.port}/"


def outcomes(core: Core, outcome: str) -> float:
    return sample(core.metrics, "tq_webhook_deliveries_total", outcome=outcome)


async def test_what_waits_already_and_what_comes_is_delivered_so_much_at_a_time(open_world: Core) -> None:
    core = open_world

    async def slow(writer: asyncio.StreamWriter) -> None:
        for _ in range(20):
            await asyncio.sleep(0)
        writer.write(NO_CONTENT)

    async with server(slow) as there:
        await end_some(core, url_of(there), 5)
        async with delivering(core):
            await end_some(core, url_of(there), 5)

            async def all_there() -> bool:
                return await counts(core) == {"succeeded": 10}

            await eventually_async(all_there)
    assert there.most_at_hand == 2
    assert outcomes(core, "delivered") == 10


async def test_what_is_under_way_at_a_stop_goes_back_without_an_attempt_spent(open_world: Core) -> None:
    core = open_world

    async def silent(_writer: asyncio.StreamWriter) -> None:
        await asyncio.Event().wait()

    async with server(silent) as there:
        await end_some(core, url_of(there), 3)
        async with delivering(core):
            await eventually_async(lambda: len(there.requests) == 2)
            assert await counts(core) == {"running": 2, "ready": 1}
    assert await counts(core) == {"ready": 3}
    assert outcomes(core, "given_back") == 2
    first = await core.claim_one(QUEUE)
    assert (first.attempt, first.crashes) == (1, 0)


async def test_what_a_dead_deliverer_had_is_delivered_by_the_next_at_once(open_world: Core) -> None:
    core = open_world
    async with server() as there:
        await end_some(core, url_of(there), 2)
        lost = await core.claim(QUEUE, max=2, worker="tqnode")
        async with delivering(core):

            async def all_there() -> bool:
                return await counts(core) == {"succeeded": 2}

            await eventually_async(all_there)
    assert len(there.requests) == 2
    assert [await core.state(task.id) for task in lost] == [TaskState.SUCCEEDED] * 2
    assert {(await core.task(task.id)).attempt for task in lost} == {1}


async def test_a_failed_attempt_is_put_off_and_comes_again_when_it_is_due(open_world: Core) -> None:
    core = open_world
    answers = [b"HTTP/1.1 500 X\r\ncontent-length: 5\r\n\r\nsorry", NO_CONTENT]

    async def one_by_one(writer: asyncio.StreamWriter) -> None:
        writer.write(answers.pop(0))
        await writer.drain()

    async with server(one_by_one) as there, delivering(core):
        await end_some(core, url_of(there))

        async def put_off() -> bool:
            return await counts(core) == {"scheduled": 1}

        await eventually_async(put_off)
        await core.sweep_after(11)
        await eventually_async(lambda: len(there.requests) == 2)

        async def there_now() -> bool:
            return await counts(core) == {"succeeded": 1}

        await eventually_async(there_now)
    (task,) = (await core.queue.page(FILTERS, limit=1, cursor=None, bodies=True)).tasks
    assert [(error.type, error.message) for error in task.errors] == [
        ("webhook_refused", "answered 500: sorry")
    ]
    assert msgspec.json.decode(task.result or b"")["status"] == 204
    bodies = {request.partition(b"\r\n\r\n")[2] for request in there.requests}
    assert bodies == {task.payload}, "the same bytes at each attempt"
    stamps = {request.partition(b"webhook-timestamp: ")[2].split(b"\r\n")[0] for request in there.requests}
    assert len(stamps) == 2


async def test_a_paused_queue_waits_until_it_is_resumed(open_world: Core) -> None:
    core = open_world
    async with server() as there:
        await end_some(core, url_of(there))
        await core.queue.catalogue.pause(QUEUE)
        async with delivering(core):
            await end_some(core, url_of(there))
            assert there.requests == []
            await core.queue.catalogue.resume(QUEUE)
            await eventually_async(lambda: len(there.requests) == 2)


async def test_a_deliverer_that_drains_begins_nothing_more(open_world: Core) -> None:
    core = open_world
    async with server() as there, delivering(core) as deliverer:
        await end_some(core, url_of(there))
        await eventually_async(lambda: len(there.requests) == 1)
        deliverer.drain()
        await end_some(core, url_of(there))

        async def waits() -> bool:
            return await counts(core) == {"succeeded": 1, "ready": 1}

        await eventually_async(waits)
    assert len(there.requests) == 1


async def test_a_secret_that_is_gone_from_the_file_is_a_failed_attempt(open_world: Core) -> None:
    core = open_world
    async with server() as there, delivering(core, Endpoints()):
        await end_some(core, url_of(there))
        await eventually_async(lambda: outcomes(core, "unconfigured") == 1)
    assert there.requests == []


async def test_a_closed_address_is_a_failed_attempt(tmp_path: Path) -> None:
    async with server() as there, open_core(tmp_path / "tq.db") as core, delivering(core):
        await end_some(core, url_of(there))
        await eventually_async(lambda: outcomes(core, "forbidden") == 1)
    assert there.requests == []


async def test_a_fault_in_one_delivery_keeps_no_other_from_its_receiver(
    open_world: Core, caplog: pytest.LogCaptureFixture
) -> None:
    core = open_world
    async with server() as there, delivering(core):
        await end_some(core, "http://[::1")  # what no enqueue over HTTP lets in
        await core.queue.cancel(await core.enqueue(webhook=Webhook(endpoint="x" * 10, url=None)))
        await end_some(core, url_of(there))
        await eventually_async(lambda: len(there.requests) == 1)
        await eventually_async(lambda: outcomes(core, "forbidden") + outcomes(core, "unconfigured") == 2)
    assert "Traceback" not in caplog.text


async def test_an_answer_that_came_just_before_the_stop_is_kept_and_nobody_is_told_twice(
    tmp_path: Path,
) -> None:
    asked, answering = asyncio.Event(), asyncio.Event()

    async def answer(writer: asyncio.StreamWriter) -> None:
        asked.set()
        await answering.wait()
        writer.write(NO_CONTENT)
        await writer.drain()

    async with open_core(tmp_path / "tq.db", webhook_allow="127.0.0.0/8") as core, server(answer) as there:
        await end_some(core, url_of(there))
        async with contextlib.AsyncExitStack() as stack:
            await stack.enter_async_context(delivering(core))
            await asyncio.wait_for(asked.wait(), 20)
            async with HeldWriter(core.store):
                answering.set()
                await eventually_async(lambda: outcomes(core, "delivered") == 1)
                stopping = asyncio.create_task(stack.aclose())
                await settle()
            await stopping
        assert outcomes(core, "given_back") == 0
        assert await counts(core) == {"succeeded": 1}
        async with delivering(core):
            await settle()
        assert len(there.requests) == 1


async def test_a_silent_receiver_does_not_keep_the_others_from_theirs(tmp_path: Path) -> None:
    async def silent(_writer: asyncio.StreamWriter) -> None:
        await asyncio.Event().wait()

    settings = {"webhook_allow": "127.0.0.0/8", "webhook_concurrency": 1, "webhook_timeout_s": 1.0}
    async with open_core(tmp_path / "tq.db", **settings) as core, server(silent) as mute, server() as there:
        await end_some(core, url_of(mute), 30)
        await end_some(core, url_of(there))
        async with delivering(core):
            await eventually_async(lambda: outcomes(core, "delivered") == 1)
            assert outcomes(core, "timeout") == SILENT_AFTER
            assert outcomes(core, "put_off") == 30 - SILENT_AFTER
        assert (await counts(core))["scheduled"] == 30
        tasks = (await core.queue.page(FILTERS, limit=31, cursor=None, bodies=False)).tasks
        assert sorted(task.attempt for task in tasks) == [0] * 27 + [1] * 4
        assert await core.drift() == []
