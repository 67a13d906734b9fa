"""Enqueues tasks and prints how many a second; runs in the queue's own environment.

    python -m bench.peers.work.produce bench.peers.work.on_huey one 10000

``one`` and ``bulk`` are functions of the module, plain or async, that enqueue so many tasks. The first task
opens the connections and goes before the clock starts. ``crowd`` is ``one`` in many threads, or in many tasks
of one event loop if it is async, all of which share what the module has.
"""

import asyncio
import inspect
import json
import sys
import time
from collections.abc import Callable
from importlib import import_module
from threading import Barrier, Thread
from typing import Any

from bench.peers.peer import CALLERS


def timed(way: Callable[[int], Any], tasks: int) -> float:
    """Seconds for all tasks but the first."""
    way(1)
    began = time.perf_counter()
    way(tasks - 1)
    return time.perf_counter() - began


def timed_in_threads(one: Callable[[int], Any], each: int) -> float:
    """Seconds in which every thread enqueues so many tasks, after a first one of its own."""
    together = Barrier(CALLERS + 1)

    def caller() -> None:
        try:
            one(1)
            together.wait()
            one(each)
            together.wait()
        except BaseException:
            together.abort()
            raise

    for _ in range(CALLERS):
        Thread(target=caller, daemon=True).start()
    together.wait()
    began = time.perf_counter()
    together.wait()
    return time.perf_counter() - began


async def in_tasks(one: Callable[[int], Any], each: int) -> None:
    """Enqueues so many tasks from every one of many callers in the event loop."""
    await asyncio.gather(*(one(each) for _ in range(CALLERS)))


def main() -> None:
    """Does as the command line says."""
    module, name, tasks = import_module(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    crowded = name == "crowd"
    way = module.one if crowded else getattr(module, name)
    each = (tasks - 1) // CALLERS
    timed_tasks = each * CALLERS if crowded else tasks - 1
    if inspect.iscoroutinefunction(way):
        import uvloop  # the clients that are not async do without

        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(way(1))
            rest = in_tasks(way, each) if crowded else way(tasks - 1)
            began = time.perf_counter()
            runner.run(rest)
            took_s = time.perf_counter() - began
    else:
        took_s = timed_in_threads(way, each) if crowded else timed(way, tasks)
    print(json.dumps({"tasks_per_s": timed_tasks / took_s}))


if __name__ == "__main__":
    main()
