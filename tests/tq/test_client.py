"""Both clients over real HTTP: each test runs with the blocking one and with the async one."""

import asyncio
import itertools
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import tq
from tests.tq.driving import task_row
from tests.tq.scripted_server import Say, Server, free_port, serving
from tests.tq.test_sse import TASK
from tests.waiting import eventually_async

ID = "018f0000-0000-7000-8000-000000000001"
STREAM = {"content-type": "text/event-stream"}


class Blocking:
    """The blocking client."""

    name = "Client"

    def __init__(self, url: Any, **options: Any) -> None:
        self._client = tq.Client(url, **options)

    def call(self, method: str, *args: Any, **kwargs: Any) -> Any:
        return getattr(self._client, method)(*args, **kwargs)

    def take(self, count: int, method: str, **kwargs: Any) -> list[Any]:
        items = getattr(self._client, method)(**kwargs)
        found = list(itertools.islice(items, count))
        items.close()
        return found

    def close(self) -> None:
        self._client.close()


class Awaited:
    """The async client, on a loop of its own."""

    name = "AsyncClient"

    def __init__(self, url: Any, **options: Any) -> None:
        self._runner = asyncio.Runner()
        self._client = tq.AsyncClient(url, **options)

    def call(self, method: str, *args: Any, **kwargs: Any) -> Any:
        return self._runner.run(getattr(self._client, method)(*args, **kwargs))

    def take(self, count: int, method: str, **kwargs: Any) -> list[Any]:
        async def taken() -> list[Any]:
            found: list[Any] = []
            items = getattr(self._client, method)(**kwargs)
            async for item in items:
                found.append(item)
                if len(found) == count:
                    break
            await items.aclose()
            return found

        return self._runner.run(taken())

    def close(self) -> None:
        self._runner.run(self._client.close())
        # As asyncio.run does: what httpx leaves to the loop after a half-read answer gets done.
        self._runner.close()


Maker = Callable[..., Blocking | Awaited]


@pytest.fixture(params=[Blocking, Awaited], ids=lambda kind: kind.name)
def connect(request: pytest.FixtureRequest) -> Iterator[Maker]:
    """Makes clients of one kind; closes them."""
    made: list[Blocking | Awaited] = []

    def make(url: Any, **options: Any) -> Blocking | Awaited:
        made.append(request.param(url, **options))
        return made[-1]

    yield make
    for client in made:
        client.close()


def stored(status: int = 201) -> Say:
    return Say(status, task_row(ID))


def test_a_call_goes_out_whole_and_comes_back_typed(connect: Maker) -> None:
    with serving(stored()) as server:
        task = connect(server.url, token="secret").call("enqueue", "k", {"a": 1}, priority=7)
    assert isinstance(task, tq.wire.Task)
    (got,) = server.got
    assert (got.method, got.path, got.body) == (
        "POST",
        "/v1/tasks",
        b'{"kind":"k","payload":{"a":1},"priority":7}',
    )
    assert got.headers["content-type"] == "application/json"
    assert got.headers["authorization"] == "Bearer secret"
    assert got.headers["user-agent"] == f"tq/{tq.__version__}"
    assert len(got.headers["idempotency-key"]) == 36


def test_a_task_made_before_is_enqueued_as_it_is(connect: Maker) -> None:
    with serving(stored()) as server:
        connect(server.url).call("enqueue_task", tq.new_task("k", 1), idempotency_key="mine")
    assert server.got[0].headers["idempotency-key"] == "mine"


@pytest.mark.parametrize("cut_after", [0, 5])
def test_an_answer_cut_off_makes_an_enqueue_go_out_again_with_its_key(connect: Maker, cut_after: int) -> None:
    with serving(Say(201, task_row(ID), cut_after=cut_after), stored()) as server:
        task = connect(server.url).call("enqueue", "k")
    assert task.id == ID
    first, second = server.got
    assert (first.headers["idempotency-key"], first.body) == (second.headers["idempotency-key"], second.body)


@pytest.mark.parametrize("cut_after", [0, 5])
def test_an_answer_cut_off_leaves_a_claim_unknown(connect: Maker, cut_after: int) -> None:
    with (
        serving(Say(200, {"tasks": []}, cut_after=cut_after)) as server,
        pytest.raises(tq.errors.OutcomeUnknown, match="POST /v1/claims may or may not"),
    ):
        connect(server.url).call("claim", "w")
    assert len(server.got) == 1


