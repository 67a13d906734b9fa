"""A term of one node: its Litestream may die or hang, the next may come at once, the archive be others."""

import os
import signal
from pathlib import Path

import pytest

from tests.tqnode.cluster_nodes import SLOW_S, cluster_in, litestream_of, running_cluster
from tests.waiting import eventually_async


async def test_writes_go_on_when_the_leaders_litestream_dies(tmp_path: Path) -> None:
    async with running_cluster(tmp_path) as cluster:
        made = [await cluster.enqueue()]
        for _ in range(2):
            os.kill(litestream_of(cluster, await cluster.leader()), signal.SIGKILL)
            made.append(await cluster.enqueue())
        await cluster.until_whole()
        for task_id in made:
            assert await cluster.has(task_id)


async def test_another_node_leads_when_the_leaders_litestream_hangs(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with running_cluster(tmp_path) as cluster:
        task_id = await cluster.enqueue()
        leader = await cluster.leader()
        pid = litestream_of(cluster, leader)
        os.kill(pid, signal.SIGSTOP)
        answer = await cluster.post(leader, "/v1/tasks", {"kind": "k"})
        assert (answer.status_code, answer.json()["code"]) == (504, "outcome_unknown")
        assert "litestream does not write the log" in caplog.text

        async def taken_over() -> bool:
            return await cluster.leader() != leader

        await eventually_async(taken_over, within_s=SLOW_S)
        assert await cluster.has(task_id)
        # The one that hung was ended with the term.
        await eventually_async(lambda: not Path(f"/proc/{pid}").exists(), within_s=SLOW_S)
        await cluster.until_whole()


async def test_the_lead_can_go_round_faster_than_terms_are_closed(tmp_path: Path) -> None:
    async with running_cluster(tmp_path) as cluster:
        task_id = await cluster.enqueue()
        for _ in range(6):
            leader = await cluster.leader()
            answer = await cluster.post(leader, "/v1/cluster/handover", {})
            assert answer.status_code in (200, 409, 503), answer.text
        assert await cluster.has(task_id)
        await cluster.until_whole()
        assert not any(node.broken.is_set() for node in cluster.nodes.values())


async def test_a_cluster_does_not_write_into_an_archive_that_has_others_terms(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    archive = f"file://{tmp_path / 'archive'}"
    async with cluster_in(tmp_path / "single", archive=archive) as single:
        for _ in range(3):
            await single.start("a", peers="")

            async def listed() -> bool:
                checks: dict[str, str] = (await single.get("a", "/readyz")).json()["checks"]
                return checks["archive"] == "ok"

            await eventually_async(listed, within_s=SLOW_S)
            await single.stop("a")
    async with cluster_in(tmp_path / "nodes", archive=archive) as cluster:
        await cluster.start("a", "b", "c", bootstrap=True)
        await eventually_async(
            lambda: "give the cluster an archive of its own" in caplog.text, within_s=SLOW_S
        )
