"""An archive on another machine, by SFTP: written, restored from, away and back."""

import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

import tq
from tests.e2e.archive_node import SLOW_S, checks, node_of, run
from tests.e2e.processes import enqueue
from tests.e2e.three_nodes import free_ports, three_nodes
from tests.sftp_server import SftpServer
from tests.waiting import eventually

pytestmark = pytest.mark.timeout(240)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[SftpServer]:
    # The first ones are the nodes', which come later.
    made = SftpServer(tmp_path / "server", free_ports(20)[-1])
    yield made
    made.stop()


def flags_of(server: SftpServer) -> list[str]:
    return ["--archive", server.url, "--archive-credentials-file", str(server.credentials())]


def restored(flags: list[str], folder: Path) -> list[str]:
    """The counts of the newest state in the archive."""
    with tempfile.TemporaryDirectory(dir=folder) as to:
        done = run("restore", *flags, "--to", f"{to}/restored", "--latest")
    assert done.returncode == 0, done.stderr
    return re.findall(r"^\s*(\w+: [0-9]+)$", done.stdout, re.MULTILINE)


def test_a_queue_is_restored_from_another_machine(tmp_path: Path, server: SftpServer) -> None:
    server.start()
    flags = flags_of(server)
    with node_of(tmp_path, *flags) as node:
        with httpx.Client(base_url=node.url) as client:
            enqueue(client)
        eventually(lambda: restored(flags, tmp_path) == ["ready: 1"], within_s=SLOW_S)


def test_a_cluster_works_while_the_archive_is_away_and_gives_it_all_when_it_is_back(
    tmp_path: Path, server: SftpServer
) -> None:
    flags = flags_of(server)
    with three_nodes(tmp_path, lambda _name: flags) as cluster, tq.Client(cluster.urls) as client:
        made = [client.enqueue("k").id for _ in range(5)]
        leader = cluster.nodes[cluster.leader()]
        assert "connection refused" in checks(leader)["archive"]
        # Another term has to do without it too.
        cluster.kill_leader()
        made.append(client.enqueue("k").id)
        cluster.make_whole()
        server.start()

        def written() -> bool:
            return checks(cluster.nodes[cluster.leader()]).get("archive") == "ok"

        eventually(written, within_s=SLOW_S)
        assert {client.get(task_id).state for task_id in made} == {"ready"}
        eventually(lambda: restored(flags, tmp_path) == ["ready: 6"], within_s=SLOW_S)
