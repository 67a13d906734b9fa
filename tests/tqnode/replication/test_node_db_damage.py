"""node.db on a disk that is damaged, full or failing."""

import asyncio
import contextlib
import random
from collections import Counter
from pathlib import Path

import apsw
import pytest

from tests.tqnode.replication.log_entries import chain
from tests.tqnode.replication.node_db_folder import LARGE, content_of, flip, log_files, opened
from tests.tqnode.store.failing_disk import failing_disk
from tqnode.errors import DiskFull
from tqnode.replication.effects import Row
from tqnode.replication.entry import Position
from tqnode.replication.node_db import DiskFailed, Kept, OutOfOrder
from tqnode.store.migrations import SchemaTooNew

PAGE = 4096


async def test_flipped_bits_in_stored_bytes_are_found_and_mended_by_the_same_entry(tmp_path: Path) -> None:
    entries = chain(1, [3_000, 3_000, LARGE, 3_000])
    async with opened(tmp_path) as db:
        await db.store(entries)
        (large,) = (tmp_path / "log").iterdir()
    for file, content in ((tmp_path / "node.db", entries[1][1]), (large, entries[2][1])):
        flip(file, content[:1_000], 500)
    async with opened(tmp_path) as db:
        assert await db.verify() == (Position(1, 2), Position(1, 3))
        await db.store(entries[1:])
        assert await db.verify() == ()
        assert (await db.kept()).heads == tuple(head for head, _ in entries)
        assert len(log_files(tmp_path)) == 1


async def test_a_flipped_bit_in_a_head_is_never_taken_for_a_position(tmp_path: Path) -> None:
    entries = chain(1, [3_000] * 3)
    async with opened(tmp_path) as db:
        await db.store(entries)
    flip(tmp_path / "node.db", entries[1][0].sha256, 3)
    with pytest.raises(DiskFailed, match="is damaged"):
        async with opened(tmp_path):
            pass


async def damage_seen(folder: Path, sound: Kept) -> str:
    """What becomes of a damaged file: it is refused, its bytes are found wrong, or nothing of it matters."""
    fatal: list[BaseException] = []
    try:
        async with opened(folder, fatal) as db:
            wrong = await db.verify()
            assert await db.kept() == sound
        return "found" if wrong else "harmless"
    except (DiskFailed, SchemaTooNew):
        return "refused"


@pytest.mark.timeout(300)
async def test_no_flipped_bit_of_the_file_is_ever_taken_for_the_truth(tmp_path: Path) -> None:
    whole = tmp_path / "whole"
    whole.mkdir()
    async with opened(whole) as db:
        await db.found("c1")
        await db.save_row(Row(3, "b"), fresh=False)
        await db.store(chain(3, [900, 100, 9_000, 2_000, 40]))
        await db.trim(Position(3, 3))
        await db.set_applied(Position(3, 4))
        sound = await db.kept()
    content = (whole / "node.db").read_bytes()
    assert len(content) % PAGE == 0
    chance = random.Random(8)
    outcomes: Counter[str] = Counter()
    for number in range(400):
        folder = tmp_path / str(number)
        folder.mkdir()
        # Half of them where SQLite keeps its own account of a page: there a flip makes rows come and go.
        at = chance.randrange(len(content))
        if number % 2:
            at = at // PAGE * PAGE + chance.randrange(32)
        broken = bytearray(content)
        broken[at] ^= 1 << chance.randrange(8)
        (folder / "node.db").write_bytes(broken)
        outcomes[await damage_seen(folder, sound)] += 1
    assert min(outcomes["refused"], outcomes["found"]) > 5, outcomes


@pytest.mark.parametrize("kept_bytes", [0, 1, LARGE // 2, LARGE - 1])
async def test_a_torn_file_is_found(tmp_path: Path, kept_bytes: int) -> None:
    async with opened(tmp_path) as db:
        await db.store(chain(1, [LARGE]))
        (file,) = (tmp_path / "log").iterdir()
        with file.open("r+b") as stream:
            stream.truncate(kept_bytes)
        assert await db.verify() == (Position(1, 1),)


async def test_a_missing_file_is_found(tmp_path: Path) -> None:
    async with opened(tmp_path) as db:
        await db.store(chain(1, [LARGE]))
        (file,) = (tmp_path / "log").iterdir()
        file.unlink()
        assert await db.verify() == (Position(1, 1),)


async def test_a_flipped_bit_in_the_vote_is_never_read_as_a_vote(tmp_path: Path) -> None:
    async with opened(tmp_path) as db:
        await db.save_row(Row(5, "holder-of-the-lease"), fresh=False)
    flip(tmp_path / "node.db", b"holder-of-the-lease", 3)
    with pytest.raises(DiskFailed, match=r"is damaged .* move it"):
        async with opened(tmp_path):
            pass


async def test_what_is_no_database_is_refused_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "node.db").write_bytes(b"anything but SQLite" * 1000)
    with pytest.raises(DiskFailed, match="comes back as one with an empty disk"):
        async with opened(tmp_path):
            pass


async def test_a_file_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    async with opened(tmp_path):
        pass
    with contextlib.closing(apsw.Connection(str(tmp_path / "node.db"))) as connection:
        connection.pragma("user_version", 99)
    with pytest.raises(SchemaTooNew):
        async with opened(tmp_path):
            pass


async def test_a_second_program_cannot_open_the_file(tmp_path: Path) -> None:
    async with opened(tmp_path):
        connection = apsw.Connection(str(tmp_path / "node.db"))
        with contextlib.closing(connection), pytest.raises(apsw.BusyError):
            connection.execute("SELECT * FROM node").fetchall()


async def test_on_a_full_disk_nothing_is_kept_and_it_goes_on_once_there_is_space(tmp_path: Path) -> None:
    first, second, third = chain(1, [10, 10, 10])
    with failing_disk() as disk:
        async with opened(tmp_path) as db:
            await db.store([first])
            disk.full = True
            answers = await asyncio.gather(
                db.store([second]), db.store([third]), db.save_row(Row(1, "a"), False), return_exceptions=True
            )
            assert [type(answer) for answer in answers] == [DiskFull] * 3
            with pytest.raises(DiskFull):
                await db.store([third])
            assert await content_of(db, first[0].position) == first[1]
            disk.full = False
            await db.store([second, third])
            assert len(await db.heads(1, 10)) == 3
            with pytest.raises(OutOfOrder):
                await db.store(chain(1, [10] * 9)[8:])


async def test_a_failed_sync_acknowledges_nothing_and_ends_the_node(tmp_path: Path) -> None:
    fatal: list[BaseException] = []
    with failing_disk() as disk:
        async with opened(tmp_path, fatal) as db:
            disk.syncs_fail = True
            calls = [asyncio.ensure_future(db.save_row(Row(term, "a"), False)) for term in (1, 2)]
            for call in calls:
                with pytest.raises(DiskFailed):
                    await call
            disk.syncs_fail = False
            with pytest.raises(DiskFailed):
                await db.save_row(Row(3, "a"), False)
        assert [type(error) for error in fatal] == [DiskFailed]


async def test_each_call_is_synced_before_it_is_answered(tmp_path: Path) -> None:
    with failing_disk() as disk:
        async with opened(tmp_path) as db:
            for term in range(1, 6):
                before = disk.syncs
                await db.save_row(Row(term, "a"), False)
                assert disk.syncs > before
