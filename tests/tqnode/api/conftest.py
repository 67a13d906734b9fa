"""A whole node's API in this process: real store, real sockets, no sweeper."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from tqnode.api.app import Api, build
from tqnode.api.service import Service
from tqnode.clock import SystemClock, SystemRng
from tqnode.config import Config
from tqnode.delivery import endpoints
from tqnode.delivery.courier import Courier
from tqnode.http_server import HttpServer, bind, url_of
from tqnode.metrics import Metrics
from tqnode.queue import Queue
from tqnode.store import Store


@dataclass(frozen=True)
class Served:
    """A running API, and what stands behind it."""

    url: str
    port: int
    http: httpx.AsyncClient
    app: Api
    store: Store
    queue: Queue
    config: Config
    draining: asyncio.Event
    fatal: list[BaseException]

    async def enqueue(self, kind: str = "k", **fields: Any) -> dict[str, Any]:
        """Enqueues one task and returns the answer's body."""
        answer = await self.http.post("/v1/tasks", json={"kind": kind, **fields})
        assert answer.status_code == 201, answer.text
        body: dict[str, Any] = answer.json()
        return body

    async def claim(self, **fields: Any) -> list[dict[str, Any]]:
        """Claims as worker ``w`` and returns the tasks."""
        answer = await self.http.post("/v1/claims", json={"worker": "w", **fields})
        assert answer.status_code == 200, answer.text
        tasks: list[dict[str, Any]] = answer.json()["tasks"]
        return tasks

    async def claimed(self, **fields: Any) -> dict[str, Any]:
        """Enqueues one task and claims it."""
        await self.enqueue(**fields)
        (task,) = await self.claim()
        return task


def problem(answer: httpx.Response) -> tuple[int, str, str | None]:
    """An error's status, code and field, after a look at its form."""
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    body = answer.json()
    assert body["status"] == answer.status_code
    assert body["type"] == f"/docs/api#{body['code']}"
    assert body["title"]
    assert body["detail"]
    assert body["request_id"] == answer.headers["x-request-id"]
    return answer.status_code, body["code"], body.get("field")


async def still_well(served: Served) -> None:
    """The node lives, takes a task in and hands it out."""
    assert (await served.http.get("/livez")).status_code == 200
    made = await served.enqueue("after", queue="after")
    (task,) = await served.claim(queues=["after"])
    assert task["id"] == made["id"]
    assert not served.fatal


@contextlib.asynccontextmanager
async def serve(folder: Path, **settings: Any) -> AsyncIterator[Served]:
    """Runs the API over a store in ``folder``, with ``settings`` in place of the defaults."""
    config = replace(Config(data_dir=folder, listen="127.0.0.1:0", connections_max=64), **settings)
    clock, rng, metrics = SystemClock(), SystemRng(), Metrics()
    fatal: list[BaseException] = []
    store = Store(
        folder / "tq.db",
        clock=clock,
        metrics=metrics,
        backlog_max=config.writer_backlog_max,
        on_fatal=fatal.append,
    )
    queue = Queue(store, clock=clock, rng=rng, config=config, metrics=metrics)
    draining = asyncio.Event()
    app = build(
        Service.of(queue),
        config=config,
        clock=clock,
        rng=rng,
        metrics=metrics,
        draining=draining,
        courier=Courier(endpoints.read(config.webhooks_file), config=config, clock=clock),
    )
    listener = bind(config)
    server = HttpServer(app, listener=listener, config=config, clock=clock)
    url = url_of(listener)
    await server.start()
    try:
        async with httpx.AsyncClient(base_url=url, timeout=30) as http:
            yield Served(url, listener.getsockname()[1], http, app, store, queue, config, draining, fatal)
    finally:
        draining.set()
        await server.stop(grace_s=2)
        await app.close()
        await store.close()
    assert not fatal


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    async with serve(tmp_path) as running:
        yield running


Serve = Callable[..., contextlib.AbstractAsyncContextManager[Served]]


@pytest.fixture
def serve_with(tmp_path: Path) -> Serve:
    """Serves with settings of the test's own."""
    return lambda **settings: serve(tmp_path, **settings)
