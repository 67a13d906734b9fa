import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from tests.tqnode.replication.litestream_bench import following, open_database
from tests.tqnode.replication.log_bench import running_log
from tests.waiting import eventually_async
from tqnode.clock import SystemClock
from tqnode.replication.sync_client import EntriesGone, SyncClient, SyncError, entries_after
from tqnode.replication.term_folders import meta_of

DATABASE = Path("/data/tq.db")
SYNCED = b'{"txid":1,"replicated_txid":0}'
Answers = Callable[[bytes], bytes | None]


def answer(status: int, body: bytes) -> bytes:
    return b"HTTP/1.1 %d X\r\ncontent-length: %d\r\n\r\n%s" % (status, len(body), body)


@asynccontextmanager
async def scripted(path: Path, answers: Answers) -> AsyncIterator[list[bytes]]:
    """A socket that answers as a broken Litestream might; yields the requests that came."""
    asked: list[bytes] = []
    serving: list[Any] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving.append(asyncio.current_task())
        while head := await reader.read(65_536):
            asked.append(head)
            said = answers(head)
            if said is None:
                break
            writer.write(said)
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_unix_server(serve, path)
    try:
        yield asked
    finally:
        server.close()
        await asyncio.gather(*serving)


@pytest.fixture
def socket() -> Any:
    with TemporaryDirectory(prefix="sync-") as folder:
        yield Path(folder) / "s"


def client_of(socket: Path) -> SyncClient:
    return SyncClient(socket, clock=SystemClock())


async def test_a_sync_of_a_real_litestream_tells_what_reached_the_disk_and_the_archive(
    tmp_path: Path,
) -> None:
    connection = open_database(tmp_path / "tq.db")
    connection.execute("CREATE TABLE t (a)")
    with following(tmp_path / "litestream", tmp_path / "tq.db") as litestream:
        client = SyncClient(litestream._socket, clock=SystemClock())
        assert (await client.info(within_s=30)).version == "0.5.17"
        first = await client.sync(tmp_path / "tq.db", archived=False, within_s=30)
        for number in range(3):
            connection.execute("INSERT INTO t VALUES (?)", (number,))
            synced = await client.sync(tmp_path / "tq.db", archived=False, within_s=30)
        assert synced.txid >= first.txid + 3
        archived = await client.sync(tmp_path / "tq.db", archived=True, within_s=30)
        assert archived.replicated_txid >= synced.txid
        meta = tmp_path / "litestream" / "meta"
        assert [txid for txid, _ in entries_after(meta, first.txid)] == list(
            range(first.txid + 1, archived.txid + 1)
        )
        assert all(file.read_bytes().startswith(b"LTX1") for _, file in entries_after(meta, 0))
        client.close()
    connection.close()


async def test_only_one_call_is_under_way_at_a_time(socket: Path) -> None:
    async with scripted(socket, lambda _: answer(200, b'{"txid":1,"replicated_txid":0}')) as asked:
        client = client_of(socket)
        await asyncio.gather(*(client.sync(DATABASE, archived=False, within_s=30) for _ in range(20)))
        client.close()
    assert len(asked) == 20
    assert all(head.count(b"POST /sync") == 1 for head in asked)


async def test_an_answer_of_500_is_asked_again_and_other_refusals_are_not(socket: Path) -> None:
    said = [answer(500, b'{"error":"busy"}'), answer(200, b'{"txid":7,"replicated_txid":3}')]
    async with scripted(socket, lambda _: said.pop(0)):
        client = client_of(socket)
        assert (await client.sync(DATABASE, archived=False, within_s=30)).txid == 7
        client.close()
    async with scripted(socket, lambda _: answer(404, b'{"error":"database not found"}')) as asked:
        client = client_of(socket)
        with pytest.raises(SyncError, match="404: database not found"):
            await client.sync(DATABASE, archived=False, within_s=30)
        client.close()
    assert len(asked) == 1


