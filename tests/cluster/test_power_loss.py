"""What was acknowledged survives a loss of power; and a node whose disk fails to fsync does not go on."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import apsw
import httpx
import pytest

from tests.cluster.cluster import Cluster, cluster
from tests.cluster.disk import PowerDisk
from tests.cluster.failing_fsync import failing_fsync
from tests.cluster.member import Shape
from tests.cluster.namespaces import own_mounts
from tests.cluster.run import Plan, run
from tests.waiting import eventually

COMMITS = 20
END_S = 30.0


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[tuple[PowerDisk, Path]]:
    folder = tmp_path / "disk"
    folder.mkdir()
    with own_mounts():
        made = PowerDisk(folder, "test")
        yield made, folder
        made.end()


def fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)


def test_the_disk_keeps_what_was_fsynced_and_forgets_the_rest(disk: tuple[PowerDisk, Path]) -> None:
    power, folder = disk
    for name in ("whole", "nameless", "empty", "older"):
        (folder / name).write_text("first")
    for name in ("whole", "older"):
        fsync(folder / name)
    (folder / "nameless").unlink()
    fsync(folder)
    (folder / "nameless").write_text("fsynced, but not the folder")
    fsync(folder / "nameless")
    (folder / "older").write_text("second")
    power.cut()
    with pytest.raises(OSError, match="Input/output error"):
        (folder / "whole").read_text()
    power.back()
    left = {path.name: path.read_text() for path in folder.iterdir()}
    assert left == {"whole": "first", "empty": "", "older": "first"}


@pytest.mark.parametrize(("synchronous", "left"), [("FULL", COMMITS), ("NORMAL", 0)])
def test_a_commit_that_was_not_fsynced_is_lost_with_the_power(
    disk: tuple[PowerDisk, Path], synchronous: str, left: int
) -> None:
    power, folder = disk
    database = apsw.Connection(str(folder / "q.db"))
    database.execute("PRAGMA journal_mode=wal").fetchall()
    database.execute("CREATE TABLE t (a)")
    database.execute(f"PRAGMA synchronous={synchronous}")
    for number in range(COMMITS):
        database.execute("INSERT INTO t VALUES (?)", (number,))
    power.cut()
    with contextlib.suppress(apsw.Error):  # the disk is gone under it
        database.close()
    power.back()
    database = apsw.Connection(str(folder / "q.db"))
    assert database.execute("SELECT count(*) FROM t").fetchall() == [(left,)]
    database.close()


@pytest.mark.timeout(300)  # the drain waits for the leases of those who went away
def test_what_a_single_node_acknowledged_survives_each_of_several_power_losses(tmp_path: Path) -> None:
    said: list[str] = []
    report = run(
        Plan(seconds=12, seed="power", nodes=1, power=True, kinds=["power loss"]), tmp_path, said.append
    )
    assert report.violations == []
    assert report.acks > 100
    assert report.faults["power loss"] >= 2
    assert report.faults["majority powerless"] == 1


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[Cluster]:
    with cluster(tmp_path, Shape(names=("a",), disk_mib=256, fake_time=False)) as made:
        made.start()
        yield made


def enqueue(nodes: Cluster) -> httpx.Response:
    return httpx.post(f"{nodes.urls[0]}/v1/tasks", json={"kind": "k"}, timeout=20)


def test_a_node_whose_fsync_fails_ends_and_has_acknowledged_nothing_that_is_lost(
    alone: Cluster, tmp_path: Path
) -> None:
    member = alone.members["a"]
    kept = enqueue(alone).json()["id"]
    with failing_fsync(member.pid, tmp_path / "strace"):
        # The process may be gone before its answer.
        with contextlib.suppress(httpx.TransportError):
            assert enqueue(alone).json()["code"] == "outcome_unknown"
        assert member.wait(within_s=END_S) == 1
    member.start()
    member.wait_until_live()
    assert httpx.get(f"{member.url}/v1/tasks/{kept}").json()["state"] == "ready"


def test_a_litestream_whose_fsync_fails_is_not_relied_on_any_more(alone: Cluster, tmp_path: Path) -> None:
    member = alone.members["a"]
    kept = enqueue(alone).json()["id"]
    (litestream,) = eventually(member.litestream_pids)
    with failing_fsync(litestream, tmp_path / "strace"):
        made = [enqueue(alone).json()["id"] for _ in range(3)]
        # Whether the node ends as well is its own choice; it must not go on with this one.
        eventually(lambda: litestream not in member.litestream_pids(), within_s=END_S)
    if not member.runs:
        member.start()
    member.wait_until_live()
    for task in (kept, *made):
        assert httpx.get(f"{member.url}/v1/tasks/{task}").json()["state"] == "ready"
