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

from tests.e2e.archive_node import SLOW_S, archived, node_of, settle, stamp
from tests.e2e.processes import NodeProcess, enqueue
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
