"""The first start of a cluster: once, by somebody's word, and from wherever it was interrupted."""

import logging
from pathlib import Path

import pytest

from tests.tqnode.cluster_nodes import SLOW_S, Cluster, cluster_in
from tests.tqnode.replication.node_db_folder import opened
from tests.waiting import eventually_async
from tqnode.founding import FoundingError

ID = "0f0f0f0f-0000-4000-8000-000000000000"


async def goes_on(cluster: Cluster) -> None:
    """It has a leader, takes a task, and brings it to every node."""
    task_id = await cluster.enqueue()
    await cluster.until_whole()
    assert await cluster.has(task_id)


async def ids(cluster: Cluster) -> set[str | None]:
    return {(await cluster.get(name, "/v1/cluster")).json()["cluster_id"] for name in cluster.nodes}


async def test_nodes_that_are_all_told_to_begin_a_cluster_begin_one(tmp_path: Path) -> None:
    async with cluster_in(tmp_path) as cluster:
        await cluster.start("c", "a", "b", bootstrap=True)
        await goes_on(cluster)
        assert len(await ids(cluster)) == 1


async def test_one_node_is_told_to_begin_a_cluster_and_the_others_belong_to_it(tmp_path: Path) -> None:
    async with cluster_in(tmp_path) as cluster:
        await cluster.start("a", "c")
        await cluster.start("b", bootstrap=True)
        await goes_on(cluster)
        (cluster_id,) = await ids(cluster)
        assert cluster_id is not None


async def test_no_cluster_begins_until_all_its_nodes_are_there(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with cluster_in(tmp_path) as cluster:
        await cluster.start("a", bootstrap=True)
        await cluster.start("b")
        await eventually_async(lambda: "and c is not" in cluster.member("a")._founding.waits_for)
        ready = await cluster.get("a", "/readyz")
        assert ready.status_code == 503
        assert "all nodes must be there to begin a cluster" in ready.json()["checks"]["cluster"]
        assert "tqnode run --bootstrap" in (await cluster.get("b", "/readyz")).json()["checks"]["cluster"]
        refused = await cluster.post("a", "/v1/tasks", {"kind": "k"})
        assert (refused.status_code, refused.json()["code"]) == (503, "no_leader")
        assert await ids(cluster) == {None}
        await cluster.start("c")
        await goes_on(cluster)


async def test_nobody_begins_a_cluster_without_being_told_to(tmp_path: Path) -> None:
    async with cluster_in(tmp_path) as cluster:
        await cluster.start("a", "b", "c")
        await eventually_async(lambda: "--bootstrap" in cluster.member("a")._founding.waits_for)
        assert await ids(cluster) == {None}


async def test_a_second_beginning_is_refused_and_an_empty_node_joins_without_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with cluster_in(tmp_path) as cluster:
        await cluster.start("a", "b", "c", bootstrap=True)
        await goes_on(cluster)
        await cluster.stop("c")
        await cluster.wipe("c")
        await cluster.start("c", bootstrap=True)
        await eventually_async(cluster.nodes["c"].broken.is_set, within_s=SLOW_S)
        assert "start this node without --bootstrap, and it joins" in caplog.text
        await cluster.stop("c")
        await cluster.start("c")

        async def joined() -> bool:
            return (await cluster.status(await cluster.leader()))["c"]["role"] in ("joining", "standby")

        await eventually_async(joined, within_s=SLOW_S)
        assert len(await ids(cluster)) == 1


async def test_a_node_that_has_its_place_may_be_started_as_at_the_first_time(tmp_path: Path) -> None:
    async with cluster_in(tmp_path) as cluster:
        await cluster.start("a", "b", "c", bootstrap=True)
        await goes_on(cluster)
        await cluster.stop("a", "b", "c")
        await cluster.start("a", "b", "c", bootstrap=True)
        await goes_on(cluster)


async def begin_alone(cluster: Cluster, name: str) -> None:
    """A node has founded the cluster, and ended before it told anybody."""
    cluster.data_dir(name).mkdir()
    async with opened(cluster.data_dir(name)) as node_db:
        await node_db.found(ID)


async def test_a_beginning_that_was_interrupted_is_gone_on_with(tmp_path: Path) -> None:
    async with cluster_in(tmp_path) as cluster:
        await begin_alone(cluster, "b")
        await cluster.start("a", "c")
        await cluster.start("b", bootstrap=True)
        await goes_on(cluster)
        assert await ids(cluster) == {ID}


async def test_a_beginning_is_gone_on_with_though_the_others_have_joined_meanwhile(tmp_path: Path) -> None:
    async with cluster_in(tmp_path) as cluster:
        await begin_alone(cluster, "b")
        await cluster.start("a", "b", "c")

        async def joined() -> bool:
            return await ids(cluster) == {ID}

        await eventually_async(joined, within_s=SLOW_S)
        # Disks that joined have no vote, and the one that has is no majority.
        assert (
            "joining" in (await cluster.get("a", "/readyz")).text
            or "no leader" in (await cluster.get("a", "/readyz")).text
        )
        await cluster.stop("b")
        await cluster.start("b", bootstrap=True)
        await goes_on(cluster)


async def test_a_single_nodes_queue_is_not_lost_to_a_cluster_nor_a_clusters_to_a_single_node(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with cluster_in(tmp_path) as cluster:
        await cluster.start("a", peers="", litestream="off")
        assert (await cluster.post("a", "/v1/tasks", {"kind": "k"})).status_code == 201
        await cluster.stop("a")
        with pytest.raises(FoundingError, match="tq export"):
            await cluster.start("a")
        await cluster.start("a", peers="", litestream="off")
        await cluster.start("b")
        await cluster.stop("b")
        with pytest.raises(FoundingError, match="belongs to a node of a cluster"):
            await cluster.start("b", peers="", litestream="off")
