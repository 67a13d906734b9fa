"""Baseline (b): the same server and the same API, with an enqueue that stores nothing.

All that a single enqueue does before and after the disk is done: the request is routed, its JSON judged and
decoded, the task checked and its defaults filled in, the answer made. Only the store is not there.

Run as ``python -m bench.nothing``; it prints its URL and serves until it is killed.
"""

import asyncio
from collections.abc import Sequence
from typing import Any, Final

import uvloop

from bench.constant import serve
from tqnode import ids
from tqnode.api.app import build
from tqnode.api.service import Service
from tqnode.clock import SystemClock, SystemRng
from tqnode.config import Config
from tqnode.metrics import Metrics
from tqnode.task import Enqueued, TaskSpec, TaskState

_ID: Final = ids.text(ids.pack(at_ms=1_769_860_800_000, seq=1, nonce=1))


class StoresNothing:
    """Stands where the queue stands, and answers as it does."""

    async def enqueue(self, specs: Sequence[TaskSpec], *, idempotency: object = None) -> list[Enqueued]:
        """What an enqueue of these tasks would answer."""
        return [Enqueued(_ID, TaskState.READY, False, 1_769_860_800_000) for _ in specs]


async def main() -> None:
    """Serves until killed."""
    queue: Any = StoresNothing()
    await serve(
        build(
            Service.of(queue),
            config=Config(),
            clock=SystemClock(),
            rng=SystemRng(),
            metrics=Metrics(),
            draining=asyncio.Event(),
        )
    )


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
