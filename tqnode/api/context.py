"""What every call of the API works with."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from tq import wire
from tqnode.api.convert import Conversion
from tqnode.api.hooks import Hooks
from tqnode.api.metrics import HttpMetrics
from tqnode.api.patience import Patience
from tqnode.api.service import Service
from tqnode.api.waiting import Waiting
from tqnode.clock import Clock, Rng
from tqnode.config import Config
from tqnode.delivery.courier import Courier
from tqnode.metrics import Metrics
from tqnode.queue import Queue
from tqnode.replication.past import PastStates


@dataclass(frozen=True, slots=True)
class Vital:
    """How one part of the node is.

    Args:
        state: ``ok``, or what is wrong, for people.
        needed: whether the node should get no requests without it.
    """

    state: str
    needed: bool


class ClusterView(Protocol):
    """What the API asks of the nodes' cluster."""

    async def status(self) -> wire.Cluster:
        """How each node is."""
        ...

    async def hand_over(self, to: str | None) -> wire.HandedOver:
        """Has another node lead; returns once it serves.

        Args:
            to: its name; None leaves the choice to this node.

        Raises:
            TqnodeError: it came to nothing, and why.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """The services of one node, as the API's calls see them."""

    service: Service
    config: Config
    clock: Clock
    rng: Rng
    metrics: Metrics
    http: HttpMetrics
    draining: asyncio.Event
    waiting: Waiting
    """The claims at hand."""
    following: Waiting
    """The clients that follow the events."""
    conversion: Conversion
    hooks: Hooks
    courier: Courier
    """Sends what webhooks are tried with."""
    trials: asyncio.Semaphore
    """Held while a webhook is tried."""
    patience: Patience
    check_turn: asyncio.Semaphore
    """Held while a very large body is checked in a thread, so that such bodies share the memory for one."""
    scan_turn: asyncio.Semaphore
    """Held while a large body is scanned in a thread, so that such bodies take one core at most."""
    description: Callable[[], bytes]
    """The API in OpenAPI's words; made when it is first asked for."""
    past: PastStates | None
    """Past states; None where there is no archive."""
    vitals: Callable[[], Mapping[str, Vital]]
    """How the parts are that the node may have besides its database."""
    cluster: ClusterView | None
    """The other nodes; None for a node without any."""
    began: float
    """Monotonic seconds at the start."""

    @property
    def queue(self) -> Queue:
        """The queue that this node serves.

        Raises:
            TqnodeError: it serves none.
        """
        return self.service.queue