def test_a_node_that_stays_silent_costs_no_more_than_the_time_of_the_call(connect: Maker) -> None:
    began = time.monotonic()
    with (
        serving(Say(cut_after=0, hang=True)) as server,
        pytest.raises(tq.errors.TqUnavailable, match="nothing came in time"),
    ):
        connect(server.url, timeout_s=0.3).call("get", ID)
    assert 0.3 <= time.monotonic() - began < 5


def test_a_node_that_falls_silent_in_its_answer_costs_no_more_either(connect: Maker) -> None:
    began = time.monotonic()
    with (
        serving(Say(200, {"tasks": []}, cut_after=3, hang=True)) as server,
        pytest.raises(tq.errors.OutcomeUnknown),
    ):
        connect(server.url, timeout_s=0.3).call("claim", "w")
    assert 0.3 <= time.monotonic() - began < 5


def test_a_node_that_answers_drop_by_drop_costs_no_more_either(connect: Maker) -> None:
    began = time.monotonic()
    with (
        serving(Say(200, {"tasks": []}, drop_s=0.1)) as server,
        pytest.raises(tq.errors.OutcomeUnknown, match="in time"),
    ):
        connect(server.url, timeout_s=0.3).call("claim", "w")
    assert 0.3 <= time.monotonic() - began < 5


def test_an_unreachable_node_is_tried_again_and_then_named(connect: Maker) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(tq.errors.TqUnavailable, match=f"cannot reach {url}: ") as caught:
        connect(url, retries=1).call("enqueue", "k")
    assert "is tqnode running there?" in str(caught.value)


def test_the_next_node_is_asked_when_one_is_gone(connect: Maker) -> None:
    gone = f"http://127.0.0.1:{free_port()}"
    with serving(stored()) as server:
        client = connect(f"{gone},{server.url}", retries=0)
        assert client.call("enqueue", "k").id == ID
        assert client.call("get", ID).id == ID


def test_a_busy_node_is_asked_again(connect: Maker) -> None:
    busy = Say(
        503,
        {
            "type": "x",
            "title": "x",
            "status": 503,
            "code": "overloaded",
            "detail": "so",
            "retry_after_s": 0.01,
        },
        headers={"content-type": "application/problem+json"},
    )
    with serving(busy, busy, stored()) as server:
        assert connect(server.url).call("enqueue", "k").id == ID
    assert len(server.got) == 3


def test_a_redirect_leads_to_the_leader_with_body_token_and_key(connect: Maker) -> None:
    with serving(stored()) as leader:
        moved = Say(307, raw=b"", headers={"location": f"{leader.url}/v1/tasks"})
        with serving(moved) as standby:
            client = connect(standby.url, token="t")
            client.call("enqueue", "k", [1])
            client.call("enqueue", "k", [2])
    assert len(standby.got) == 1
    assert [got.body for got in leader.got] == [b'{"kind":"k","payload":[1]}', b'{"kind":"k","payload":[2]}']
    assert leader.got[0].headers["idempotency-key"] == standby.got[0].headers["idempotency-key"]
    assert leader.got[0].headers["authorization"] == "Bearer t"


def test_a_page_of_a_proxy_is_an_error_with_what_it_says(connect: Maker) -> None:
    page = Say(403, raw=b"<html>Access denied by proxy</html>", headers={"content-type": "text/html"})
    with serving(page) as server, pytest.raises(tq.errors.ApiError, match="Access denied") as caught:
        connect(server.url).call("stats")
    assert (caught.value.status, caught.value.problem) == (403, None)


def test_an_answer_that_is_compressed_wrongly_is_no_answer(connect: Maker) -> None:
    broken = Say(200, raw=b"not gzip", headers={"content-encoding": "gzip"})
    with serving(broken) as server, pytest.raises(tq.errors.TqUnavailable, match="no answer from"):
        connect(server.url, retries=0).call("stats")


def test_calls_one_after_another_share_a_connection(connect: Maker) -> None:
    with serving(stored(200)) as server:
        client = connect(server.url)
        for _ in range(5):
            client.call("get", ID)
    assert server.connections == 1


def test_a_list_is_read_page_by_page(connect: Maker) -> None:
    first = Say(200, {"tasks": [task_row(ID)], "next_cursor": "c"})
    with serving(first, Say(200, {"tasks": [task_row(ID)]})) as server:
        client = connect(server.url)
        assert [task.id for task in client.take(1, "list")] == [ID]
        assert len(server.got) == 1
        assert len(client.take(10, "list", state=["dead"])) == 1
    assert server.got[-1].path == "/v1/tasks?state=dead&limit=500"


