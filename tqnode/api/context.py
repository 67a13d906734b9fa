"""What every call of the API works with."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from tqnode.api.convert import Conversion
from tqnode.api.metrics import HttpMetrics
from tqnode.api.patience import Patience
from tqnode.api.waiting import Waiting
from tqnode.clock import Clock, Rng
from tqnode.config import Config
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """The services of one node, as the API's calls see them."""

    queue: Queue
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
    began: float
    """Monotonic seconds at the start."""
