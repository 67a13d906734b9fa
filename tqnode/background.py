"""What a node alone does beside answering clients: what time does, and what is told to others."""

import asyncio
import logging
from collections.abc import Callable

from tqnode.clock import Clock
from tqnode.config import Config
from tqnode.delivery.courier import Courier
from tqnode.delivery.deliverer import Deliverer
from tqnode.metrics import Metrics
from tqnode.queue import Queue
from tqnode.store import Store
from tqnode.sweeper import Sweeper

logger = logging.getLogger(__name__)


class Background:
    """Runs from its making to :meth:`stop`.

    Args:
        store: where the tasks are.
        queue: its operations.
        courier: sends webhooks.
        clock: the node's clock.
        config: of the node.
        metrics: the node's collectors.
        on_failed: called when a part has failed: no lease would run out any more, or no webhook be told.
    """

    def __init__(
        self,
        store: Store,
        queue: Queue,
        courier: Courier,
        *,
        clock: Clock,
        config: Config,
        metrics: Metrics,
        on_failed: Callable[[], None],
    ) -> None:
        self._on_failed = on_failed
        sweeper = Sweeper(store, queue, clock=clock, config=config)
        deliverer = Deliverer(store, queue, courier, clock=clock, config=config, metrics=metrics)
        self.drain = deliverer.drain
        """Begins nothing more that would have to be given back."""
        self._running = [
            asyncio.create_task(sweeper.run(), name="sweeper"),
            asyncio.create_task(deliverer.run(), name="deliverer"),
        ]
        for running in self._running:
            running.add_done_callback(self._ended)

    async def stop(self) -> None:
        """Ends what runs, and gives back what it had at hand."""
        for running in self._running:
            running.cancel()
        await asyncio.wait(self._running)

    def _ended(self, running: "asyncio.Task[None]") -> None:
        if not running.cancelled():
            logger.critical("the %s failed", running.get_name(), exc_info=running.exception())
            self._on_failed()
