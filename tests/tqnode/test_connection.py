"""What a connection leaves behind."""

import asyncio
import gc
import json
from pathlib import Path
from typing import Any

from tests.tqnode.api.conftest import serve

REQUESTS = 200
BODY = b'{"kind":"mail"}'
ENQUEUE = (
    b"POST /v1/tasks HTTP/1.1\r\nhost: node\r\ncontent-type: application/json\r\n"
    b"content-length: %d\r\n\r\n" % len(BODY)
)


async def answer(reader: asyncio.StreamReader) -> Any:
    head = await reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 201 "), head
    length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
    return json.loads(await reader.readexactly(length))


async def test_answered_requests_leave_no_garbage_that_only_the_collector_finds(tmp_path: Path) -> None:
    async with serve(tmp_path) as served:
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
        writer.write(ENQUEUE + BODY)
        await answer(reader)
        gc.collect()
        gc.disable()
        try:
            for _ in range(REQUESTS):
                writer.write(ENQUEUE + BODY)
                await answer(reader)
            found = gc.collect()
        finally:
            gc.enable()
        writer.close()
    assert found < REQUESTS
