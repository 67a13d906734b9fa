"""The runbooks of the operations page, run as they stand in a shell, on a node that has lost something."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from contextlib import AbstractContextManager
from pathlib import Path

import httpx
import pytest
import trustme

import tq
from tests.certificates import write_certificate
from tests.e2e.archive_node import SLOW_S, archived, node_of, settle, stamp
from tests.e2e.processes import NodeProcess, enqueue
from tests.e2e.three_nodes import free_ports, three_nodes
from tests.e2e.worker_process import ROOT
from tests.waiting import eventually

DOCUMENT = (ROOT / "web/tqweb/docs/operations.md").read_text()


def commands(heading: str) -> list[str]:
    """The shell commands below a heading, up to the next one of any rank."""
    (section,) = re.findall(
        rf"^##+ {re.escape(heading)}\n(.*?)(?=^##+ |\Z)", DOCUMENT, re.MULTILINE | re.DOTALL
    )
    return re.findall(r"^```sh\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)


def shell(script: str, folder: Path, node: NodeProcess, **variables: str) -> str:
    """Runs a script with this environment's commands, configured for the node; its output."""
    environ = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "TQ_URL": node.url,
        "TQNODE_DATA_DIR": str(node.data_dir),
        "TQNODE_ARCHIVE": f"file://{folder / 'elsewhere'}",
        **variables,
    }
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        capture_output=True,
        text=True,
        cwd=folder,
        env=environ,
        timeout=SLOW_S,
        check=False,
    )
    assert done.returncode == 0, f"{script}\n{done.stdout}{done.stderr}"
    return done.stdout


def node_in(folder: Path) -> AbstractContextManager[NodeProcess]:
    return node_of(folder, "--archive", f"file://{folder / 'elsewhere'}")


def total(node: NodeProcess) -> dict[str, int]:
    counts: dict[str, int] = httpx.get(f"{node.url}/v1/stats").json()["totals"]
    return counts


def test_a_restore_is_done_as_the_page_says(tmp_path: Path) -> None:
    with node_in(tmp_path) as node:
        with httpx.Client(base_url=node.url) as client:
            enqueue(client)
            moment = stamp(settle(node, tmp_path / "elsewhere"))
            enqueue(client)
        eventually(lambda: archived(node), within_s=SLOW_S)
        latest, earlier = commands("Restore")
        eventually(lambda: "ready: 2" in again(latest, tmp_path, node), within_s=SLOW_S)
        assert "ready: 1" in shell(earlier, tmp_path, node, MOMENT=moment)
        assert (tmp_path / "restored-then" / "tq.db").exists()


def again(script: str, folder: Path, node: NodeProcess) -> str:
    shutil.rmtree(folder / "restored", ignore_errors=True)
    return shell(script, folder, node)


def test_a_lost_disk_is_replaced_as_the_page_says(tmp_path: Path) -> None:
    with node_in(tmp_path) as node:
        with httpx.Client(base_url=node.url) as client:
            task_id = enqueue(client)
        settle(node, tmp_path / "elsewhere")
        node.kill()
        shutil.rmtree(node.data_dir)
        (command,) = re.findall(r"`(tqnode restore --latest --to /var/lib/tqnode)`", DOCUMENT)
        shell(command.replace("/var/lib/tqnode", shlex.quote(str(node.data_dir))), tmp_path, node)
        node.restart()
        assert httpx.get(f"{node.url}/v1/tasks/{task_id}").json()["state"] == "ready"
        eventually(lambda: (tmp_path / "elsewhere" / "2" / "ltx").exists(), within_s=SLOW_S)
        assert node.stop() == 0


def test_what_was_deleted_by_mistake_comes_back_as_the_page_says(tmp_path: Path) -> None:
    with node_in(tmp_path) as node:
        with httpx.Client(base_url=node.url) as client:
            for number in range(3):
                enqueue(client, payload=number)
            moment = stamp(settle(node, tmp_path / "elsewhere"))
            assert client.post("/v1/queues/default/purge", json={}).json() == {"deleted": 3}
            assert total(node) == {}
        (script,) = commands("When somebody deleted what they should not have")
        told = shell(script, tmp_path, node, MOMENT=moment)
        assert told.count(" ready ") == 3
        assert total(node) == {"ready": 3}


