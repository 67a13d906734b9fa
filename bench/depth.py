"""What a million waiting tasks cost those that come and go: lifecycles on a deep and on a shallow node.

    python -m bench.depth                                 1,000,000 tasks waiting over 10,000; seven minutes
    python -m bench.depth --deep 100000 --rounds 5        a quick look
    python -m bench.depth --layout spread                 ten queues and 256 priorities, mixed in each batch

Two nodes, one with many tasks waiting and one with few, do the same work over HTTP in turns: enqueue, claim
and complete, 100 tasks a request, over two connections. Each claim takes as many tasks as the enqueue before
it brought, so that the depth stays. Their data goes below ``.benchmarks``, or what TQNODE_BENCH_DIR names.
"""

import argparse
import contextlib
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from bench.filling import PRIORITY, QUEUE, Filling, batch_of, claim_of, task_of
from bench.folder import bench_folder
from bench.load.client import Connection, address_of
from bench.load.orders import Script, Scripted, complete_of, run
from bench.processes import NodeProcess, memory_and_cpu
from bench.rounds import ROUNDS, Outcome, table

SIZE: Final = 100
CONNECTIONS: Final = 2
LIFECYCLES: Final = 15
"""Batches of each connection in a round."""
QUEUES: Final = tuple(f"q{number}" for number in range(10))
PRIORITIES: Final = tuple(range(256))
VARIANTS: Final = 100
"""Different batches of tasks with priorities by chance; they come in turns."""


@dataclass(frozen=True)
class Work:
    """What the clients do beside the tasks that wait.

    Args:
        name: the line in the table.
        enqueues: requests with :data:`SIZE` tasks each, to be sent in turns.
        claims: requests for as many, in turns.
    """

    name: str
    enqueues: list[bytes]
    claims: list[bytes]


@dataclass(frozen=True)
class Layout:
    """How the waiting tasks lie, and what is done beside them.

    Args:
        queues: they wait in these, evenly.
        priorities: of theirs, evenly.
        together: so many of one queue and priority were enqueued one after the other.
        works: what is timed, one after the other.
    """

    queues: tuple[str, ...]
    priorities: tuple[int, ...]
    together: int
    works: list[Work]


def one_queue() -> Layout:
    """All wait in one queue with one priority."""

    def beside(name: str, queue: str, priority: int) -> Work:
        return Work(name, [batch_of([task_of(queue, priority)] * SIZE)], [claim_of((queue,), SIZE)])

    works = [
        beside("first in, first out: claims get the oldest", QUEUE, PRIORITY),
        beside("behind: claims get the new, of higher priority", QUEUE, PRIORITY + 1),
        beside("in another queue", "other", PRIORITY),
    ]
    return Layout((QUEUE,), (PRIORITY,), 1, works)


def in_queues_and_priorities(name: str, enqueues: list[bytes], together: int) -> Layout:
    """They wait in ten queues with 256 priorities, and what comes and goes does too."""
    # Each claim is answered by its first queue: all give as much as they get.
    claims = [claim_of(QUEUES[at:] + QUEUES[:at], SIZE) for at in range(len(QUEUES))]
    work = Work(f"{len(QUEUES)} queues, {len(PRIORITIES)} priorities, {name}", enqueues, claims)
    return Layout(QUEUES, PRIORITIES, together, [work])


def batched() -> Layout:
    """The tasks of a batch are of one queue and one priority."""
    chance = random.Random(0)
    enqueues = [
        batch_of([task_of(QUEUES[at % len(QUEUES)], chance.choice(PRIORITIES))] * SIZE)
        for at in range(VARIANTS)
    ]
    return in_queues_and_priorities("one a batch", enqueues, SIZE)


def spread() -> Layout:
    """Each task of a batch has its own queue and priority: neighbours in the file are none in the line."""
    chance = random.Random(0)
    enqueues = [
        batch_of([task_of(QUEUES[at % len(QUEUES)], chance.choice(PRIORITIES)) for at in range(SIZE)])
        for _ in range(VARIANTS)
    ]
    return in_queues_and_priorities("mixed", enqueues, 1)


