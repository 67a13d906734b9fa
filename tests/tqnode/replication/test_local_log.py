import asyncio
import json
import logging
import os
import signal
import stat
from pathlib import Path

import apsw
import pytest

from tests.tqnode.replication.log_bench import LogBench, running_log
from tests.waiting import eventually_async
from tqnode.clock import SystemClock
from tqnode.replication.archive_url import ArchiveError
from tqnode.replication.binary import find_litestream
from tqnode.replication.litestream import Litestream, environ_for
from tqnode.replication.restore import restore
from tqnode.replication.sync_client import SyncClient, SyncError
from tqnode.replication.terms import read_terms


def up(bench: LogBench) -> bool:
    return bench.log.states() == {"litestream": "ok", "archive": "ok"}


async def test_what_is_committed_reaches_the_archive_by_itself(tmp_path: Path) -> None:
    async with running_log(tmp_path / "node") as bench:
        ids = [await bench.core.enqueue() for _ in range(5)]

        async def arrived() -> bool:
            target = tmp_path / "restored.db"
            target.unlink(missing_ok=True)
            return (await restore(bench.archive, target, at_ms=None)).counts == {"ready": len(ids)}

        await eventually_async(arrived, within_s=60, every_s=0.2, ignoring=(ArchiveError,))


async def test_a_killed_litestream_is_started_again_and_loses_nothing(tmp_path: Path) -> None:
    async with running_log(tmp_path / "node") as bench:
        for number in range(3):
            await bench.core.enqueue()
            await bench.archived()
            before = bench.litestream_pid()
            os.kill(before, signal.SIGKILL)
            await bench.core.enqueue()
            await eventually_async(lambda: not up(bench), within_s=30)
            await eventually_async(
                lambda pid=before: up(bench) and bench.litestream_pid() != pid, within_s=30
            )
            assert bench.registry.get_sample_value("tq_litestream_restarts_total") == number + 1
        term = bench.term
        await bench.archived()
        restored = await restore(bench.archive, tmp_path / "restored.db", at_ms=None)
        assert (restored.term, restored.counts) == (term, {"ready": 6})
        # It went on where it was: nothing but the first entry is a whole copy.
        assert term == 1


async def test_each_start_begins_a_term_and_the_archive_lists_all(tmp_path: Path) -> None:
    for number in (1, 2, 3):
        async with running_log(tmp_path / "node") as bench:
            assert bench.term == number
            await bench.core.enqueue()
            await bench.archived()
            assert await listed(bench, number)
            folders = {path.name for path in bench.folder.iterdir() if "meta" in path.name}
            assert folders == {f"meta-{number}", f"terms-meta-{number}"}


async def listed(bench: LogBench, number: int) -> bool:
    return [term.number for term in await bench.archive.terms()] == list(range(1, number + 1))


