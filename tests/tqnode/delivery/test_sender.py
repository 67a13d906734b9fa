"""Requests go to judged addresses, prove the name that was asked for, and end within their bounds."""

import asyncio
import gzip
import ssl

import pytest
import trustme

from tests.tqnode.delivery.servers import Answering, Names, server
from tqnode.delivery.answer import Answer, Undelivered
from tqnode.delivery.names import look_up
from tqnode.delivery.sender import ANSWER_BYTES_MAX, Sender, trusted
from tqnode.delivery.target import Policy, parse

ALLOW = "127.0.0.1"
WITHIN_S = 20.0


async def post(
    url: str,
    names: Names | None = None,
    *,
    allow: str = ALLOW,
    timeout_s: float = WITHIN_S,
    tls: ssl.SSLContext | None = None,
) -> Answer:
    sender = Sender(Policy(allow), names or Names("127.0.0.1"), timeout_s=timeout_s, tls=tls or trusted())
    return await sender.post(parse(url), headers={"x-y": "z"}, body=b'{"a":1}')


async def refusal(url: str, names: Names | None = None, **options: object) -> Undelivered:
    with pytest.raises(Undelivered) as caught:
        await post(url, names, **options)  # type: ignore[arg-type]  # passed on as they are
    return caught.value


async def test_a_request_says_the_name_and_goes_to_the_address() -> None:
    names = Names("127.0.0.1")
    async with server() as there:
        answer = await post(f"http://hooks.example:{there.port}/a%20b?c=d", names)
    assert (answer.status, answer.delivered) == (204, True)
    head, _, body = there.requests[0].partition(b"\r\n\r\n")
    lines = head.decode().lower().split("\r\n")
    assert lines[0] == "post /a%20b?c=d http/1.1"
    assert f"host: hooks.example:{there.port}" in lines
    assert "x-y: z" in lines
    assert body == b'{"a":1}'
    assert names.asked == [("hooks.example", there.port)], "a name is asked for once"


async def test_of_mixed_answers_no_closed_address_is_ever_connected_to() -> None:
    async with server() as there:
        url = f"http://hooks.example:{there.port}/"
        assert (await post(url, Names("10.0.0.1", "169.254.169.254", "127.0.0.1", "::1"))).delivered
        closed = await refusal(url, Names("127.0.0.1", "::1", "::ffff:127.0.0.1"), allow="")
    assert closed.outcome == "forbidden"
    assert len(there.requests) == 1


@pytest.mark.parametrize("host", ["2130706433", "0x7f000001", "127.1", "localhost", "0", "017700000001"])
async def test_no_spelling_of_the_loopback_leads_there(host: str) -> None:
    async with server() as there:
        sender = Sender(Policy(), look_up, timeout_s=WITHIN_S, tls=trusted())
        with pytest.raises(Undelivered) as caught:
            await sender.post(parse(f"http://{host}:{there.port}/"), headers={}, body=b"{}")
        assert caught.value.outcome in ("forbidden", "resolve")
    assert there.requests == []


async def test_an_allowed_name_is_open_wherever_it_leads() -> None:
    async with server() as there:
        assert (await post(f"http://hooks.example:{there.port}/", allow="*.example")).delivered


async def test_the_next_address_is_tried_when_one_takes_no_connection() -> None:
    async with server() as there:
        names = Names("127.0.0.9", "127.0.0.1")
        assert (await post(f"http://hooks.example:{there.port}/", names, allow="127.0.0.0/8")).delivered


async def test_a_redirect_is_an_answer_and_is_not_followed() -> None:
    async with server() as inner:
        location = f"http://127.0.0.1:{inner.port}/".encode()
        async with server(b"HTTP/1.1 307 X\r\nlocation: %b\r\ncontent-length: 0\r\n\r\n" % location) as there:
            answer = await post(f"http://hooks.example:{there.port}/")
    assert (answer.status, answer.delivered) == (307, False)
    assert inner.requests == []


async def test_no_proxy_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    async with server() as proxy, server() as there:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        assert (await post(f"http://hooks.example:{there.port}/")).delivered
    assert (len(proxy.requests), len(there.requests)) == (0, 1)


def certified(*names: str) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """The contexts of a server with these names, and of a client that trusts who certified it."""
    authority = trustme.CA()
    of_server, of_client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), trusted()
    authority.issue_cert(*names).configure_cert(of_server)
    authority.configure_trust(of_client)
    return of_server, of_client


