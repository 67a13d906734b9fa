"""The HTTP server: its bounds on connections, its deadlines, its stop. Over real sockets."""

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
import uvloop

from tests.waiting import eventually_async
from tqnode.clock import SystemClock
from tqnode.config import Config
from tqnode.http_server import HttpServer, ListenError, bind, url_of

Handler = Callable[[Callable[[], Awaitable[Any]]], Awaitable[bytes]]


def app_of(handler: Handler) -> Callable[..., Awaitable[None]]:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        body = await handler(receive)
        headers = [(b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    return app


async def hello(_receive: Callable[[], Awaitable[Any]]) -> bytes:
    return b"hello"


@contextlib.asynccontextmanager
async def serving(handler: Handler = hello, **settings: Any) -> AsyncIterator[tuple[HttpServer, int]]:
    config = Config(listen="127.0.0.1:0", **settings)
    listener = bind(config)
    port = listener.getsockname()[1]
    server = HttpServer(app_of(handler), listener=listener, config=config, clock=SystemClock())
    await server.start()
    try:
        yield server, port
    finally:
        server.hurry()
        await server.stop(grace_s=0)


@contextlib.asynccontextmanager
async def connected(port: int) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield reader, writer
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


async def answer_to(port: int, data: bytes) -> bytes:
    """All the server sends until it closes."""
    async with connected(port) as (reader, writer), asyncio.timeout(10):
        writer.write(data)
        return await reader.read()


async def test_a_request_is_answered_without_naming_the_software() -> None:
    async with serving() as (_, port):
        answer = await answer_to(port, b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"\r\ndate: " in answer
    assert b"uvicorn" not in answer
    assert answer.endswith(b"\r\n\r\nhello")


@pytest.mark.parametrize(
    "sent", [b"rubbish\r\n\r\n", b"GET /\xff HTTP/1.1\r\n\r\n", b"GET / HTTP/1.1\r\nno colon\r\n\r\n"]
)
async def test_what_is_not_http_gets_a_problem_as_every_error(sent: bytes) -> None:
    async with serving() as (_, port):
        head, _, body = (await answer_to(port, sent)).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 Bad Request")
    assert b"content-type: application/problem+json" in head
    assert json.loads(body)["code"] == "invalid_http"


@pytest.mark.parametrize("header", [b"a: " + b"b" * 300_000, b"a: b\r\n" * 50_000])
async def test_a_head_without_end_is_refused_before_it_fills_the_memory(header: bytes) -> None:
    async with serving() as (_, port), connected(port) as (reader, writer), asyncio.timeout(10):
        writer.write(b"GET / HTTP/1.1\r\n" + header)
        head = await reader.readline()
    assert head == b"HTTP/1.1 431 Request Header Fields Too Large\r\n"


async def test_half_a_head_is_answered_408_when_its_time_is_over() -> None:
    async with serving(request_read_s=0.3) as (_, port):
        answer = await answer_to(port, b"GET / HTTP/1.1\r\nhost:")
    assert answer.startswith(b"HTTP/1.1 408 Request Timeout")
    assert b'"request_timeout"' in answer


async def test_a_head_that_trickles_in_does_not_hold_its_connection() -> None:
    async with serving(request_read_s=0.3) as (server, port), connected(port) as (_, writer):
        writer.write(b"GET / HTTP/1.1\r\na: ")
        assert await eventually_async(lambda: server.connections == 1)

        def let_go_in_spite_of_one_byte_more() -> bool:
            writer.write(b"x")
            return server.connections == 0

        assert await eventually_async(let_go_in_spite_of_one_byte_more)


async def test_a_connection_that_says_nothing_is_closed() -> None:
    async with serving(request_read_s=0.3) as (_, port):
        assert await answer_to(port, b"") == b""


async def test_half_a_second_request_is_answered_408_too() -> None:
    async with serving(request_read_s=0.3) as (_, port):
        answer = await answer_to(port, b"GET / HTTP/1.1\r\nhost: x\r\n\r\nGET / HT")
    assert answer.count(b"HTTP/1.1 200") == 1
    assert answer.count(b"HTTP/1.1 408") == 1


async def test_a_long_answer_is_waited_for_longer_than_a_request_may_take_to_arrive() -> None:
    async def slow(_receive: Callable[[], Awaitable[Any]]) -> bytes:
        await asyncio.sleep(1)
        return b"late"

    async with serving(slow, request_read_s=0.2) as (_, port):
        answer = await answer_to(port, b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
    assert answer.endswith(b"late")


async def test_a_body_that_never_ends_after_its_answer_does_not_hold_the_connection() -> None:
    async with serving(request_read_s=0.3) as (_, port):
        answer = await answer_to(port, b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 1000\r\n\r\nab")
    assert answer.startswith(b"HTTP/1.1 200 OK")


async def test_a_client_that_does_not_read_its_answer_is_let_go() -> None:
    async def large(_receive: Callable[[], Awaitable[Any]]) -> bytes:
        return b"x" * 30_000_000

    async with serving(large, request_read_s=0.3) as (server, port):
        with socket.create_connection(("127.0.0.1", port)) as client:
            client.sendall(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
            assert await eventually_async(lambda: server.connections == 1)
            assert await eventually_async(lambda: server.connections == 0)


@pytest.mark.parametrize("loop_factory", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_requests_behind_an_answer_that_nobody_reads_are_dropped_without_a_fault(
    loop_factory: Callable[[], asyncio.AbstractEventLoop], caplog: pytest.LogCaptureFixture
) -> None:
    async def large(_receive: Callable[[], Awaitable[Any]]) -> bytes:
        return b"x" * 300_000

    async def neglect() -> None:
        async with serving(large, request_read_s=0.3) as (server, port):
            with socket.create_connection(("127.0.0.1", port)) as client:
                client.sendall(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n" * 100)
                assert await eventually_async(lambda: server.connections == 1)
                assert await eventually_async(lambda: server.connections == 0)

    with asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.run(neglect())
    assert not [record for record in caplog.records if record.exc_info]


async def test_a_connection_beyond_the_most_is_answered_503_and_a_freed_place_is_given_away() -> None:
    async with serving(connections_max=2) as (_, port):
        async with connected(port) as (_, one), connected(port) as (_, two):
            for writer in (one, two):
                writer.write(b"GET / HT")
            refused = await answer_to(port, b"")
            assert refused.startswith(b"HTTP/1.1 503 Service Unavailable")
            assert b"retry-after: 1" in refused
            assert b'"overloaded"' in refused
        ask = b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"

        async def served() -> bool:
            return (await answer_to(port, ask)).startswith(b"HTTP/1.1 200")

        assert await eventually_async(served)


async def test_stop_answers_what_is_in_flight_and_closes_what_is_idle() -> None:
    begun, finish = asyncio.Event(), asyncio.Event()

    async def slow(_receive: Callable[[], Awaitable[Any]]) -> bytes:
        begun.set()
        await finish.wait()
        return b"late"

    async with serving(slow) as (server, port), connected(port) as (busy, ask), connected(port) as (idle, _):
        async with asyncio.timeout(10):
            ask.write(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
            await begun.wait()
            stopping = asyncio.create_task(server.stop(grace_s=5))
            assert await idle.read() == b""
            with pytest.raises(ConnectionRefusedError):
                await asyncio.open_connection("127.0.0.1", port)
            finish.set()
            answer = await busy.read()
            await stopping
    assert answer.endswith(b"late")
    assert b"connection: close" in answer


@pytest.mark.parametrize("hurry", [True, False])
async def test_stop_cuts_off_what_does_not_end_in_time_or_when_hurried(hurry: bool) -> None:
    begun, cancelled = asyncio.Event(), asyncio.Event()

    async def stubborn(_receive: Callable[[], Awaitable[Any]]) -> bytes:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()
        return b"never"

    async with serving(stubborn) as (server, port), connected(port) as (reader, writer):
        async with asyncio.timeout(10):
            writer.write(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
            await begun.wait()
            if hurry:
                server.hurry()
            await server.stop(grace_s=60 if hurry else 0.1)
            await cancelled.wait()
            with contextlib.suppress(ConnectionError):
                assert await reader.read() == b""


def test_a_taken_address_is_refused_with_what_to_do() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(ListenError, match=rf"127.0.0.1:{port} is in use; stop what listens there"):
            bind(Config(listen=f"127.0.0.1:{port}"))


async def test_an_address_taken_between_bind_and_listen_is_refused_too() -> None:
    config = Config(listen="127.0.0.1:0")
    listener = bind(config)
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(listener.getsockname())
        other.listen()
        server = HttpServer(app_of(hello), listener=listener, config=config, clock=SystemClock())
        with pytest.raises(ListenError, match="is in use"):
            await server.start()
    listener.close()


@pytest.mark.parametrize("listen", ["192.0.2.1:0", "no-such-host.invalid:80"])
def test_an_address_of_another_machine_is_refused(listen: str) -> None:
    with pytest.raises(ListenError, match=r"is no address of this machine|cannot listen on"):
        bind(Config(listen=listen))


def test_the_url_names_the_port_the_system_chose() -> None:
    for listen, form in (("127.0.0.1:0", "http://127.0.0.1:{}"), ("[::1]:0", "http://[::1]:{}")):
        with bind(Config(listen=listen)) as listener:
            assert url_of(listener) == form.format(listener.getsockname()[1])
