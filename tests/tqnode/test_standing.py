"""What is told of nodes that do not answer as this version would."""

from pathlib import Path

from tests.tqnode.cluster_nodes import cluster_in


async def test_nodes_that_are_not_there_are_told_with_what_is_known_of_them(tmp_path: Path) -> None:
    async with cluster_in(tmp_path) as cluster:
        await cluster.start("a")
        nodes = await cluster.status("a")
        assert nodes["a"]["role"] == "starting"
        for name in ("b", "c"):
            assert nodes[name]["role"] == "unreachable"
            assert nodes[name]["trouble"]
        answer = (await cluster.get("a", "/v1/cluster")).json()
        assert answer.get("leader") is None


async def test_what_a_node_of_another_version_says_of_itself_is_no_failure(tmp_path: Path) -> None:
    async with cluster_in(tmp_path) as cluster:
        await cluster.start("a")
        standing = cluster.member("a").standing
        contact = standing._peers.contacts()["b"]
        told = standing._reached(contact, {"name": "b", "role": "observer"})
        assert told.role == "unreachable"
        assert "of another version" in (told.trouble or "")
