"""Enqueues tasks and prints how many a second; runs in the queue's own environment.

    python -m bench.peers.work.produce bench.peers.work.on_huey one 10000

``one`` and ``bulk`` are functions of the module, plain or async, that enqueue so many tasks. The first task
opens the connections and goes before the clock starts.
"""

import asyncio
import inspect
import json
import sys
import time
from collections.abc import Callable
from importlib import import_module
from typing import Any


def timed(way: Callable[[int], Any], tasks: int) -> float:
    """Seconds for all tasks but the first."""
    way(1)
    began = time.perf_counter()
    way(tasks - 1)
    return time.perf_counter() - began


def main() -> None:
    """Does as the command line says."""
    module, name, tasks = sys.argv[1], sys.argv[2], int(sys.argv[3])
    way = getattr(import_module(module), name)
    if inspect.iscoroutinefunction(way):
        import uvloop  # the clients that are not async do without

        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            took_s = timed(lambda count: runner.run(way(count)), tasks)
    else:
        took_s = timed(way, tasks)
    print(json.dumps({"tasks_per_s": (tasks - 1) / took_s}))


if __name__ == "__main__":
    main()
