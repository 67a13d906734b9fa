"""What the database was asked to do: a figure that no other load on the machine changes."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import apsw

STEPS_AT_A_TIME = 100


@contextmanager
def counted_costs() -> Iterator[Counter[str]]:
    """Counts the ``statements`` and their ``steps``, of connections opened in the ``with`` block."""
    costs = Counter[str]()

    def watch(connection: apsw.Connection) -> None:
        def step() -> bool:
            costs["steps"] += STEPS_AT_A_TIME
            return False

        def note(*_: object) -> bool:
            costs["statements"] += 1
            return True

        connection.set_progress_handler(step, STEPS_AT_A_TIME)
        connection.exec_trace = note

    apsw.connection_hooks.append(watch)
    try:
        yield costs
    finally:
        apsw.connection_hooks.remove(watch)