async def test_an_answer_of_500_that_stays_is_told(socket: Path) -> None:
    async with scripted(socket, lambda _: answer(500, b'{"error":"disk is full"}')) as asked:
        client = client_of(socket)
        with pytest.raises(SyncError, match="500: disk is full"):
            await client.sync(DATABASE, archived=True, within_s=30)
        client.close()
    assert len(asked) == 5


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (None, "does not answer"),
        (b"SSH-2.0-x\r\n\r\n", "does not answer"),
        (answer(200, b"{}"), "not as expected"),
        (answer(200, b"no json"), "not as expected"),
        (answer(502, b"no json"), "502"),
    ],
)
async def test_what_is_no_answer_of_litestream_is_an_error(
    socket: Path, said: bytes | None, told: str
) -> None:
    async with scripted(socket, lambda _: said):
        client = client_of(socket)
        with pytest.raises(SyncError, match=told):
            await client.sync(DATABASE, archived=False, within_s=30)
        client.close()


async def test_silence_and_a_missing_socket_are_errors_in_time(socket: Path) -> None:
    client = client_of(socket)
    with pytest.raises(SyncError, match="does not answer"):
        await client.info(within_s=30)
    async with scripted(socket, lambda _: b""):
        with pytest.raises(SyncError, match=r"did not answer within 0\.1 s"):
            await client.sync(DATABASE, archived=False, within_s=0.1)
    client.close()


async def test_a_call_waits_for_its_turn_no_longer_than_it_may_take(socket: Path) -> None:
    async with scripted(socket, lambda head: b"" if b"slow" in head else answer(200, SYNCED)) as asked:
        client = client_of(socket)
        slow = asyncio.create_task(client.sync(Path("slow"), archived=True, within_s=30))
        await eventually_async(lambda: asked != [])
        with pytest.raises(SyncError, match=r"did not answer within 0\.1 s"):
            await client.sync(DATABASE, archived=False, within_s=0.1)
        assert not slow.done()
        slow.cancel()
        await asyncio.gather(slow, return_exceptions=True)
        assert (await client.sync(DATABASE, archived=False, within_s=30)).txid == 1
        client.close()


async def test_a_socket_in_a_folder_of_a_very_long_name_is_reached(tmp_path: Path) -> None:
    folder = tmp_path / ("a" * 120)
    folder.mkdir()
    code = (
        "import socket,sys\ns=socket.socket(socket.AF_UNIX); s.bind('s'); s.listen(); print(flush=True)\n"
        "c,_=s.accept(); c.recv(9999); c.sendall(sys.argv[1].encode()); c.recv(1)"
    )
    said = answer(200, b'{"version":"x","pid":3}').decode()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, said, cwd=folder, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    await process.stdout.readline()
    client = client_of(folder / "s")
    assert (await client.info(within_s=30)).pid == 3
    client.close()
    await process.wait()


def test_entries_that_were_removed_unread_are_noticed(tmp_path: Path) -> None:
    folder = tmp_path / "ltx" / "0"
    assert entries_after(tmp_path, 0) == []
    folder.mkdir(parents=True)
    for txid in (4, 5, 7):
        (folder / f"{txid:016x}-{txid:016x}.ltx").touch()
    (folder / f"{8:016x}-{8:016x}.ltx.tmp").touch()
    (folder / f"{1:016x}-{3:016x}.ltx").touch()
    assert [txid for txid, _ in entries_after(tmp_path, 6)] == [7]
    assert entries_after(tmp_path, 7) == []
    for after, found in ((0, 4), (2, 4), (3, 7), (5, 7)):
        with pytest.raises(EntriesGone) as caught:
            entries_after(tmp_path, after)
        assert caught.value.found == found


async def test_litestream_always_leaves_the_last_entry_so_that_a_gap_is_seen(tmp_path: Path) -> None:
    async with running_log(tmp_path / "node") as bench:
        meta = meta_of(bench.folder, bench.term)
        for _ in range(4):
            await bench.core.enqueue()
            newest = (await bench.archived()).txid

        def removed() -> bool:
            try:
                entries_after(meta, 0)
            except EntriesGone:
                return True
            return False

        await eventually_async(removed, within_s=60)
        newest = (await bench.log.sync(archived=False, within_s=30)).txid
        assert [txid for txid, _ in entries_after(meta, newest - 1)] == [newest]
