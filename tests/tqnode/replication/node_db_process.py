"""Processes with a node.db for tests that kill them, or give them a disk of a megabyte.

``keep_writing FOLDER`` tells on standard output what is on disk, until it is killed; ``write_and_wait``
stores nine entries one by one, tells it, and waits for its end; ``fill_disk`` tells how node.db got
through a full disk.
"""

import asyncio
import json
import sys
from pathlib import Path

from tests.tqnode.replication.log_entries import chain
from tqnode.clock import SystemClock, SystemRng
from tqnode.errors import DiskFull
from tqnode.replication.effects import Row
from tqnode.replication.entry import Position
from tqnode.replication.node_db import NodeDb

SIZES = (200, 5_000, 60_000, 1_100_000, 900)
TERM_ENTRIES = 12
"""After so many entries comes the next term."""


def open_db(folder: Path) -> NodeDb:
    return NodeDb(folder, clock=SystemClock(), rng=SystemRng(), on_fatal=lambda _error: sys.exit(1))


def tell(**facts: object) -> None:
    print(json.dumps(facts), flush=True)


async def keep_writing(folder: Path) -> None:
    db = open_db(folder)
    kept = await db.kept()
    last = kept.heads[-1] if kept.heads else None
    term = last.term if last else 1
    while True:
        if last is not None and last.txid >= TERM_ENTRIES:
            term, last = term + 1, None
            await db.save_row(Row(term, f"leader-{term}"), fresh=False)
            tell(row=term)
        (entry,) = chain(term, [SIZES[(last.txid if last else 0) % len(SIZES)]], after=last)
        await db.store([entry])
        last = entry[0]
        tell(stored=[term, last.txid])
        if last.txid % 5 == 0:
            await db.trim(Position(term, last.txid - 3))


async def write_and_wait(folder: Path) -> None:
    db = open_db(folder)
    for entry in chain(1, [SIZES[txid % len(SIZES)] for txid in range(9)]):
        await db.store([entry])
    tell(stored=[1, 9])
    await asyncio.Event().wait()


async def fill_disk(folder: Path) -> None:
    db = open_db(folder)
    last = None
    stored = 0
    refused = {}
    for size in (30_000, 500, 3_000_000):
        try:
            for _ in range(200):
                (entry,) = chain(1, [size], after=last)
                await db.store([entry])
                last = entry[0]
                stored += 1
        except DiskFull as error:
            refused[size] = error.detail
    readable = all([await db.read(Position(1, txid)) for txid in range(1, stored + 1)])
    (folder / "filler").unlink()
    await db.save_row(Row(2, "after"), fresh=False)
    await db.store(chain(1, [500], after=last))
    await db.close()
    tell(stored=stored, refused=refused, readable=readable)


if __name__ == "__main__":
    scenarios = (keep_writing, write_and_wait, fill_disk)
    asyncio.run({scenario.__name__: scenario for scenario in scenarios}[sys.argv[1]](Path(sys.argv[2])))