LAYOUTS: Final = {"one": one_queue, "batched": batched, "spread": spread}


def lifecycles(work: Work, requests: int, _: Connection) -> Script:
    """Enqueues, claims and completes a batch each time."""
    for number in range(requests):
        yield work.enqueues[number % len(work.enqueues)]
        claimed = yield work.claims[number % len(work.claims)]
        answer = yield complete_of(claimed)
        if answer.count(b'"succeeded"') != SIZE:
            raise RuntimeError(f"not every task was completed: {answer[:500]!r}")


def round_s(url: str, work: Work) -> float:
    """Seconds that a round takes."""
    script = partial(lifecycles, work, LIFECYCLES)
    connections = [Scripted(address_of(url), script) for _ in range(CONNECTIONS)]
    began = time.perf_counter()
    run(connections)
    took = time.perf_counter() - began
    for connection in connections:
        connection.close()
    return took


def in_turns(work: Work, *, deep: str, shallow: str, rounds: int, against: str) -> Outcome:
    """Times both nodes; a round of each goes before, to warm them up."""
    times = [(round_s(shallow, work), round_s(deep, work)) for _ in range(rounds + 1)][1:]
    shallow_s, deep_s = zip(*times, strict=True)
    tasks = CONNECTIONS * LIFECYCLES * SIZE
    return Outcome.of(work.name, ours_s=deep_s, baseline_s=shallow_s, against=against, tasks=tasks)


@contextlib.contextmanager
def node_with(folder: Path, waiting: int, layout: Layout) -> Iterator[NodeProcess]:
    """A node with so many tasks waiting, for the length of the ``with`` block."""
    folder.mkdir()
    node = NodeProcess(folder)
    try:
        filling = Filling(node.url)
        filling.enqueue(waiting, queues=layout.queues, priorities=layout.priorities, together=layout.together)
        filling.close()
        yield node
    finally:
        node.end()


def memory_mb(node: NodeProcess) -> str:
    """What is resident, for people."""
    return f"{memory_and_cpu(node.pid)[0] / 1e6:.0f} MB"


def measure(folder: Path, layout: Layout, *, deep: int, shallow: int, rounds: int) -> list[Outcome]:
    """Fills both nodes, times all works, and says what memory the deep one takes."""
    with (
        node_with(folder / "shallow", shallow, layout) as shallow_node,
        node_with(folder / "deep", deep, layout) as deep_node,
    ):
        filled = memory_mb(deep_node)
        outcomes = [
            in_turns(work, deep=deep_node.url, shallow=shallow_node.url, rounds=rounds, against="d")
            for work in layout.works
        ]
        worked = memory_mb(deep_node)
        file_mb = (deep_node.data_dir / "tq.db").stat().st_size / 1e6
        deep_node.stop()
        deep_node.restart()
        restarted = memory_mb(deep_node)
        for work in layout.works:
            round_s(deep_node.url, work)
        print(
            f"{folder.name}, {deep:,} waiting, file {file_mb:.0f} MB: {filled} resident once filled, "
            f"{worked} after the rounds; started anew {restarted}, {memory_mb(deep_node)} after a round",
            flush=True,
        )
    return outcomes


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.depth",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--deep", type=int, default=1_000_000, help="tasks that wait on the deep node")
    parser.add_argument("--shallow", type=int, default=10_000, help="and on the other")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--layout", choices=(*LAYOUTS, "all"), default="all")
    options = parser.parse_args()
    names = LAYOUTS if options.layout == "all" else (options.layout,)
    outcomes: list[Outcome] = []
    with bench_folder() as folder:
        for name in names:
            own = folder / name
            own.mkdir()
            outcomes += measure(
                own, LAYOUTS[name](), deep=options.deep, shallow=options.shallow, rounds=options.rounds
            )
    print("\n".join(table(outcomes)))
    print(f"d: the same with {options.shallow:,} waiting instead of {options.deep:,}")


if __name__ == "__main__":
    main()
