"""node.db in processes of its own: killed at any moment, on a disk that is too small, with a torn tail."""

import json
import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.source_tree import ROOT
from tests.tqnode.replication.log_entries import chain
from tests.tqnode.replication.node_db_folder import content_of, opened
from tests.tqnode.replication.node_db_process import SIZES
from tqnode.replication.effects import Row
from tqnode.replication.entry import Position

SCRIPT = [sys.executable, "-m", "tests.tqnode.replication.node_db_process"]


def told_before_the_kill(folder: Path, lines: int, scenario: str = "keep_writing") -> tuple[int, Position]:
    """Runs the process until it has told ``lines`` times, kills it; returns the highest told."""
    process = subprocess.Popen([*SCRIPT, scenario, str(folder)], stdout=subprocess.PIPE, cwd=ROOT)
    assert process.stdout is not None
    told = [process.stdout.readline() for _ in range(lines)]
    process.kill()
    told += process.stdout.read().splitlines()
    process.wait()
    process.stdout.close()
    facts = [json.loads(line) for line in told if line.strip()]
    rows = [fact["row"] for fact in facts if "row" in fact]
    stored = [Position(*fact["stored"]) for fact in facts if "stored" in fact]
    return max(rows, default=0), max(stored)


async def check(folder: Path, row_term: int, stored: Position) -> None:
    """All that was told is there, whole, and the log is one that the process can have written."""
    async with opened(folder) as db:
        kept = await db.kept()
        assert kept.row.term >= row_term
        assert kept.row in (Row(0, ""), Row(kept.row.term, f"leader-{kept.row.term}"))
        last = kept.heads[-1]
        assert last.position >= stored
        assert await db.verify() == ()
        sizes = [SIZES[txid % len(SIZES)] for txid in range(last.txid)]
        for head, content in chain(last.term, sizes)[-len(kept.heads) :]:
            assert head in kept.heads
            assert await content_of(db, head.position) == content


@pytest.mark.timeout(300)
async def test_what_was_answered_survives_kill_9_at_any_moment(tmp_path: Path) -> None:
    chance = random.Random(4)
    row_term, stored = 0, Position(0, 0)
    for _ in range(12):
        row, position = told_before_the_kill(tmp_path, chance.randrange(1, 25))
        assert position > stored
        row_term, stored = max(row_term, row), position
        await check(tmp_path, row_term, stored)
    assert row_term > 3


@pytest.mark.timeout(300)
async def test_a_write_ahead_log_cut_anywhere_opens_as_it_was_at_some_moment(tmp_path: Path) -> None:
    whole = tmp_path / "whole"
    whole.mkdir()
    told_before_the_kill(whole, 1, "write_and_wait")
    heads = tuple(head for head, _ in chain(1, [SIZES[txid % len(SIZES)] for txid in range(9)]))
    wal_bytes = (whole / "node.db-wal").stat().st_size
    chance = random.Random(5)
    lengths = set()
    for number in range(15):
        torn = tmp_path / str(number)
        shutil.copytree(whole, torn)
        with (torn / "node.db-wal").open("r+b") as stream:
            stream.truncate(chance.randrange(wal_bytes // 4, wal_bytes))
        async with opened(torn) as db:
            kept = await db.kept()
            assert await db.verify() == ()
        assert kept.heads == heads[: len(kept.heads)]
        lengths.add(len(kept.heads))
    assert len(lengths) > 2


def test_a_small_disk_that_runs_full_refuses_entries_and_the_node_goes_on(tmp_path: Path) -> None:
    in_a_small_disk = (
        'mount -t tmpfs -o size=2m none "$0" && head -c 700000 /dev/zero > "$0/filler" && exec "$@" "$0"'
    )
    # A namespace of its own: the disk goes with the process, whatever becomes of it.
    command = ["unshare", "--mount", "--map-root-user", "sh", "-c", in_a_small_disk, str(tmp_path)]
    done = subprocess.run(
        [*command, *SCRIPT, "fill_disk"], cwd=ROOT, capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 0, done.stderr
    facts = json.loads(done.stdout)
    assert facts["refused"] == dict.fromkeys(("30000", "500", "3000000"), "the disk is full")
    assert facts["stored"] > 5
    assert facts["readable"]
