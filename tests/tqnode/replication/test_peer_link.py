"""One connection to a peer, by itself."""

import asyncio

import pytest
import uvloop

from tqnode.replication.peer_link import Link, LinkBroken
from tqnode.replication.wire import Kind


async def write_after_the_end() -> None:
    server = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    link = Link(*await asyncio.open_connection(host, port))
    link.close()
    await asyncio.sleep(0)
    try:
        link.write(Kind.PING)
    finally:
        server.close()


@pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def test_a_frame_for_a_connection_that_has_ended_is_refused_on_each_event_loop(loop: object) -> None:
    with (
        asyncio.Runner(loop_factory=loop) as runner,  # type: ignore[arg-type]  # one of the two above
        pytest.raises(LinkBroken),
    ):
        runner.run(write_after_the_end())