async def test_a_node_that_knows_nothing_writes_over_no_term_of_the_archive(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with running_log(tmp_path / "node") as bench:
        await bench.core.enqueue()
        await bench.archived()
        assert await listed(bench, 1)
    (tmp_path / "other").mkdir()
    (tmp_path / "node" / "archive").rename(tmp_path / "other" / "archive")
    assert "another node" not in caplog.text
    async with running_log(tmp_path / "other", name="other") as bench:
        assert bench.term == 2
        assert "last written by another node, bench" in caplog.text
        await bench.archived()
        assert await listed(bench, 2)
        assert (await bench.archive.files(1))[0].min_txid == 1


async def test_nothing_is_written_while_the_archive_cannot_be_asked(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "node"
    folder.mkdir()
    (folder / "archive").mkdir()
    (folder / "archive" / "terms").mkdir()
    # A file where Litestream looks for a folder: it can't be listed.
    (folder / "archive" / "terms" / "ltx").mkdir()
    (folder / "archive" / "terms" / "ltx" / "9").write_text("")
    starting = asyncio.create_task(starts(folder))
    await eventually_async(lambda: "cannot be asked for its terms" in caplog.text, within_s=30)
    assert not (folder / "meta-1").exists()
    (folder / "archive" / "terms" / "ltx" / "9").unlink()
    assert await starting == 1


async def starts(folder: Path) -> int:
    async with running_log(folder) as bench:
        return bench.term


async def test_a_disk_error_of_litestreams_begins_a_new_term(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with running_log(tmp_path / "node") as bench:
        await bench.core.enqueue()
        await bench.archived()
        litestream = bench.log._litestream
        assert litestream is not None
        litestream._take(b'{"level":"ERROR","msg":"sync error","error":"fsync: input/output error"}')
        await eventually_async(
            lambda: bench.term == 2 and bench.log.states()["litestream"] == "ok", within_s=30
        )
        await bench.core.enqueue()
        await bench.archived()
        restored = await restore(bench.archive, tmp_path / "restored.db", at_ms=None)
        assert (restored.term, restored.counts) == (2, {"ready": 2})
    assert "a new term begins" in caplog.text


async def test_a_litestream_that_is_started_through_another_program_ends_with_it(tmp_path: Path) -> None:
    really = find_litestream("auto", os.environ)
    wrapper = tmp_path / "litestream"
    wrapper.write_text(f'#!/bin/sh\n{really} "$@" &\nwait\n')
    wrapper.chmod(0o755)
    async with running_log(tmp_path / "node", program=wrapper) as bench:
        await bench.core.enqueue()
        await bench.archived()
        group = bench.litestream_pid()
        client = SyncClient(bench.folder / "litestream.sock", clock=SystemClock())
        inner = (await client.info(within_s=30)).pid
        client.close()
        assert inner != group
        assert bench.log._litestream is not None
        bench.log._litestream.kill()
        await eventually_async(lambda: not Path(f"/proc/{inner}/fd").exists(), within_s=30)
        await eventually_async(lambda: up(bench), within_s=30)
        await bench.archived()


async def test_terms_that_reach_back_too_far_are_removed_and_the_last_never(tmp_path: Path) -> None:
    for _ in range(3):
        async with running_log(tmp_path / "node") as bench:
            await bench.core.enqueue()
            await bench.archived()
            await eventually_async(lambda: up(bench), within_s=30)
    async with running_log(tmp_path / "node", keep_s=1) as bench:
        archive = tmp_path / "node" / "archive"
        await eventually_async(lambda: not (archive / "3").exists(), within_s=60)
        await bench.archived()
        assert {path.name for path in archive.iterdir()} == {"4", "terms"}
        restored = await restore(bench.archive, tmp_path / "restored.db", at_ms=None)
        assert restored.counts == {"ready": 3}
    assert [term.number for term in read_terms(tmp_path / "node" / "terms.db")] == [4]


async def test_an_archive_that_would_fill_the_disk_gives_up_its_past(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with running_log(tmp_path / "node") as bench:
        await bench.core.enqueue()
        await bench.archived()
    async with running_log(tmp_path / "node", disk_free_min=1 << 60) as bench:
        await bench.core.enqueue()
        archive = tmp_path / "node" / "archive"
        await eventually_async(lambda: not (archive / "2").exists(), within_s=60)
        assert not (archive / "1").exists()
        await eventually_async(lambda: up(bench), within_s=30)
        await bench.archived()
        restored = await restore(bench.archive, tmp_path / "restored.db", at_ms=None)
        assert (restored.term, restored.counts) == (3, {"ready": 2})
        # It did what it could, once: an endless row of terms would help nobody.
        assert bench.term == 3
    assert caplog.text.count("gives up what it has of the past") == 1


async def test_no_connection_makes_checkpoints_and_litestreams_tables_disturb_nothing(tmp_path: Path) -> None:
    async with running_log(tmp_path / "node") as bench:
        await bench.core.enqueue()
        await bench.archived()
        assert await bench.core.rows("PRAGMA wal_autocheckpoint") == [(0,)]
        assert (await bench.core.rows("PRAGMA busy_timeout"))[0][0] >= 5000
        # Litestream's own tables are there, and nothing of ours stumbles over them.
        tables = await bench.core.rows(
            "SELECT name FROM sqlite_schema WHERE name LIKE '\\_lite%' ESCAPE '\\'"
        )
        assert {name for (name,) in tables} == {"_litestream_seq", "_litestream_lock"}
        assert await bench.core.drift() == []


async def test_no_checkpoint_of_ours_makes_litestream_start_over(tmp_path: Path) -> None:
    async with running_log(tmp_path / "node") as bench:
        for _ in range(10):
            for _ in range(20):
                await bench.core.enqueue(payload=b'"' + b"x" * 5_000 + b'"')
            await bench.log.sync(archived=False, within_s=30)
            # A reader that comes and goes, as the command that verifies a backup does.
            connection = apsw.Connection(str(tmp_path / "node" / "tq.db"), flags=apsw.SQLITE_OPEN_READONLY)
            connection.execute("SELECT count(*) FROM task").fetchall()
            connection.close()
        await bench.archived()
        whole = (tmp_path / "node" / "tq.db").stat().st_size + (
            tmp_path / "node" / "tq.db-wal"
        ).stat().st_size
        entries = sorted((tmp_path / "node" / "meta-1" / "ltx" / "0").glob("*.ltx"))
        assert entries
        assert all(entry.stat().st_size < whole / 2 for entry in entries[-3:])


async def test_the_configuration_and_the_socket_are_for_the_owner_alone(tmp_path: Path) -> None:
    async with running_log(tmp_path / "node") as bench:
        for name in ("litestream.yml", "litestream.sock"):
            assert stat.S_IMODE((bench.folder / name).stat().st_mode) & 0o077 == 0
        written = json.loads((bench.folder / "litestream.yml").read_text())
        assert written["dbs"][0]["meta-path"] == str(bench.folder / "meta-1")
        assert written["dbs"][0]["replica"]["auto-recover"] is False
        assert command_line(bench.litestream_pid())[1:] == [
            b"replicate",
            b"-no-expand-env",
            b"-config",
            os.fsencode(bench.folder / "litestream.yml"),
            b"",
        ]


def command_line(pid: int) -> list[bytes]:
    return Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")


async def test_a_sync_of_a_litestream_that_does_not_run_is_an_error(tmp_path: Path) -> None:
    async with running_log(tmp_path / "node") as bench:
        pass
    with pytest.raises(SyncError, match="does not run"):
        await bench.log.sync(archived=False, within_s=1)


async def test_figures_of_the_log_are_counted(tmp_path: Path) -> None:
    async with running_log(tmp_path / "node") as bench:
        await bench.core.enqueue()
        synced = await bench.archived()

        def value(name: str, **labels: str) -> float:
            return bench.registry.get_sample_value(name, labels) or 0.0

        assert value("tq_litestream_up") == 1
        assert value("tq_term") == 1
        assert value("tq_archive_txid") == synced.replicated_txid
        assert value("tq_archive_age_seconds") < 60
        assert value("tq_litestream_sync_duration_seconds_count", reached="archive") >= 1
    assert value("tq_litestream_up") == 0


def test_lines_of_litestream_keep_their_level_and_lose_their_secrets(
    caplog: pytest.LogCaptureFixture,
) -> None:
    litestream = Litestream.__new__(Litestream)
    litestream._secrets = ["sesame"]
    litestream.disk_failed = asyncio.Event()
    with caplog.at_level(logging.DEBUG):
        litestream._take(b'{"time":"t","level":"WARN","msg":"slow","key":"sesame"}')
        litestream._take(b"panic: runtime error")
        litestream._take(b"")
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("WARNING", "litestream: slow key=[hidden]"),
        ("ERROR", "litestream: panic: runtime error"),
    ]
    assert not litestream.disk_failed.is_set()


def test_litestream_gets_only_what_it_may_need_of_the_environment() -> None:
    environ = {"AWS_ACCESS_KEY_ID": "a", "PATH": "/bin", "TQ_TOKEN": "t", "LOG_LEVEL": "trace", "SECRET": "s"}
    assert environ_for(environ) == {"AWS_ACCESS_KEY_ID": "a", "PATH": "/bin"}


def test_authorities_named_for_s3_are_named_so_that_litestream_takes_them() -> None:
    assert environ_for({"AWS_CA_BUNDLE": "/ca"}) == {"SSL_CERT_FILE": "/ca"}
    assert environ_for({"AWS_CA_BUNDLE": "/ca", "SSL_CERT_FILE": "/own"}) == {"SSL_CERT_FILE": "/own"}
    assert environ_for({"AWS_CA_BUNDLE": ""}) == {}
