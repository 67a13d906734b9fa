"""``tqnode run`` as a process: how it starts, stops, and comes back."""

import json
import os
import signal
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from tests.e2e.processes import NodeProcess, enqueue, running_node, start_node, told_once
from tests.waiting import eventually

STOP_S = 5.0


@pytest.fixture
def node(tmp_path: Path) -> Iterator[NodeProcess]:
    with running_node(tmp_path) as started:
        yield started


@pytest.fixture
def client(node: NodeProcess) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=node.url, timeout=30) as opened:
        yield opened


def run_to_the_end(*flags: str, environ: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """A node that is expected not to start."""
    return subprocess.run(
        [sys.executable, "-m", "tqnode", "run", *flags],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
        env=os.environ | (environ or {}),
    )


def test_a_started_node_says_where_it_listens_and_keeps_its_files_to_itself(node: NodeProcess) -> None:
    assert f"listening on {node.url}" in node.log
    assert httpx.get(f"{node.url}/livez").status_code == 200
    assert stat.S_IMODE(node.data_dir.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in node.data_dir.iterdir()} == {0o600}
    node.stop()
    assert {path.name for path in node.data_dir.iterdir()} == {"tq.db", "tqnode.pid"}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_node_with_0_within_5_s_though_a_claim_waits(
    node: NodeProcess, client: httpx.Client, number: signal.Signals
) -> None:
    with ThreadPoolExecutor(1) as pool:
        claim = pool.submit(client.post, "/v1/claims", json={"worker": "w", "wait_s": 60})
        waiting = "tq_waiting_claims "

        def claim_waits() -> bool:
            lines = httpx.get(f"{node.url}/metrics").text.splitlines()
            return any(line.startswith(waiting) and line.split()[-1] == "1.0" for line in lines)

        eventually(claim_waits)
        node.signal(number)
        assert node.wait(within_s=STOP_S) == 0
        answer = claim.result(timeout=5)
    assert answer.status_code == 200
    assert answer.json() == {"tasks": []}


def test_a_request_whose_body_is_on_its_way_is_still_answered_after_sigterm(node: NodeProcess) -> None:
    body = b'{"kind": "late"}'
    with connected(node) as line, line.makefile("rb") as answer:
        line.sendall(b"POST /v1/tasks HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n")
        line.sendall(b"content-length: %d\r\n\r\n" % len(body) + body[:5])
        eventually(lambda: httpx.get(f"{node.url}/livez").status_code == 200)
        node.signal(signal.SIGTERM)
        eventually(lambda: "stopping: SIGTERM" in node.log)
        eventually(lambda: refuses_connections(node))
        line.sendall(body[5:])
        assert answer.readline() == b"HTTP/1.1 201 Created\r\n"
        assert b"connection: close" in answer.read().lower()
        assert node.wait(within_s=STOP_S) == 0
    node.restart()
    tasks = httpx.get(f"{node.url}/v1/tasks", params={"kind": "late"}).json()["tasks"]
    assert len(tasks) == 1


def connected(node: NodeProcess) -> socket.socket:
    host, port = node.url.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), timeout=20)


def refuses_connections(node: NodeProcess) -> bool:
    try:
        connected(node).close()
    except ConnectionRefusedError:
        return True
    return False


def test_a_request_that_never_ends_does_not_keep_a_stopping_node_beyond_its_time(tmp_path: Path) -> None:
    with running_node(tmp_path, "--drain-s", "0.5") as node, connected(node) as line:
        line.sendall(b"POST /v1/tasks HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n")
        line.sendall(b"content-length: 10\r\n\r\n{")
        eventually(lambda: httpx.get(f"{node.url}/livez").status_code == 200)
        node.signal(signal.SIGTERM)
        assert node.wait(within_s=STOP_S) == 0
        assert "1 requests were not answered in time" in node.log
        assert "Traceback" not in node.log


