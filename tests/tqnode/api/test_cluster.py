"""What the nodes of a cluster answer: the one that leads, the others, and a node alone."""

import asyncio
import contextlib
from pathlib import Path

import httpx

from tests.tqnode.api.conftest import Served, problem
from tests.tqnode.cluster_nodes import SLOW_S, Cluster, running_cluster
from tests.waiting import eventually_async

FIGURES = (
    *("tq_has_leader", "tq_leads", "tq_cluster_term", "tq_leader_changes_total"),
    *("tq_quorum_ack_duration_seconds_count", "tq_peer_connected", "tq_replication_lag_seq"),
)


async def test_a_node_alone_is_a_cluster_of_one(served: Served) -> None:
    cluster = (await served.http.get("/v1/cluster")).json()
    assert (cluster["term"], len(cluster["nodes"])) == (0, 1)
    assert cluster["nodes"][0]["role"] == "leader"
    assert cluster["leader"] == cluster["asked"] == cluster["nodes"][0]["name"]
    assert (await served.http.get("/leader")).status_code == 200
    refused = await served.http.post("/v1/cluster/handover", json={"to": "b"})
    assert problem(refused)[:2] == (404, "node_not_found")


async def test_nodes_of_a_cluster_answer_as_the_pages_say(tmp_path: Path) -> None:
    """One cluster for all of it: it takes some seconds to begin one."""
    # Nobody is to lose the lead because the machine stands still for a while.
    async with running_cluster(tmp_path, lease_ttl_s=8.0) as cluster:
        await cluster.until_whole()
        await a_standby_sends_clients_to_the_leader(cluster)
        await every_node_says_how_all_are(cluster)
        await the_figures_are_there(cluster)
        await what_cannot_be_handed_over_is_said(cluster)
        await a_hand_over_ends_waits_and_streams_and_changes_who_leads(cluster)


async def a_standby_sends_clients_to_the_leader(cluster: Cluster) -> None:
    leader = await cluster.leader()
    for standby in await cluster.standbys():
        path = "/v1/tasks?queue=a%20b&limit=3"
        answer = await cluster.get(standby, path)
        assert problem(answer)[:2] == (307, "not_leader")
        assert answer.headers["location"] == cluster.urls[leader] + path
        answer = await cluster.post(standby, "/v1/tasks", {"kind": "k"})
        assert answer.status_code == 307
        async with httpx.AsyncClient(follow_redirects=True, timeout=20) as client:
            followed = await client.post(cluster.urls[standby] + "/v1/tasks", json={"kind": "k"})
        assert followed.status_code == 201
        assert (await cluster.get(standby, "/leader")).status_code == 503
        ready = await cluster.get(standby, "/readyz")
        assert (ready.status_code, ready.json()["checks"]["cluster"]) == (200, "ok")
        assert "archive" not in ready.json()["checks"]
        assert (await cluster.get(standby, "/livez")).status_code == 200
        handed = await cluster.post(standby, "/v1/cluster/handover", {})
        assert handed.status_code == 307
    assert (await cluster.get(leader, "/leader")).status_code == 200
    checks = (await cluster.get(leader, "/readyz")).json()["checks"]
    assert {"cluster", "database", "disk", "serving", "litestream", "archive"} <= checks.keys()
    await cluster.until_whole()


async def every_node_says_how_all_are(cluster: Cluster) -> None:
    leader = await cluster.leader()
    for asked in cluster.names:
        told = (await cluster.get(asked, "/v1/cluster")).json()
        assert told["asked"] == asked
        assert told["leader"] == leader
        assert [node["name"] for node in told["nodes"]] == list(cluster.names)
        for node in told["nodes"]:
            assert node["role"] == ("leader" if node["name"] == leader else "standby")
            assert node["url"] == cluster.urls[node["name"]]
            assert node["last"]["term"] == told["term"]
            assert node["last_contact_s"] < SLOW_S
            assert node["lag_entries"] == 0
        assert len({node["node_id"] for node in told["nodes"]}) == 3