@pytest.mark.parametrize("heading", ["Read the past", "Check the backup"])
def test_the_commands_below_run_as_they_stand(tmp_path: Path, heading: str) -> None:
    with node_in(tmp_path) as node:
        with httpx.Client(base_url=node.url) as client:
            enqueue(client)
        moment = settle(node, tmp_path / "elsewhere")
        (script,) = commands(heading)
        told = shell(script, tmp_path, node, MOMENT=stamp(moment))
        assert "ready" in told


def test_what_is_left_of_a_lost_majority_begins_a_new_cluster_as_the_page_says(tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    (tmp_path / "new").mkdir()
    copying, exporting, importing = commands("When a majority is lost for good")
    with three_nodes(tmp_path / "old") as cluster:
        leader = cluster.leader()
        with httpx.Client(base_url=cluster.nodes[leader].url) as client:
            made = [enqueue(client, payload=number) for number in range(3)]
            running = client.post("/v1/claims", json={"worker": "w", "max": 1}).json()["tasks"]
        cluster.make_whole()
        left = next(name for name in cluster.nodes if name != leader)
        for name, node in cluster.nodes.items():
            if name != left:
                node.kill()
                shutil.rmtree(node.data_dir)
        survivor = cluster.nodes[left]
        survivor.stop()
        assert len(made) == 3
        assert len(running) == 1
        (port,) = free_ports(1)
        shell(copying, tmp_path, survivor, SURVIVOR=str(survivor.data_dir))
        told = shell(exporting.replace("127.0.0.1:7444", f"127.0.0.1:{port}"), tmp_path, survivor)
        assert "ready" in told
    with three_nodes(tmp_path / "new") as cluster:
        shell(importing, tmp_path, cluster.nodes["a"])
        assert total(cluster.nodes[cluster.leader()]) == {"ready": 3}


def test_a_node_whose_disk_was_lost_counts_again_when_the_page_says_so(tmp_path: Path) -> None:
    (script,) = commands("When the disk of a cluster's node is lost")
    with three_nodes(tmp_path) as cluster:
        with httpx.Client(base_url=cluster.nodes[cluster.leader()].url) as client:
            task_id = enqueue(client)
        leader = cluster.leader()
        lost = next(name for name in ("b", "c") if name != leader)
        cluster.nodes[lost].kill()
        shutil.rmtree(cluster.nodes[lost].data_dir)
        cluster.nodes[lost].restart()
        urls = ",".join(cluster.urls)
        told = shell(script, tmp_path, cluster.nodes[leader], NODE=lost, TQ_URL=urls)
        assert "joining" not in told
        # It is needed for the majority now, and is one half of it.
        other = next(name for name in cluster.nodes if name not in (lost, leader))
        cluster.nodes[other].kill()
        with httpx.Client(base_url=cluster.nodes[cluster.leader()].url) as client:
            assert client.get(f"/v1/tasks/{task_id}").json()["state"] == "ready"
            enqueue(client)


def test_the_secret_is_changed_while_all_nodes_stand_still(tmp_path: Path) -> None:
    def secret_of(name: str) -> Path:
        return tmp_path / f"secret-{name}"

    def write_secret(name: str, text: str) -> None:
        secret_of(name).write_text(text)
        secret_of(name).chmod(0o600)

    def flags_of(name: str) -> list[str]:
        write_secret(name, "the first secret of the cluster")
        return ["--peer-secret-file", str(secret_of(name))]

    with three_nodes(tmp_path, flags_of) as cluster:
        with tq.Client(cluster.urls) as client:
            task_id = client.enqueue("k").id
        for node in cluster.nodes.values():
            assert node.stop() == 0
        for name in cluster.nodes:
            write_secret(name, "the second secret of the cluster")
        cluster.make_whole()
        with tq.Client(cluster.urls) as client:
            assert client.get(task_id).state == "ready"


def test_certificates_are_replaced_on_one_running_node_after_the_other(tmp_path: Path) -> None:
    authority = trustme.CA()

    def own(name: str) -> Path:
        return tmp_path / f"tls-{name}"

    def flags_of(name: str) -> list[str]:
        own(name).mkdir()
        write_certificate(own(name), authority, name)
        files = {"cert": "cert.pem", "key": "key.pem", "ca": "ca.pem"}
        return [word for key, file in files.items() for word in (f"--peer-tls-{key}", str(own(name) / file))]

    with three_nodes(tmp_path, flags_of) as cluster:
        for name in cluster.nodes:
            write_certificate(own(name), authority, name)
            # It shows the others what it has when they meet anew: as after a cut, or its own restart.
            assert cluster.nodes[name].stop() == 0
            cluster.make_whole()
            with tq.Client(cluster.urls) as client:
                client.enqueue("k")