def test_a_second_signal_ends_the_wait_for_requests(tmp_path: Path) -> None:
    with running_node(tmp_path, "--drain-s", "100") as node, connected(node) as line:
        line.sendall(b"POST /v1/tasks HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n")
        line.sendall(b"content-length: 10\r\n\r\n{")
        eventually(lambda: httpx.get(f"{node.url}/livez").status_code == 200)
        node.signal(signal.SIGTERM)
        eventually(lambda: "stopping: SIGTERM" in node.log)
        with pytest.raises(subprocess.TimeoutExpired):
            node.wait(within_s=0.5)
        node.signal(signal.SIGTERM)
        assert node.wait(within_s=STOP_S) == 0


def test_events_that_are_followed_do_not_hold_a_stopping_node(node: NodeProcess) -> None:
    with httpx.stream("GET", f"{node.url}/v1/events", timeout=20) as events:
        assert events.status_code == 200
        node.signal(signal.SIGTERM)
        assert node.wait(within_s=STOP_S) == 0
        assert "Traceback" not in node.log


class Producers:
    """Four clients that enqueue until the node is gone.

    Args:
        url: the node.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._pool = ThreadPoolExecutor(4)
        self._busy = threading.Event()
        self.acknowledged: list[str] = []
        self._runs = [self._pool.submit(self._run) for _ in range(4)]

    def _run(self) -> None:
        with httpx.Client(base_url=self._url, timeout=30) as client:
            while True:
                try:
                    answer = client.post("/v1/tasks", json={"kind": "k", "payload": {"x": 1.10}})
                except httpx.TransportError:
                    return
                if answer.status_code == 503:
                    assert answer.json()["code"] == "draining"
                    return
                assert answer.status_code == 201
                self.acknowledged.append(answer.json()["id"])
                if len(self.acknowledged) >= 100:
                    self._busy.set()

    def wait_until_busy(self) -> None:
        assert self._busy.wait(30)

    def end(self) -> None:
        for run in self._runs:
            run.result(timeout=30)
        self._pool.shutdown()


def all_tasks(node: NodeProcess) -> set[str]:
    found: set[str] = set()
    cursor: dict[str, str] = {}
    with httpx.Client(base_url=node.url, timeout=30) as client:
        while True:
            page = client.get("/v1/tasks", params={"limit": "1000", **cursor}).json()
            found.update(task["id"] for task in page["tasks"])
            if "next_cursor" not in page:
                return found
            cursor = {"cursor": page["next_cursor"]}


def test_kill_9_under_load_loses_no_acknowledged_task(node: NodeProcess) -> None:
    producers = Producers(node.url)
    producers.wait_until_busy()
    node.kill()
    producers.end()
    node.restart()
    assert set(producers.acknowledged) - all_tasks(node) == set()


def test_sigterm_under_load_answers_every_request_it_carries_out(node: NodeProcess) -> None:
    producers = Producers(node.url)
    producers.wait_until_busy()
    assert node.stop() == 0
    producers.end()
    node.restart()
    assert set(producers.acknowledged) == all_tasks(node)


def test_a_lease_means_after_kill_9_what_it_meant_before(node: NodeProcess) -> None:
    with httpx.Client(base_url=node.url, timeout=30) as client:
        task_id = enqueue(client)
        ask = {"worker": "w", "lease_s": 600}
        token = client.post("/v1/claims", json=ask).json()["tasks"][0]["token"]
    node.kill()
    node.restart()
    with httpx.Client(base_url=node.url, timeout=30) as client:
        assert client.get(f"/v1/tasks/{task_id}").json()["state"] == "running"
        assert client.post("/v1/claims", json={"worker": "v"}).json()["tasks"] == []
        wrong = client.post(f"/v1/tasks/{task_id}/complete", json={"token": token[:-1] + "_"})
        assert wrong.json()["code"] == "lease_lost"
        assert client.post(f"/v1/tasks/{task_id}/complete", json={"token": token}).status_code == 200
        assert client.get(f"/v1/tasks/{task_id}").json()["state"] == "succeeded"


def test_a_second_node_on_the_same_folder_is_refused_with_the_pid_of_the_first(node: NodeProcess) -> None:
    done = run_to_the_end("--listen", "127.0.0.1:0", "--data-dir", str(node.data_dir))
    assert f"another tqnode (pid {node.pid}) owns {node.data_dir}" in told_once(done)
    assert httpx.get(f"{node.url}/livez").status_code == 200


def test_a_port_in_use_is_told_and_leaves_the_folder_free(node: NodeProcess, tmp_path: Path) -> None:
    listen = node.url.removeprefix("http://")
    done = run_to_the_end("--listen", listen, "--data-dir", str(tmp_path / "other"))
    assert f"{listen} is in use; stop what listens there" in told_once(done)
    assert not (tmp_path / "other" / "tqnode.url").exists()


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = run_to_the_end("--listen", "127.0.0.1:0", "--data-dir", str(tmp_path / "file" / "data"))
    assert "set data_dir to" in told_once(done)


def test_a_file_of_webhooks_that_others_can_read_is_told(tmp_path: Path) -> None:
    file = tmp_path / "webhooks.toml"
    file.write_text("")
    file.chmod(0o644)
    flags = ("--listen", "127.0.0.1:0", "--data-dir", str(tmp_path / "data"), "--webhooks-file", str(file))
    assert f"{file} can be read or changed by others" in told_once(run_to_the_end(*flags))


def test_a_file_that_is_no_database_is_told_and_not_touched(tmp_path: Path) -> None:
    file = tmp_path / "tq.db"
    file.write_bytes(b"not a database" * 1000)
    done = run_to_the_end("--listen", "127.0.0.1:0", "--data-dir", str(tmp_path))
    assert f"{file} is damaged or no database" in told_once(done)
    assert file.read_bytes() == b"not a database" * 1000


def test_a_wrong_configuration_ends_with_2_and_touches_nothing(tmp_path: Path) -> None:
    done = run_to_the_end("--data-dir", str(tmp_path / "data"), "--lease-s", "0", environ={"TQNODE_X": "1"})
    assert done.returncode == 2
    assert "--lease-s: must be" in done.stderr
    assert "TQNODE_X: unknown" in done.stderr
    assert not (tmp_path / "data").exists()


def test_listening_beyond_this_machine_is_warned_about(tmp_path: Path) -> None:
    node = start_node(tmp_path, "--listen", "0.0.0.0:0")
    try:
        assert "whoever can reach 0.0.0.0:0 can read and change every task" in node.log
    finally:
        node.end()


def test_json_logs_are_one_object_a_line(tmp_path: Path) -> None:
    with running_node(tmp_path, "--log-format", "json") as node:
        assert node.stop() == 0
        events = [json.loads(line) for line in node.log.splitlines()]
    assert [event["message"] for event in events if event["level"] == "info"] == [
        f"listening on {node.url}",
        "stopping: SIGTERM",
        "stopped",
    ]


def test_the_service_manager_hears_ready_pings_and_stopping(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(20)
        environ = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "200000"}
        with running_node(tmp_path, environ=environ) as node:
            assert manager.recv(1000) == f"READY=1\nSTATUS=listening on {node.url}".encode()
            assert manager.recv(1000) == b"WATCHDOG=1"
            assert node.stop() == 0
            said = manager.recv(1000)
            while said == b"WATCHDOG=1":
                said = manager.recv(1000)
            assert said.startswith(b"STOPPING=1")


def test_half_sent_requests_do_not_pile_up(tmp_path: Path) -> None:
    with running_node(tmp_path, "--connections-max", "20", "--request-read-s", "0.5") as node:
        lines = [connected(node) for _ in range(20)]
        try:
            for line in lines:
                line.sendall(b"GET /livez HTTP/1.1\r\nx: ")
            eventually(
                lambda: httpx.get(f"{node.url}/livez").status_code == 503, ignoring=(httpx.TransportError,)
            )
            eventually(
                lambda: httpx.get(f"{node.url}/livez").status_code == 200, ignoring=(httpx.TransportError,)
            )
            for line in lines:
                assert line.recv(100).startswith(b"HTTP/1.1 408 ")
        finally:
            for line in lines:
                line.close()
