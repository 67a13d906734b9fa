"""A node whose disk fails: what it acknowledged is kept, and it never goes on as if nothing were."""

import contextlib
import re
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from tests.e2e.processes import NodeProcess, enqueue, running_node, told_once

END_S = 20.0
STOP_S = 5.0


def failing_disk(orders: Path) -> list[str]:
    """The program that is a tqnode on a disk that fails when a file in ``orders`` says so."""
    return [sys.executable, str(Path(__file__).with_name("failing_disk.py")), str(orders)]


def test_a_disk_that_is_full_at_the_start_is_told(tmp_path: Path) -> None:
    (tmp_path / "full").touch()
    command = [
        *failing_disk(tmp_path),
        "run",
        "--listen",
        "127.0.0.1:0",
        "--data-dir",
        str(tmp_path / "data"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert "no space is left for" in told_once(done)


def test_a_disk_that_is_full_for_a_while_refuses_writes_and_loses_nothing(tmp_path: Path) -> None:
    node = NodeProcess(tmp_path, program=failing_disk(tmp_path))
    try:
        with httpx.Client(base_url=node.url, timeout=20) as client:
            before = enqueue(client)
            (tmp_path / "full").touch()
            refused = client.post("/v1/tasks", json={"kind": "k"})
            assert (refused.status_code, refused.json()["code"]) == (503, "disk_full")
            assert client.get(f"/v1/tasks/{before}").json()["state"] == "ready"
            (tmp_path / "full").unlink()
            after = enqueue(client)
            claimed = client.post("/v1/claims", json={"worker": "w", "max": 10}).json()["tasks"]
        assert [task["id"] for task in claimed] == [before, after]
        assert node.stop() == 0
    finally:
        node.end()


def test_a_disk_that_fails_ends_the_node_at_once_without_an_acknowledgement(tmp_path: Path) -> None:
    failing = NodeProcess(tmp_path, program=failing_disk(tmp_path))
    try:
        with httpx.Client(base_url=failing.url, timeout=20) as client:
            kept = enqueue(client)
            (tmp_path / "fail-sync").touch()
            # The process may be gone before its answer: OutcomeUnknown then has no words.
            with contextlib.suppress(httpx.TransportError):
                answer = client.post("/v1/tasks", json={"kind": "k"})
                assert answer.json()["code"] == "outcome_unknown"
        assert failing.wait(within_s=END_S) == 1
        assert "the disk failed, the node ends: IOError" in failing.log
    finally:
        failing.end()
    with running_node(tmp_path) as node:
        assert httpx.get(f"{node.url}/v1/tasks/{kept}").json()["state"] == "ready"


def test_a_disk_that_hangs_does_not_keep_a_stopping_node_beyond_its_time(tmp_path: Path) -> None:
    node = NodeProcess(tmp_path, ["--drain-s", "0.2"], program=failing_disk(tmp_path))
    try:
        with httpx.Client(base_url=node.url, timeout=0.5) as client:
            kept = enqueue(client)
            (tmp_path / "hang-sync").touch()
            with pytest.raises(httpx.ReadTimeout):
                enqueue(client)
        node.signal(signal.SIGTERM)
        assert node.wait(within_s=STOP_S) == 1
        assert "did not stop in time and is cut off" in node.log
    finally:
        node.end()
    with running_node(tmp_path) as again:
        assert httpx.get(f"{again.url}/v1/tasks/{kept}").json()["state"] == "ready"


def test_a_disk_that_cannot_be_read_ends_the_node_rather_than_its_sweeps_alone(tmp_path: Path) -> None:
    node = NodeProcess(tmp_path, program=failing_disk(tmp_path))
    try:
        with httpx.Client(base_url=node.url, timeout=20) as client:
            enqueue(client)
            (tmp_path / "fail-read").touch()
            with contextlib.suppress(httpx.TransportError):  # the node may be gone before its answer
                client.post("/v1/tasks", json={"kind": "k", "delay_s": 0.01})
        assert node.wait(within_s=END_S) == 1
        assert re.search("the sweeper failed|the disk failed", node.log)
    finally:
        node.end()
