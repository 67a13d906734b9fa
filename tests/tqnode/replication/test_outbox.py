"""How entries get to a peer that are not in memory any more."""

import asyncio
from pathlib import Path

from tests.tqnode.replication.log_entries import chain
from tests.tqnode.replication.node_db_folder import LARGE, flip, log_files
from tests.tqnode.replication.peer_nodes import Talker, pair
from tests.waiting import eventually_async
from tqnode.replication.effects import Row
from tqnode.replication.entry import Head, Position
from tqnode.replication.messages import Append
from tqnode.replication.outbox import Outbox


def outbox_of(talker: Talker, damaged: list[Position], storing: set["asyncio.Task[None]"]) -> Outbox:
    return Outbox(
        talker.peers, talker.db, storing=storing, on_damaged=damaged.append, on_fatal=talker.fatal.append
    )


def message(*heads: Head) -> Append:
    return Append(term=2, heads=heads, commit=0, sent=1.0, admit=None, kept=1)


async def test_entries_on_the_disk_are_sent_though_something_is_always_being_stored(tmp_path: Path) -> None:
    async with pair(tmp_path) as (a, b):
        await a.until_connected("b")
        await a.db.save_row(Row(2, "a"), fresh=False)
        entries = chain(2, [300, LARGE])
        begun: list[asyncio.Task[None]] = []
        storing: set[asyncio.Task[None]] = set()

        async def store() -> None:
            await a.db.store(entries)
            # The next is begun before this one ends, as under load.
            begun.append(asyncio.create_task(asyncio.Event().wait()))  # type: ignore[arg-type]  # a bool
            storing.add(begun[0])

        storing.add(asyncio.create_task(store()))
        damaged: list[Position] = []
        outbox = outbox_of(a, damaged, storing)
        outbox.send("b", message(*(head for head, _ in entries)))
        await eventually_async(lambda: any(one.entries for one in b.received), within_s=30)
        # A renewal went ahead.
        assert next(len(one.heads) for one in b.messages() if isinstance(one, Append)) == 0
        assert not damaged
        begun[0].cancel()
        await outbox.close()


async def test_what_is_damaged_is_told_and_not_sent(tmp_path: Path) -> None:
    async with pair(tmp_path) as (a, b):
        await a.until_connected("b")
        await a.db.save_row(Row(2, "a"), fresh=False)
        (entry,) = chain(2, [LARGE])
        await a.db.store([entry])
        (file,) = log_files(tmp_path / "a")
        flip(tmp_path / "a" / "log" / file, entry[1][:50], 30)
        damaged: list[Position] = []
        outbox = outbox_of(a, damaged, set())
        outbox.send("b", message(entry[0]))
        await eventually_async(lambda: damaged == [(2, 1)])
        (tmp_path / "a" / "log" / file).unlink()
        outbox.send("b", message(entry[0]))
        await eventually_async(lambda: damaged == [(2, 1)] * 2)
        assert not any(one.entries for one in b.received)
        assert not a.fatal


async def test_what_is_in_the_log_no_more_is_not_sent_and_not_called_damaged(tmp_path: Path) -> None:
    async with pair(tmp_path) as (a, b):
        await a.until_connected("b")
        await a.db.save_row(Row(3, "a"), fresh=False)
        (old,) = chain(2, [LARGE])
        await a.db.store([old])
        await a.db.store(chain(3, [40]))
        damaged: list[Position] = []
        outbox = outbox_of(a, damaged, set())
        outbox.send("b", message(old[0]))
        await eventually_async(lambda: not outbox._reading)
        assert not damaged
        assert not any(one.entries for one in b.received)


async def test_a_close_while_something_is_read_is_no_failure_of_the_disk(tmp_path: Path) -> None:
    async with pair(tmp_path) as (a, _):
        await a.until_connected("b")
        await a.db.save_row(Row(2, "a"), fresh=False)
        entries = chain(2, [LARGE] * 3)
        await a.db.store(entries)
        outbox = outbox_of(a, [], set())
        for _ in range(5):
            outbox.send("b", message(*(head for head, _ in entries)))
            await asyncio.sleep(0)
        await outbox.close()
        assert not outbox._reading
        assert not a.fatal
