import asyncio
import itertools
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.tqnode.replication.log_entries import chain
from tests.tqnode.replication.node_db_folder import LARGE, content_of, log_files, opened, staged
from tests.waiting import eventually_async
from tqnode.replication.effects import Row
from tqnode.replication.entry import NOTHING, Head, Position
from tqnode.replication.node_db import NodeDb, NoEntry, OutOfOrder


@pytest.fixture
async def db(tmp_path: Path) -> AsyncIterator[NodeDb]:
    async with opened(tmp_path) as db:
        yield db


# -- identity and vote ---------------------------------------------------------------------------


async def test_a_new_disk_is_fresh_and_belongs_to_no_cluster(db: NodeDb) -> None:
    kept = await db.kept()
    assert (kept.cluster_id, kept.row, kept.fresh, kept.heads, kept.applied) == (
        None,
        Row(0, ""),
        True,
        (),
        NOTHING,
    )
    assert len(kept.node_id) == 36


async def test_a_disk_keeps_its_id_and_another_disk_has_another(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    async with opened(tmp_path / "a") as db, opened(tmp_path / "b") as other:
        node_id = (await db.kept()).node_id
        assert node_id != (await other.kept()).node_id
    async with opened(tmp_path / "a") as db:
        assert (await db.kept()).node_id == node_id


async def test_row_cluster_and_applied_position_survive_a_restart(tmp_path: Path) -> None:
    async with opened(tmp_path) as db:
        await db.found("c1")
        await db.save_row(Row(7, "b"), fresh=False)
        await db.set_applied(Position(7, 3))
    async with opened(tmp_path) as db:
        kept = await db.kept()
    assert (kept.cluster_id, kept.row, kept.fresh, kept.applied) == (
        "c1",
        Row(7, "b"),
        False,
        Position(7, 3),
    )


async def test_a_lease_row_never_goes_back_to_a_lower_term(db: NodeDb) -> None:
    await db.save_row(Row(7, "b"), fresh=True)
    with pytest.raises(OutOfOrder):
        await db.save_row(Row(6, "c"), fresh=True)
    assert (await db.kept()).row == Row(7, "b")


async def test_a_founder_votes_at_once_and_a_later_member_stays_fresh(tmp_path: Path) -> None:
    for name in ("founder", "later"):
        (tmp_path / name).mkdir()
    async with opened(tmp_path / "founder") as founder, opened(tmp_path / "later") as later:
        await founder.found("c1")
        await later.join("c1")
        assert not (await founder.kept()).fresh
        assert (await later.kept()).fresh
        await founder.found("c1")


async def test_a_disk_of_one_cluster_joins_no_other(db: NodeDb) -> None:
    await db.join("c1")
    for bind in (db.join, db.found):
        with pytest.raises(OutOfOrder, match="belongs to cluster c1"):
            await bind("c2")


async def test_terms_without_a_vote_go_on_from_the_highest_one_seen(tmp_path: Path) -> None:
    async with opened(tmp_path) as db:
        assert [await db.next_term("a"), await db.next_term("a")] == [1, 2]
        await db.save_row(Row(9, "b"), fresh=False)
    async with opened(tmp_path) as db:
        assert await db.next_term("a") == 10
        assert (await db.kept()).row == Row(10, "a")


# -- the log -------------------------------------------------------------------------------------


async def test_stored_entries_are_there_after_a_restart(tmp_path: Path) -> None:
    entries = chain(3, [500, 0, 70_000, LARGE])
    async with opened(tmp_path) as db:
        await db.store(entries)
    async with opened(tmp_path) as db:
        assert (await db.kept()).heads == tuple(head for head, _ in entries)
        for head, content in entries:
            assert await content_of(db, head.position) == content
        assert await db.heads(2, 2) == (entries[1][0], entries[2][0])
        assert await db.verify() == ()


async def test_a_received_file_becomes_the_entry_without_being_read(tmp_path: Path) -> None:
    ((head, content),) = chain(1, [3 * LARGE])
    async with opened(tmp_path) as db:
        await db.store([(head, await staged(db, head, content))])
        file = await db.read(head.position)
        assert isinstance(file, Path)
        assert file.read_bytes() == content


async def test_a_finished_file_of_another_program_is_taken_over(tmp_path: Path) -> None:
    ((head, content),) = chain(1, [LARGE])
    source = tmp_path / "0000000000000001-0000000000000001.ltx"
    source.write_bytes(content)
    async with opened(tmp_path) as db:
        await db.store([(head, await db.stage(head.position, source))])
        source.unlink()
        assert await content_of(db, head.position) == content
        with pytest.raises(FileNotFoundError):
            await db.stage(head.position, source)


async def test_entry_one_of_a_higher_term_takes_the_place_of_the_whole_log(tmp_path: Path) -> None:
    async with opened(tmp_path) as db:
        await db.store(chain(1, [10, LARGE, 10]))
        assert log_files(tmp_path)
        newer = chain(2, [50])
        await db.store(newer)
        assert (await db.kept()).heads == (newer[0][0],)
        assert log_files(tmp_path) == []
        with pytest.raises(NoEntry):
            await db.read(Position(1, 1))


@pytest.mark.parametrize(
    "wrong",
    [
        chain(2, [10, 10, 10, 10])[3:],
        chain(2, [10, 10, 10], seed=1)[2:],
        chain(1, [10]),
        chain(1, [10, 10, 10])[2:],
        chain(3, [10, 10, 10])[2:],
        chain(2, [10], seed=1),
        [(chain(2, [10, 10, 10])[2][0], b"other byte")],
        chain(2, [10, 10, 10])[2:] + chain(2, [10] * 5)[4:],
    ],
    ids=[
        "gap",
        "other predecessor",
        "lower term",
        "next of a lower term",
        "not entry one of a higher term",
        "other entry at the same position",
        "other bytes than the head's",
        "gap within the call",
    ],
)
async def test_what_does_not_follow_is_refused_and_changes_nothing(
    db: NodeDb, wrong: list[tuple[Head, bytes]]
) -> None:
    entries = chain(2, [10, 10])
    await db.store(entries)
    with pytest.raises(OutOfOrder):
        await db.store(wrong)
    assert (await db.kept()).heads == tuple(head for head, _ in entries)
    assert await content_of(db, Position(2, 1)) == entries[0][1]


async def test_a_refused_file_is_removed(tmp_path: Path) -> None:
    _, (head, content) = chain(1, [10, LARGE])
    async with opened(tmp_path) as db:
        with pytest.raises(OutOfOrder):
            await db.store([(head, await staged(db, head, content))])
        assert log_files(tmp_path) == []


async def test_a_call_that_is_refused_does_not_hold_up_those_beside_it(db: NodeDb) -> None:
    first, second, third = chain(1, [10, 10, 10])
    answers = await asyncio.gather(
        db.store([first]),
        db.store([third]),
        db.save_row(Row(1, "a"), fresh=False),
        db.store([second]),
        return_exceptions=True,
    )
    assert [type(answer) for answer in answers] == [type(None), OutOfOrder, type(None), type(None)]
    kept = await db.kept()
    assert (len(kept.heads), kept.row) == (2, Row(1, "a"))


async def test_calls_that_wait_together_share_a_transaction(db: NodeDb) -> None:
    before = db.commits
    entries = chain(1, [10] * 40)
    await asyncio.gather(*(db.store([entry]) for entry in entries))
    assert (await db.kept()).heads == tuple(head for head, _ in entries)
    assert db.commits - before < 20


async def test_trimming_keeps_the_rest_and_always_the_last_entry(tmp_path: Path) -> None:
    entries = chain(4, [10, LARGE, 10, 10])
    async with opened(tmp_path) as db:
        await db.store(entries)
        await db.trim(Position(4, 3))
        assert [head.txid for head in await db.heads(1, 10)] == [3, 4]
        assert log_files(tmp_path) == []
        with pytest.raises(NoEntry):
            await db.read(Position(4, 2))
        with pytest.raises(OutOfOrder):
            await db.store(entries[1:2])
        await db.trim(Position(3, 9))
        assert [head.txid for head in await db.heads(1, 10)] == [3, 4]
        await db.trim(Position(4, 99))
        assert (await db.kept()).heads == (entries[3][0],)
        assert await db.verify() == ()


async def test_the_file_shrinks_again_once_its_log_is_trimmed(tmp_path: Path) -> None:
    entries = chain(1, [500_000] * 60)
    async with opened(tmp_path) as db:
        await db.store(entries)
        grown = (tmp_path / "node.db").stat().st_size + (tmp_path / "node.db-wal").stat().st_size
        await db.trim(Position(1, 60))
        times = itertools.count()

        async def had_many_idle_moments() -> bool:
            await db.set_applied(Position(1, 60))
            return next(times) > 40

        await eventually_async(had_many_idle_moments)
    shrunk = (tmp_path / "node.db").stat().st_size
    assert grown > 30_000_000
    assert shrunk < 20_000_000


async def test_the_write_ahead_log_is_bounded(tmp_path: Path) -> None:
    async with opened(tmp_path) as db:
        after = None
        for _ in range(60):
            entries = chain(1, [200_000] * 5, after=after)
            await db.store(entries)
            after = entries[-1][0]
            await db.trim(after.position)
        assert (tmp_path / "node.db-wal").stat().st_size < 20_000_000


async def test_files_that_no_row_names_are_removed_at_the_start(tmp_path: Path) -> None:
    entries = chain(1, [LARGE])
    async with opened(tmp_path) as db:
        await db.store(entries)
        incoming = await db.receive(Position(1, 2))
        incoming.write(b"half")
        assert len(log_files(tmp_path)) == 2
    async with opened(tmp_path) as db:
        assert len(log_files(tmp_path)) == 1
        assert await db.verify() == ()
    incoming.discard()
