import asyncio
from pathlib import Path

import pytest

from tests.e2e.three_nodes import free_ports
from tests.sftp_server import SftpServer
from tests.tqnode.replication.log_bench import archive_at, running_log
from tqnode.replication import term_log
from tqnode.replication.archive_url import ArchiveError
from tqnode.replication.restore import restore
from tqnode.replication.sync_client import SyncError


async def test_the_term_that_an_election_gave_is_the_one_that_is_written(tmp_path: Path) -> None:
    async with running_log(tmp_path / "node", elected=7) as bench:
        await bench.core.enqueue()
        await bench.archived()
        assert bench.term == 7
        assert [term.number for term in await bench.archive.terms()] == [7]
        assert bench.registry.get_sample_value("tq_term") == 7


async def test_numbers_that_others_led_in_are_left_out(tmp_path: Path) -> None:
    for number in (2, 5):
        async with running_log(tmp_path / "node", elected=number) as bench:
            await bench.core.enqueue()
            await bench.archived()
    assert [term.number for term in await bench.archive.terms()] == [2, 5]


@pytest.mark.parametrize("elected", [4, 5])
async def test_an_archive_that_has_the_term_or_a_later_one_is_left_alone(
    tmp_path: Path, elected: int
) -> None:
    shared = archive_at(tmp_path, f"file://{tmp_path / 'shared'}")
    async with running_log(tmp_path / "theirs", elected=5, archive=shared) as bench:
        await bench.core.enqueue()
        await bench.archived()
    with pytest.raises(ArchiveError, match=f"has term 5 already, and this cluster begins term {elected}"):
        async with running_log(tmp_path / "ours", elected=elected, archive=shared):
            pass
    assert [term.node for term in await shared.terms()] == ["bench"]


async def test_a_term_is_written_though_the_archive_does_not_answer_and_the_next_one_goes_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(term_log, "APART_S", 0.0)
    (port,) = free_ports(1)
    server = SftpServer(tmp_path / "server", port)
    away = archive_at(tmp_path, server.url, credentials=server.credentials())
    async with running_log(tmp_path / "node", elected=3, archive=away) as bench:
        back = asyncio.create_task(bench.term_log.archive_back())
        await bench.core.enqueue()
        # The log itself is on this machine: it waits for no archive.
        assert (await bench.log.sync(archived=False, within_s=60)).txid > 0
        with pytest.raises(SyncError, match="the archive did not answer when the term began"):
            await bench.archived()
        assert "connection refused" in bench.log.states()["archive"]
        assert not back.done()
        await asyncio.to_thread(server.start)
        await asyncio.wait_for(back, 60)
        with pytest.raises(SyncError, match="did not answer"):
            await bench.archived()
    async with running_log(tmp_path / "node", elected=4, archive=away) as bench:
        assert not (tmp_path / "node" / "apart").exists()
        await bench.core.enqueue()
        await bench.archived()
        assert [term.number for term in await away.terms()] == [4]
        restored = await restore(away, tmp_path / "restored.db", at_ms=None)
        assert restored.counts == {"ready": 2}
    server.stop()


async def test_a_term_that_is_in_the_archive_never_waits_to_go_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(term_log, "APART_S", 0.0)
    monkeypatch.setattr(term_log, "UNREACHED_S", (0.001,))
    async with running_log(tmp_path / "node", elected=1) as bench:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(bench.term_log.archive_back(), 0.5)


async def test_whoever_waits_for_the_log_goes_on_when_litestream_answers(tmp_path: Path) -> None:
    async with running_log(tmp_path / "node", elected=1) as bench:
        await bench.term_log.wait_until_up()
        assert bench.log.states()["litestream"] == "ok"
