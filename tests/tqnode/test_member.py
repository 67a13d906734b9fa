"""Three nodes through what happens to clusters: stops, empty disks, no majority, files that are too new."""

import asyncio
import functools
import random
from pathlib import Path

import pytest

from tests.tqnode.cluster_nodes import LEASE_S, SLOW_S, Cluster, running_cluster
from tests.waiting import eventually_async
from tqnode import member
from tqnode.clock import SystemClock
from tqnode.node import StoreError
from tqnode.replication.state import Settings


async def test_all_nodes_stop_and_start_at_once_and_nothing_is_lost(tmp_path: Path) -> None:
    async with running_cluster(tmp_path) as cluster:
        task_id = await cluster.enqueue()
        for _ in range(2):
            await cluster.stop("a", "b", "c")
            await cluster.start("c", "b", "a")
            assert await cluster.has(task_id)
        await cluster.until_whole()


async def test_without_a_majority_nothing_is_answered_and_with_one_it_goes_on(tmp_path: Path) -> None:
    async with running_cluster(tmp_path) as cluster:
        before = await cluster.enqueue()
        leader = await cluster.leader()
        others = await cluster.standbys()
        # At once: had one been left to stop after the other, they would have been a majority for a while.
        await cluster.stop(*others)
        refused = await cluster.post(leader, "/v1/tasks", {"kind": "k"})
        assert refused.json()["code"] in ("outcome_unknown", "no_leader"), refused.text

        async def out_of_office() -> bool:
            return (await cluster.get(leader, "/leader")).status_code == 503

        await eventually_async(out_of_office, within_s=SLOW_S)
        refused = await cluster.post(leader, "/v1/tasks", {"kind": "k"})
        assert (refused.status_code, refused.json()["code"]) == (503, "no_leader")
        assert int(refused.headers["retry-after"]) >= 1
        assert (await cluster.get(leader, f"/v1/tasks/{before}")).status_code == 503
        ready = await cluster.get(leader, "/readyz")
        assert (ready.status_code, ready.json()["checks"]["cluster"]) == (503, "no leader")
        await eventually_async(functools.partial(knows_none, cluster, leader))
        await cluster.start(others[0])
        assert await cluster.has(before)
        assert await cluster.has(await cluster.enqueue())


async def knows_none(cluster: Cluster, name: str) -> bool:
    return await cluster.metric(name, "tq_has_leader") == 0


async def test_a_node_with_an_empty_disk_joins_and_counts_again_by_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Half a minute, of which a test need not wait for all.
    monkeypatch.setattr(member, "Settings", functools.partial(Settings, new_term_every_s=3.0))
    async with running_cluster(tmp_path) as cluster:
        task_id = await cluster.enqueue()
        leader = await cluster.leader()
        wiped, other = await cluster.standbys()
        await cluster.stop(wiped)
        await cluster.wipe(wiped)
        await cluster.start(wiped)

        async def joining() -> bool:
            role: str = (await cluster.status(leader))[wiped]["role"]
            return role == "joining"

        await eventually_async(joining, within_s=SLOW_S)
        await cluster.until_whole()  # which asks for the role "standby" too
        # It counts: with another one gone, it makes the majority.
        await cluster.stop(other)
        assert await cluster.has(task_id)
        assert await cluster.has(await cluster.enqueue())


async def test_a_witness_votes_keeps_the_log_and_never_leads(tmp_path: Path) -> None:
    async with running_cluster(tmp_path) as started:
        await started.stop("a", "b", "c")
        cluster = started
        await cluster.start("c", witness=True)
        await cluster.start("a", "b")
        task_id = await cluster.enqueue()
        await cluster.until_whole()
        leader = await cluster.leader()
        assert leader != "c"
        assert (await cluster.status("c"))["c"]["role"] == "witness"
        other = next(name for name in ("a", "b") if name != leader)
        refused = await cluster.post(leader, "/v1/cluster/handover", {"to": "c"})
        assert (refused.status_code, refused.json()["code"]) == (409, "handover_failed")
        await cluster.stop(leader)
        assert await cluster.leader() == other
        assert await cluster.has(task_id)
        assert await cluster.has(await cluster.enqueue())


