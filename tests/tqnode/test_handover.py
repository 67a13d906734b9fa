"""A hand-over from the request on: while writes are stuck, while another is under way, and when it works."""

import asyncio
import os
import signal
from pathlib import Path

from tests.tqnode.cluster_nodes import litestream_of, running_cluster, tenure_of
from tests.waiting import eventually_async


async def test_a_hand_over_comes_to_nothing_while_writes_are_stuck_and_they_are_answered_after_it(
    tmp_path: Path,
) -> None:
    async with running_cluster(tmp_path, lease_ttl_s=4.0) as cluster:
        leader = await cluster.leader()
        pid = litestream_of(cluster, leader)
        os.kill(pid, signal.SIGSTOP)
        try:
            stuck = asyncio.create_task(cluster.post(leader, "/v1/tasks", {"kind": "k"}))
            await eventually_async(lambda: tenure_of(cluster, leader).gate.uncovered > 0)
            first, second = await asyncio.gather(
                *(cluster.post(leader, "/v1/cluster/handover", {}) for _ in range(2))
            )
        finally:
            os.kill(pid, signal.SIGCONT)
        told = {answer.json()["detail"] for answer in (first, second)}
        assert {answer.json()["code"] for answer in (first, second)} == {"handover_failed"}, told
        assert any("under way" in detail for detail in told), told
        assert any("could not be handed on in time" in detail for detail in told), told
        answer = await stuck
        assert answer.status_code == 201, answer.text
        assert await cluster.leader() == leader
        assert await cluster.has(answer.json()["id"])
        assert (await cluster.post(leader, "/v1/cluster/handover", {})).status_code == 200
