"""Baseline (s): the node's own HTTP server alone, around a handler that answers every body with a constant.

Run as ``python -m bench.constant``; it prints its URL and serves until it is killed.
"""

import asyncio
from typing import Any, Final

import uvloop

from tqnode.clock import SystemClock
from tqnode.config import Config
from tqnode.connection import ANSWER_WHOLE, BODY_HERE
from tqnode.garbage import collect_seldom
from tqnode.http_server import AsgiApp, HttpServer, bind, url_of

_ANSWER: Final = (
    b'{"id":"0198c0de-0000-7000-8000-000000000000","queue":"default","kind":"bench","state":"ready",'
    b'"priority":128,"created_at":"2026-01-31T12:00:00.000Z","run_at":"2026-01-31T12:00:00.000Z","attempt":0,'
    b'"max_attempts":10,"lease_s":30.0}'
)
_HEADERS: Final = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(_ANSWER))]


async def answer(scope: Any, receive: Any, _send: Any) -> None:
    """Answers any request like an enqueue of one task, once its body is there, by the ways the node takes."""
    extensions = scope["extensions"]
    if extensions[BODY_HERE]() is None:
        while (await receive()).get("more_body", False):
            pass
    assert extensions[ANSWER_WHOLE](201, _HEADERS, _ANSWER)


async def serve(app: AsgiApp) -> None:
    """Serves ``app`` as the node serves its own."""
    collect_seldom()
    config = Config(listen="127.0.0.1:0")
    listener = bind(config)
    await HttpServer(app, listener=listener, config=config, clock=SystemClock()).start()
    print(url_of(listener), flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(answer))
