"""What the harness knows of a queue; every entry of the roster is one."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

SLOTS: Final = 10
"""How many tasks each consumer runs at once."""
CALLERS: Final = 32
"""How many callers share one client, where they are many."""


@dataclass(frozen=True)
class Peer:
    """One queue in one configuration.

    Args:
        name: in the table.
        module: its tasks and its ways of enqueueing, in ``bench.peers.work``.
        durability: what a power cut takes of what was acknowledged.
        serve: starts what it needs with its data below a folder, for the length of a ``with`` block;
            yields the URL, or the file's path.
        consumer: the command that runs its tasks in :data:`SLOTS` slots. The first word is a program of the
            queue's own environment, ``{url}`` is what ``serve`` yielded.
        bulk: whether it has a documented way to enqueue many at once.
        prepare: the command that makes its tables, if it wants one.
        variant: told to the module, for one that knows several configurations.
        lock: which packages its environment holds; ``None`` for the interpreter that runs the harness.
        programs: what the machine has to have, by Debian package.
    """

    name: str
    module: str
    durability: str
    serve: Callable[[Path], AbstractContextManager[str]]
    consumer: tuple[str, ...]
    bulk: bool = False
    prepare: tuple[str, ...] = ()
    variant: str = ""
    lock: str | None = "requirements.lock"
    programs: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Figures:
    """What was measured of one queue, in tasks a second; ``None`` where there is no such way."""

    name: str
    durability: str
    one: float | None = None
    crowd: float | None = None
    bulk: float | None = None
    consume: float | None = None
    error: str = ""
