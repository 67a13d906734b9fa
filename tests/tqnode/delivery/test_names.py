"""Hosts' addresses are found beside the event loop."""

import asyncio
import ipaddress
import socket
import threading

import pytest

from tests.waiting import eventually_async
from tqnode.delivery.names import look_up


async def test_a_name_of_this_machine_is_found() -> None:
    assert ipaddress.ip_address("127.0.0.1") in await look_up("localhost", 80)


@pytest.mark.parametrize("host", ["nowhere.invalid", "a" * 70 + ".example"])
async def test_what_has_no_address_is_an_error(host: str) -> None:
    with pytest.raises(OSError, match=r".+"):
        await look_up(host, 80)


async def test_a_lookup_that_takes_long_holds_up_neither_the_loop_nor_who_gives_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    go_on = threading.Event()

    def slow(*_args: object, **_named: object) -> list[object]:
        assert go_on.wait(30)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    looking = asyncio.create_task(look_up("example.com", 80))
    await asyncio.sleep(0)
    assert not looking.done(), "the loop goes on"
    looking.cancel()
    await asyncio.wait([looking])
    assert looking.cancelled()
    go_on.set()
    await eventually_async(lambda: not [one for one in threading.enumerate() if one.name == "lookup"])