async def test_a_snapshot_larger_than_a_message_reaches_every_node_and_the_next_term(tmp_path: Path) -> None:
    async with running_cluster(tmp_path) as cluster:
        ids = [await cluster.enqueue(payload=random.Random(n).randbytes(300_000).hex()) for n in range(5)]
        await cluster.until_whole()
        leader = await cluster.leader()
        answer = await cluster.post(leader, "/v1/cluster/handover", {})
        assert answer.status_code == 200, answer.text
        await cluster.until_whole()
        logs = {name: list((cluster.data_dir(name) / "log").glob("*.ltx")) for name in cluster.nodes}
        assert all(logs.values()), "the term's snapshot is a file of its own on every node"
        for task_id in ids:
            assert await cluster.has(task_id)


async def test_a_database_that_is_too_new_is_kept_in_step_but_not_led_with_and_that_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with running_cluster(tmp_path) as cluster:
        leader = await cluster.leader()
        tenure = cluster.member(leader)._tenure
        assert tenure is not None
        await tenure._store.write(lambda tx: tx.run("PRAGMA user_version = 9999", {}))
        await cluster.until_whole()
        await cluster.post(leader, "/v1/cluster/handover", {})
        await eventually_async(lambda: caplog.text.count("this node can't lead") >= 2, within_s=SLOW_S)
        assert "the database has schema 9999" in caplog.text
        assert "run the newer tqnode that wrote it" in caplog.text
        for name in cluster.nodes:
            assert (await cluster.get(name, "/leader")).status_code == 503
            assert not cluster.nodes[name].broken.is_set()


async def test_node_by_node_the_lead_is_left_when_a_leader_stops(tmp_path: Path) -> None:
    async with running_cluster(tmp_path) as cluster:
        task_id = await cluster.enqueue()
        leader = await cluster.leader()
        clock = SystemClock()
        began = clock.monotonic()
        await cluster.stop(leader)
        assert await cluster.leader() != leader
        assert await cluster.has(task_id)
        assert clock.monotonic() - began < SLOW_S
        last = await cluster.leader()
        (other,) = await cluster.standbys()
        await cluster.stop(other)
        began = clock.monotonic()
        await cluster.stop(last)
        assert clock.monotonic() - began < 4 * LEASE_S + 5, "nobody is there to take over"


async def test_a_node_can_be_stopped_at_any_moment_of_its_start(tmp_path: Path) -> None:
    async with running_cluster(tmp_path) as cluster:
        task_id = await cluster.enqueue()
        clock = SystemClock()
        for tenth in range(5):
            name = (await cluster.standbys())[0] if tenth % 2 else await cluster.leader()
            await cluster.stop(name)
            await cluster.start(name)
            await clock.sleep(tenth / 5)
            async with asyncio.timeout(30):
                await cluster.stop(name)
            await cluster.start(name)
        assert await cluster.has(task_id)
        await cluster.until_whole()


async def test_a_node_whose_node_db_is_damaged_says_what_to_do_and_that_helps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(member, "Settings", functools.partial(Settings, new_term_every_s=3.0))
    async with running_cluster(tmp_path) as cluster:
        task_id = await cluster.enqueue()
        name = (await cluster.standbys())[0]
        await cluster.stop(name)
        file = cluster.data_dir(name) / "node.db"
        data = bytearray(await asyncio.to_thread(file.read_bytes))
        data[100:8000] = bytes(7900)
        await asyncio.to_thread(file.write_bytes, data)
        with pytest.raises(StoreError, match=r"node\.db is damaged .*; move its whole folder away"):
            await cluster.start(name)
        await asyncio.to_thread(cluster.data_dir(name).rename, tmp_path / "away")
        await cluster.start(name)
        await cluster.until_whole()
        assert await cluster.has(task_id)