async def test_tls_proves_the_name_and_not_the_address() -> None:
    of_server, of_client = certified("hooks.example")
    said: list[str | None] = []
    of_server.sni_callback = lambda _socket, name, _context: said.append(name)
    async with server(tls=of_server) as there:
        assert (await post(f"https://hooks.example:{there.port}/", tls=of_client)).delivered
        assert said == ["hooks.example"]
        other = await refusal(f"https://other.example:{there.port}/", tls=of_client)
        unknown = await refusal(f"https://hooks.example:{there.port}/")
    assert (other.outcome, unknown.outcome) == ("connection", "connection")
    assert "certificate" in other.detail.lower()
    assert len(there.requests) == 1


async def trickle(writer: asyncio.StreamWriter) -> None:
    """A head that never ends."""
    writer.write(b"HTTP/1.1 200 OK\r\n")
    while not writer.is_closing():
        writer.write(b"x: y\r\n")
        await writer.drain()
        await asyncio.sleep(0)


async def flood(writer: asyncio.StreamWriter) -> None:
    """A body that never ends."""
    writer.write(b"HTTP/1.1 500 Oops\r\ncontent-length: 100000000000\r\n\r\n")
    while not writer.is_closing():
        writer.write(b"no\r\n\x1b[31m" + b"y" * 65_536)
        await writer.drain()


async def stall(writer: asyncio.StreamWriter) -> None:
    """A head, and nothing more."""
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n")
    await writer.drain()
    await asyncio.Event().wait()


async def silence(_writer: asyncio.StreamWriter) -> None:
    await asyncio.Event().wait()


async def test_of_a_huge_answer_a_bounded_part_is_read() -> None:
    async with server(flood) as there:
        answer = await post(f"http://hooks.example:{there.port}/")
    assert (answer.status, answer.excerpt[:6]) == (500, "no [31")
    assert len(answer.excerpt) <= 200


async def test_a_small_answer_that_would_unpack_to_a_huge_one_is_not_unpacked() -> None:
    bomb = gzip.compress(b"\0" * 50_000_000)
    assert len(bomb) < ANSWER_BYTES_MAX
    head = b"HTTP/1.1 500 X\r\ncontent-encoding: gzip\r\ncontent-length: %d\r\n\r\n" % len(bomb)
    async with server(head + bomb) as there:
        answer = await post(f"http://hooks.example:{there.port}/")
    assert answer.status == 500


async def test_who_has_said_yes_has_it_though_the_rest_does_not_come() -> None:
    async with server(stall) as there:
        assert (await post(f"http://hooks.example:{there.port}/")).delivered


@pytest.mark.parametrize("answer", [silence, trickle])
async def test_an_answer_that_does_not_come_in_time_is_none(answer: Answering) -> None:
    async with server(answer) as there:
        error = await refusal(f"http://hooks.example:{there.port}/", timeout_s=0.3)
    assert error.outcome in ("timeout", "connection"), "a head has a bound of its own"


@pytest.mark.parametrize(
    "said", [b"SSH-2.0-OpenSSH_9.2\r\n", b"", b"HTTP/1.1 999999 x\r\n\r\n", b"\xff" * 100 + b"\r\n\r\n"]
)
async def test_what_is_no_answer_of_http_is_a_failed_attempt(said: bytes) -> None:
    async with server(said) as there:
        error = await refusal(f"http://hooks.example:{there.port}/")
    assert error.outcome == "connection"


async def test_a_name_that_is_not_known_is_told() -> None:
    error = await refusal("http://hooks.example/", Names())
    assert (error.outcome, error.detail) == (
        "resolve",
        "hooks.example was not found: Name or service not known",
    )


async def test_a_name_server_that_does_not_answer_holds_nothing_up() -> None:
    async def asleep(_host: str, _port: int) -> list[object]:
        await asyncio.Event().wait()
        return []

    sender = Sender(Policy(), asleep, timeout_s=0.1, tls=trusted())  # type: ignore[arg-type]  # it never answers
    with pytest.raises(Undelivered, match=r"no answer within 0\.1 s"):
        await sender.post(parse("http://hooks.example/"), headers={}, body=b"")


async def test_no_cookie_of_one_answer_comes_with_the_next_request() -> None:
    async with server(b"HTTP/1.1 204 X\r\nset-cookie: a=b; path=/\r\n\r\n") as there:
        for _ in range(2):
            assert (await post(f"http://hooks.example:{there.port}/")).delivered
    assert not any(b"cookie" in request.lower() for request in there.requests)
