"""Finds the addresses of hosts in threads of its own: a name server that is silent holds nobody else up."""

import asyncio
import contextlib
import ipaddress
import socket
import threading
from collections.abc import Awaitable, Callable, Sequence

from tqnode.delivery.target import Address

Resolve = Callable[[str, int], Awaitable[Sequence[Address]]]


async def look_up(host: str, port: int) -> Sequence[Address]:
    """The addresses of a host, as the system finds them.

    Raises:
        OSError: there are none.
    """
    loop = asyncio.get_running_loop()
    found: asyncio.Future[Sequence[Address]] = loop.create_future()

    def tell(addresses: Sequence[Address] | None, error: OSError | None) -> None:
        if found.done():
            return  # who asked waits no more
        if error is not None:
            found.set_exception(error)
        else:
            found.set_result(addresses or ())

    def work() -> None:
        addresses, error = None, None
        try:
            addresses = _addresses(host, port)
        except OSError as failure:
            error = failure
        with contextlib.suppress(RuntimeError):  # the loop is closed: the node has stopped
            loop.call_soon_threadsafe(tell, addresses, error)

    # Neither in the loop's threads, which the node's own connections need, nor in a pool, for whose threads
    # the end of the process would wait.
    threading.Thread(target=work, name="lookup", daemon=True).start()
    return await found


def _addresses(host: str, port: int) -> Sequence[Address]:
    try:
        rows = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
    except UnicodeError as error:
        raise OSError(str(error)) from None
    return [ipaddress.ip_address(row[4][0]) for row in rows]
