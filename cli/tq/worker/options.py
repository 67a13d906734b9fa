"""What a worker is told to do."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tq.config import Settings


@dataclass(frozen=True, kw_only=True)
class Options:
    """How one worker runs.

    Args:
        settings: the nodes and the token.
        name: what people call it.
        queues: to claim from, in this order.
        slots: tasks run at once.
        target: the app whose functions run tasks, or None with ``program``.
        program: the program that runs tasks, by absolute path, and its arguments.
        kinds: the only ones to ask for; None asks for all it can run.
        processes: whether sync functions run in processes rather than threads.
        prefetch: tasks claimed beyond the free slots.
        lease_s: seconds of lease to ask for; None leaves it to each task.
        grace_s: seconds that running handlers have after the worker was told to stop.
        kill_after_s: seconds between SIGTERM and SIGKILL for a process or program.
        pass_on: names of variables handed to programs beside the usual ones.
        logs: whether what a program writes to standard error is its task's log.
        environment: of this process.
    """

    settings: Settings
    name: str
    queues: Sequence[str]
    slots: int
    environment: Mapping[str, str]
    target: str | None = None
    program: Sequence[str] | None = None
    kinds: Sequence[str] | None = None
    processes: bool = False
    prefetch: int = 0
    lease_s: float | None = None
    grace_s: float = 30.0
    kill_after_s: float = 5.0
    pass_on: Sequence[str] = ()
    logs: bool = True