async def the_figures_are_there(cluster: Cluster) -> None:
    leader = await cluster.leader()
    for name in cluster.names:
        text = (await cluster.get(name, "/metrics")).text
        for figure in FIGURES:
            assert figure in text or (figure == "tq_replication_lag_seq" and name != leader), (name, figure)
        assert await cluster.metric(name, "tq_leads") == (name == leader)
        assert await cluster.metric(name, "tq_leader_changes_total") >= 1
    assert await cluster.metric(leader, "tq_quorum_ack_duration_seconds_count") >= 1


async def what_cannot_be_handed_over_is_said(cluster: Cluster) -> None:
    leader = await cluster.leader()
    answer = await cluster.post(leader, "/v1/cluster/handover", {"to": leader})
    assert problem(answer)[:2] == (409, "handover_failed")
    answer = await cluster.post(leader, "/v1/cluster/handover", {"to": "nobody"})
    assert problem(answer)[:2] == (404, "node_not_found")
    assert await cluster.leader() == leader


async def a_hand_over_ends_waits_and_streams_and_changes_who_leads(cluster: Cluster) -> None:
    leader = await cluster.leader()
    successor = (await cluster.standbys())[-1]
    changes = {name: await cluster.metric(name, "tq_leader_changes_total") for name in cluster.names}
    claim = {"worker": "w", "queues": ["empty"], "wait_s": 20}
    waiting = asyncio.create_task(cluster.post(leader, "/v1/claims", claim))
    began = asyncio.Event()
    following = asyncio.create_task(follow(cluster.urls[leader], began))
    await began.wait()
    handed = await cluster.post(leader, "/v1/cluster/handover", {"to": successor})
    assert handed.status_code == 200, handed.text
    assert handed.json()["leader"] == successor
    assert handed.json()["took_s"] < SLOW_S
    async with asyncio.timeout(SLOW_S):
        await following  # it ended, though nobody went away
        ended = await waiting
    assert ended.status_code in (200, 307, 503), ended.text
    assert ended.json().get("tasks", []) == []
    assert await cluster.leader() == successor
    for name in cluster.names:
        await eventually_async(
            lambda name=name: counted(cluster, name, changes[name] + 1),  # type: ignore[misc]  # a default
            within_s=SLOW_S,
        )
    refused = await cluster.get(leader, "/v1/stats")
    assert refused.headers["location"] == cluster.urls[successor] + "/v1/stats"


async def counted(cluster: Cluster, name: str, changes: float) -> bool:
    return await cluster.metric(name, "tq_leader_changes_total") >= changes


async def follow(url: str, began: asyncio.Event) -> None:
    async with (
        httpx.AsyncClient(timeout=SLOW_S) as client,
        client.stream("GET", f"{url}/v1/events") as answer,
    ):
        assert answer.status_code == 200
        async for _line in answer.aiter_lines():
            began.set()


async def test_writes_that_go_on_through_hand_overs_are_answered_once_or_refused_and_none_is_lost(
    tmp_path: Path,
) -> None:
    async with running_cluster(tmp_path) as cluster:
        kept: list[str] = []
        over = asyncio.Event()

        async def write() -> None:
            while not over.is_set():
                for name in cluster.names:
                    with contextlib.suppress(httpx.TransportError):
                        answer = await cluster.post(name, "/v1/tasks", {"kind": "k"})
                        assert answer.status_code in (201, 307, 503, 504), answer.text
                        if answer.status_code == 201:
                            kept.append(answer.json()["id"])
                            break

        writing = [asyncio.create_task(write()) for _ in range(3)]
        for _ in range(3):
            leader = await cluster.leader()
            before = len(kept)
            await eventually_async(lambda before=before: len(kept) > before, within_s=SLOW_S)  # type: ignore[misc]  # a default
            handed = await cluster.post(leader, "/v1/cluster/handover", {})
            assert handed.status_code in (200, 409, 503), handed.text
        over.set()
        await asyncio.gather(*writing)
        totals = (await cluster.get(await cluster.leader(), "/v1/stats")).json()["totals"]
        assert totals["ready"] >= len(kept)
        for task_id in kept[:: max(1, len(kept) // 50)]:
            assert await cluster.has(task_id)
