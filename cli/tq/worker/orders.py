"""What the worker's main thread is asked to do, by signals, by the node and by its own threads."""

from dataclasses import dataclass

from tq.errors import TqError
from tq.wire import WorkerState


@dataclass(frozen=True)
class Signalled:
    """A signal asked the worker to stop."""

    name: str


@dataclass(frozen=True)
class Steered:
    """The node answered the state it wants the worker in."""

    state: WorkerState


@dataclass(frozen=True)
class Refused:
    """The node refuses the worker itself."""

    error: TqError


@dataclass(frozen=True)
class Broken:
    """One of the worker's own threads ended by an error that nothing foresaw."""

    thread: str


Order = Signalled | Steered | Refused | Broken
