"""Clients over TLS."""

import asyncio
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

import tq
from tests.tq.driving import task_row
from tests.tq.scripted_server import Say, Server

ID = "018f0000-0000-7000-8000-000000000001"
# Made for 127.0.0.1 and for these tests alone; its key is no secret.
CERTIFICATE = Path(__file__).parent / "loopback_certificate.pem"


@pytest.fixture
def server() -> Iterator[Server]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE)
    server = Server(Say(200, task_row(ID)), tls=context)
    yield server
    server.stop()


async def awaited(url: str) -> str:
    async with tq.AsyncClient(url, retries=0) as client:
        return (await client.get(ID)).id


def test_a_certificate_authority_of_ones_own_is_named_by_the_environment(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATE))
    with tq.Client(server.url, retries=0) as client:
        assert client.get(ID).id == ID
    assert asyncio.run(awaited(server.url)) == ID


def test_a_node_that_nobody_vouches_for_is_not_talked_to(server: Server) -> None:
    with (
        tq.Client(server.url, token="secret", retries=0) as client,
        pytest.raises(tq.errors.TqUnavailable, match="CERTIFICATE_VERIFY_FAILED"),
    ):
        client.get(ID)
    with pytest.raises(tq.errors.TqUnavailable):
        asyncio.run(awaited(server.url))
    assert server.got == []