def test_events_go_on_over_connections_that_break(connect: Maker) -> None:
    later = TASK.replace(b"b-1", b"b-2")
    with serving(
        Say(raw=TASK + b"id: b-9\ndata: lost", headers=STREAM, cut_after=len(TASK) + 9),
        Say(raw=later, headers=STREAM, cut_after=10_000, hang=True),
    ) as server:
        events = connect(server.url).take(2, "events", queue="q")
    assert [event.id for event in events] == ["b-1", "b-2"]
    assert [got.headers.get("last-event-id") for got in server.got] == [None, "b-1"]


def test_an_error_instead_of_events_is_raised(connect: Maker) -> None:
    refused = Say(
        422,
        {"type": "x", "title": "x", "status": 422, "code": "unknown_field", "detail": "no such filter"},
        headers={"content-type": "application/problem+json"},
    )
    with serving(refused) as server, pytest.raises(tq.errors.UnknownField, match="no such filter"):
        connect(server.url).take(1, "events")


def test_a_closed_client_says_so(connect: Maker) -> None:
    with serving(stored()) as server:
        client = connect(server.url)
        client.call("close")
        with pytest.raises(RuntimeError, match="closed"):
            client.call("get", ID)
    assert server.got == []


def test_a_proxy_from_the_environment_is_not_used_for_this_machine(
    connect: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{free_port()}")
    with serving(stored()) as server:
        assert connect(server.url).call("enqueue", "k").id == ID


def test_threads_share_one_client() -> None:
    with serving(stored(200)) as server, tq.Client(server.url) as client:
        results: list[str] = []
        threads = [
            threading.Thread(target=lambda: results.extend(client.get(ID).id for _ in range(20)))
            for _ in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
    assert results == [ID] * 160


FORK = """
import os, sys, tq
url, task_id = sys.argv[1:]
client = tq.Client(url)
client.get(task_id)
if os.fork() == 0:
    os._exit(client.get(task_id).id != task_id)
assert os.wait()[1] == 0
client.get(task_id)
"""


def test_a_child_process_makes_connections_of_its_own() -> None:
    with serving(stored(200)) as server:
        # In a process without threads, since Python warns of forking one with them.
        subprocess.run([sys.executable, "-W", "error", "-c", FORK, server.url, ID], check=True, timeout=60)
    # The child's is the second; the parent's own, the first, still serves it.
    assert (len(server.got), server.connections) == (3, 2)


async def test_a_cancelled_await_lets_go_of_its_connection() -> None:
    with serving(Say(cut_after=0, hang=True), stored(200)) as server:
        async with tq.AsyncClient(server.url) as client:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(client.claim("w", wait_s=20.0), 0.2)
            assert (await client.get(ID)).id == ID
    assert len(server.got) == 2


async def test_many_concurrent_calls_share_a_few_connections() -> None:
    with serving(stored(200)) as server:
        async with tq.AsyncClient(server.url) as client:
            tasks = await asyncio.gather(*(client.get(ID) for _ in range(100)))
    assert len(tasks) == 100
    assert server.connections <= 8


async def test_calls_that_wait_for_tasks_do_not_hold_back_others() -> None:
    with serving(*[Say(cut_after=0, hang=True)] * 20, stored(200)) as server:
        async with tq.AsyncClient(server.url) as client:
            polls = [asyncio.create_task(client.claim("w", wait_s=20)) for _ in range(20)]
            await eventually_async(lambda: len(server.got) == 20)
            assert (await asyncio.wait_for(client.get(ID), 10)).id == ID
            for poll in polls:
                poll.cancel()
            assert all(
                isinstance(end, asyncio.CancelledError)
                for end in await asyncio.gather(*polls, return_exceptions=True)
            )


async def test_a_call_that_got_no_turn_in_its_time_was_not_sent() -> None:
    with serving(Say(cut_after=0, hang=True)) as server:
        async with tq.AsyncClient(server.url, timeout_s=0.3, retries=0) as client:
            ends = await asyncio.gather(*(client.claim("w") for _ in range(9)), return_exceptions=True)
    kinds = sorted(type(end).__name__ for end in ends)
    assert kinds == ["OutcomeUnknown"] * 8 + ["TqUnavailable"]
    assert len(server.got) == 8


def test_a_server_without_answers_would_fail_the_test_that_uses_it() -> None:
    server = Server()
    server.stop()
    with pytest.raises(tq.errors.TqUnavailable):
        tq.Client(server.url, retries=0).get(ID)
