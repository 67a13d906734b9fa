"""Requests that are late, cut off, too large or no HTTP, over plain sockets."""

import asyncio
import json

from tests.tqnode.api.conftest import Serve, Served, still_well
from tests.waiting import eventually_async

HEAD = b"POST /v1/tasks HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
BODY = b'{"kind":"k"}'


async def exchange(served: Served, *parts: bytes, hang_up: bool = False) -> bytes:
    """Sends parts one after the other, then returns all that comes until the node closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
    try:
        for part in parts:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(0)
        if hang_up:
            writer.transport.abort()
            return b""
        return await asyncio.wait_for(reader.read(), 20)
    except ConnectionError:
        return b""
    finally:
        writer.close()


def code_of(answer: bytes) -> tuple[int, str]:
    """Status and code of a problem as it came over the wire."""
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"content-type: application/problem+json" in head
    return int(answer.split()[1]), json.loads(body)["code"]


async def count(served: Served) -> int:
    return len((await served.http.get("/v1/tasks")).json()["tasks"])


async def test_a_body_in_pieces_is_put_together(served: Served) -> None:
    pieces = [bytes([byte]) for byte in BODY]
    head = HEAD + b"connection: close\r\ncontent-length: %d\r\n\r\n" % len(BODY)
    assert (await exchange(served, head, *pieces)).startswith(b"HTTP/1.1 201 ")
    chunked = HEAD + b"connection: close\r\ntransfer-encoding: chunked\r\n\r\n"
    chunks = [b"1\r\n" + piece + b"\r\n" for piece in pieces]
    assert (await exchange(served, chunked, *chunks, b"0\r\n\r\n")).startswith(b"HTTP/1.1 201 ")
    assert await count(served) == 2


async def test_a_body_that_never_ends_is_given_up(serve_with: Serve) -> None:
    async with serve_with(request_read_s=0.4) as served:
        answer = await exchange(served, HEAD + b"content-length: 100\r\n\r\n" + BODY)
        assert code_of(answer) == (408, "request_timeout")
        assert b"connection: close" in answer
        assert await count(served) == 0
        await still_well(served)


async def test_a_body_that_trickles_is_given_up_too(serve_with: Serve) -> None:
    async with serve_with(request_read_s=0.4) as served:
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
        writer.write(HEAD + b"content-length: 1000000\r\n\r\n")
        answer = b""
        while not answer:
            writer.write(b" ")
            try:
                async with asyncio.timeout(0.05):
                    answer = await reader.read(65_536)
            except TimeoutError:
                continue
        assert code_of(answer) == (408, "request_timeout")
        writer.close()
        await still_well(served)


async def test_half_requests_make_nothing(served: Served) -> None:
    whole = HEAD + b"content-length: %d\r\n\r\n" % len(BODY) + BODY
    for length in range(0, len(whole), 7):
        await exchange(served, whole[:length], hang_up=True)
    await still_well(served)
    assert await count(served) == 1  # the one still_well made


async def test_a_client_that_hangs_up_after_its_request_has_made_its_task_or_not(served: Served) -> None:
    whole = HEAD + b"content-length: %d\r\n\r\n" % len(BODY) + BODY
    for _ in range(20):
        await exchange(served, whole, hang_up=True)
    await still_well(served)
    assert 1 <= await count(served) <= 21


async def test_what_is_no_http_is_told_so(served: Served) -> None:
    for nonsense in (
        b"hello\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET / HTTP/9.9\r\n\r\n",
        b"POST /v1/tasks HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\n",
        b"POST /v1/tasks HTTP/1.1\r\nhost: x\r\ncontent-length: 1e3\r\n\r\n",
        b"POST /v1/tasks HTTP/1.1\r\nhost: x\r\ncontent-length: " + b"9" * 5000 + b"\r\n\r\n",
        b"POST /v1/tasks HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\n12345",
        HEAD + b"transfer-encoding: chunked\r\ncontent-length: 5\r\n\r\n0\r\n\r\n",
        b"POST /v1/tasks HTTP/1.1\r\nhost: x\r\nname without colon\r\n\r\n",
        b"GET /v1/\x00tasks HTTP/1.1\r\nhost: x\r\n\r\n",
    ):
        assert code_of(await exchange(served, nonsense)) == (400, "invalid_http"), nonsense[:80]
    await still_well(served)


async def test_a_path_beyond_ascii_is_refused_and_not_a_fault(served: Served) -> None:
    answer = await exchange(served, b"GET /v1/t\xc3\xa9 HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
    assert answer.split()[1] in (b"400", b"404")
    await still_well(served)


async def test_headers_without_end_are_refused(served: Served) -> None:
    head = b"GET /livez HTTP/1.1\r\nhost: x\r\n"
    one_large = head + b"x-large: " + b"a" * 300_000 + b"\r\n\r\n"
    many = head + b"".join(b"x-%d: %s\r\n" % (number, b"b" * 90) for number in range(3000)) + b"\r\n"
    for request in (one_large, many):
        answer = await exchange(served, request)
        # The node closes on a client that still sends, whose system may then drop the answer.
        assert answer == b"" or code_of(answer) == (431, "headers_too_large")
    await still_well(served)


async def test_a_client_that_asks_first_is_told_before_it_sends(serve_with: Serve) -> None:
    async with serve_with(body_bytes_max=10_000, payload_bytes_max=9_000, result_bytes_max=9_000) as served:
        head = HEAD + b"expect: 100-continue\r\nconnection: close\r\n"
        too_large = await exchange(served, head + b"content-length: 10001\r\n\r\n")
        assert code_of(too_large) == (413, "body_too_large")
        fits = await exchange(served, head + b"content-length: %d\r\n\r\n" % len(BODY), BODY)
        assert fits.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 ")


async def test_requests_sent_ahead_are_answered_in_order(served: Served) -> None:
    one = HEAD + b"content-length: %d\r\n\r\n" % len(BODY) + BODY
    last = b"GET /livez HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
    answer = await exchange(served, one * 20 + last)
    assert answer.count(b"HTTP/1.1 201 ") == 20
    assert answer.rindex(b"HTTP/1.1 200 ") > answer.rindex(b"HTTP/1.1 201 ")
    assert await count(served) == 20


async def test_bodies_on_calls_that_take_none_do_no_harm(served: Served) -> None:
    made = await served.enqueue()
    answer = await served.http.post(f"/v1/tasks/{made['id']}/cancel", content=b"\xff" * 100_000)
    assert answer.json()["state"] == "cancelled"
    answer = await served.http.request("GET", f"/v1/tasks/{made['id']}", content=b"x" * 100_000)
    assert answer.status_code == 200
    await still_well(served)


async def test_the_host_header_decides_nothing(served: Served) -> None:
    for host in (b"x/v1/nothing?", b"user:pass@[::1]:99", b"\xff\xfe", b""):
        request = b"GET /livez HTTP/1.1\r\nhost: " + host + b"\r\nconnection: close\r\n\r\n"
        assert (await exchange(served, request)).startswith(b"HTTP/1.1 200 "), host
        page = b"GET /docs HTTP/1.1\r\nhost: " + host + b"\r\nconnection: close\r\n\r\n"
        assert (await exchange(served, page)).startswith(b"HTTP/1.1 200 "), host


async def test_many_clients_that_vanish_leave_nothing_behind(served: Served) -> None:
    claim = b'{"worker":"w","wait_s":60}'
    head = b"POST /v1/claims HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
    request = head + b"content-length: %d\r\n\r\n" % len(claim) + claim
    for _ in range(5):
        await asyncio.gather(*(exchange(served, request, hang_up=True) for _ in range(30)))
    await eventually_async(lambda: len(served.queue.waiting) == 0)
    await still_well(served)


async def test_a_client_that_reads_late_gets_every_answer_whole(served: Served) -> None:
    """More answers than the sockets' buffers hold wait for the client, and none is torn."""
    whole = (await served.http.get("/openapi.json")).content
    one = b"GET /openapi.json HTTP/1.1\r\nhost: x\r\n\r\n"
    last = b"GET /openapi.json HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
    reader, writer = await asyncio.open_connection("127.0.0.1", served.port, limit=1024)
    writer.write(one * 199 + last)
    await writer.drain()
    for _ in range(50):
        assert (await served.http.get("/livez")).status_code == 200
    answer = await asyncio.wait_for(reader.read(), 60)
    assert answer.count(b"HTTP/1.1 200 OK\r\n") == answer.count(whole) == 200
    writer.close()


async def test_an_old_client_gets_its_answer_and_the_end(served: Served) -> None:
    answer = await exchange(served, b"GET /livez HTTP/1.0\r\nhost: x\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"connection: close\r\n" in answer
    assert answer.endswith(b'{"ok":true}')
