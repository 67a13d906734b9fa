"""What the cluster tests work with does what it claims: a cut cuts, a clock steps, nothing is left behind."""

import contextlib
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import httpx
import pytest

from tests.cluster.cluster import Cluster, cluster
from tests.cluster.faults import HOUR_S, Scene, slow_links
from tests.cluster.member import PEER_PORT, Shape, processes_about
from tests.cluster.namespaces import inside, own_mounts
from tests.cluster.network import SWITCH, Network, network
from tests.cluster.run import Plan, run
from tests.waiting import eventually

UDP_PORT = 5005
QUIET_S = 0.3
ALONE = Shape(names=("a",), disk_mib=128)
SLOW_MS = 150


@pytest.fixture
def net() -> Iterator[Network]:
    with own_mounts(), network(["a", "b", "c"]) as made:
        yield made


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[Cluster]:
    """A single node on a small disk of its own."""
    with cluster(tmp_path, ALONE) as made:
        made.start()
        yield made


@contextmanager
def sockets(net: Network) -> Iterator[dict[str, socket.socket]]:
    """One at each node, and one among the clients."""
    with ExitStack() as stack:
        made = {}
        for name, namespace in [*net.nodes.items(), (SWITCH, net.switch)]:
            with inside(namespace):
                made[name] = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
                made[name].bind((net.addresses[name], UDP_PORT))
                made[name].settimeout(QUIET_S)
        yield made


def received(end: socket.socket) -> list[str]:
    """What has come, in order."""
    got = []
    with contextlib.suppress(TimeoutError):
        while True:
            got.append(end.recv(100).decode())
    return got


def heard(net: Network, ends: dict[str, socket.socket]) -> set[str]:
    """Who is heard by whom: a tells everybody, everybody tells a."""
    for name in ends:
        if name != "a":
            ends["a"].sendto(f"a to {name}".encode(), (net.addresses[name], UDP_PORT))
            ends[name].sendto(f"{name} to a".encode(), (net.addresses["a"], UDP_PORT))
    return {what for end in ends.values() for what in received(end)}


def test_a_cut_stops_one_direction_between_the_named_and_no_other(net: Network) -> None:
    with sockets(net) as ends:
        everybody = {f"a to {name}" for name in ("b", "c", SWITCH)} | {
            f"{name} to a" for name in ("b", "c", SWITCH)
        }
        assert heard(net, ends) == everybody
        net.cut(["a"], ["b"])
        assert heard(net, ends) == everybody - {"a to b"}
        net.split(["a"], ["b", "c"])
        assert heard(net, ends) == {f"a to {SWITCH}", f"{SWITCH} to a"}
        net.cut([SWITCH], ["a"])
        assert heard(net, ends) == {f"a to {SWITCH}"}
        net.heal()
        assert heard(net, ends) == everybody


def test_a_lossy_node_hears_a_part_of_what_is_sent(net: Network) -> None:
    with sockets(net) as ends:
        net.lose("a", 50)
        for _ in range(200):
            ends["b"].sendto(b"x", (net.addresses["a"], UDP_PORT))
        assert 50 < len(received(ends["a"])) < 150


def test_a_detour_delays_new_connections_and_ends_old_ones(tmp_path: Path) -> None:
    with cluster(tmp_path, Shape(names=("a", "b"), disk_mib=1)) as nodes:
        with inside(nodes.net.nodes["b"]):
            listener = socket.create_server((nodes.net.addresses["b"], PEER_PORT))
        threading.Thread(target=echo, args=(listener,), daemon=True).start()

        def connect() -> socket.socket:
            with inside(nodes.net.nodes["a"]):
                return socket.create_connection((nodes.net.addresses["b"], PEER_PORT), timeout=10)

        old = connect()
        assert round_trip_s(old) < SLOW_MS / 1000
        with slow_links(Scene(nodes, ("a",), random.Random(1)), SLOW_MS):
            with pytest.raises(OSError, match="reset"):
                round_trip_s(old)
            slow = connect()
            assert round_trip_s(slow) >= 2 * SLOW_MS / 1000
        with connect() as quick:
            assert round_trip_s(quick) < SLOW_MS / 1000
        for end in (old, slow, listener):
            end.close()


def echo(listener: socket.socket) -> None:
    """Sends back what comes, on each connection, until the listener is closed."""

    def one(end: socket.socket) -> None:
        try:
            while data := end.recv(100):
                end.sendall(data)
        except OSError:
            pass
        end.close()

    while True:
        try:
            end, _ = listener.accept()
        except OSError:
            return
        threading.Thread(target=one, args=(end,), daemon=True).start()


def round_trip_s(end: socket.socket) -> float:
    began = time.monotonic()
    end.sendall(b"x")
    if not end.recv(1):
        raise ConnectionResetError("reset: the other end closed")
    return time.monotonic() - began


def enqueue(nodes: Cluster) -> httpx.Response:
    return httpx.post(
        f"{nodes.members['a'].url}/v1/tasks", json={"kind": "k", "payload": "x" * 1000}, timeout=20
    )


def test_a_clock_step_moves_the_nodes_wall_clock_alone(alone: Cluster) -> None:
    def ahead() -> timedelta:
        """By a lease's end: a task's creation never goes back behind the one before."""
        enqueue(alone)
        claim = {"worker": "w", "lease_s": 30}
        (task,) = httpx.post(f"{alone.members['a'].url}/v1/claims", json=claim, timeout=20).json()["tasks"]
        return datetime.fromisoformat(task["lease_expires_at"]) - datetime.now(UTC)

    def is_ahead(wanted_s: int) -> bool:
        return abs(ahead() - timedelta(seconds=wanted_s)) < timedelta(minutes=2)

    for ahead_s in (0, HOUR_S, -HOUR_S, 0):
        alone.members["a"].set_clock(ahead_s)
        eventually(partial(is_ahead, ahead_s))


def test_a_full_disk_refuses_writes_until_it_is_freed(alone: Cluster) -> None:
    assert enqueue(alone).status_code == 201
    alone.members["a"].fill_disk()
    # What was written ahead may still have room in its file.
    eventually(lambda: enqueue(alone).status_code == 503)
    alone.members["a"].free_disk()
    eventually(lambda: enqueue(alone).status_code == 201)


def test_a_wiped_node_comes_back_with_nothing(alone: Cluster) -> None:
    task = enqueue(alone).json()["id"]
    member = alone.members["a"]
    member.kill_both()
    member.wipe()
    assert list(member.data_dir.iterdir()) == []
    member.start()
    member.wait_until_live()
    assert httpx.get(f"{member.url}/v1/tasks/{task}").status_code == 404


def test_litestream_alone_can_be_killed_and_comes_back(alone: Cluster) -> None:
    member = alone.members["a"]
    (before,) = eventually(member.litestream_pids)
    assert member.kill_litestream()
    eventually(lambda: set(member.litestream_pids()) - {before})
    assert member.runs


@pytest.mark.timeout(300)  # the drain waits for the leases of those who went away
def test_a_run_on_a_single_node_finds_no_broken_promise(tmp_path: Path) -> None:
    kinds = ("kill node", "kill both", "pause 1x", "clock step", "isolation", "loss")
    said: list[str] = []
    plan = Plan(seconds=6, seed="rig", nodes=1, kinds=kinds, losses=False)
    report = run(plan, tmp_path, said.append)
    assert report.violations == []
    assert report.acks > 100
    assert report.duplicates > 0
    assert sum(report.faults.values()) > 0


def test_nothing_is_left_of_a_run_that_was_killed(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    argv = [sys.executable, "-m", "tests.cluster", "--nodes", "1", "--minutes", "5", "--folder", str(folder)]
    process = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    while "serve" not in process.stdout.readline():
        assert process.poll() is None
    assert len(processes_about(str(folder))) > 1
    process.kill()
    process.communicate(timeout=10)
    eventually(lambda: processes_about(str(folder)) == [])
    assert str(folder) not in Path("/proc/mounts").read_text()
    assert os.listdir(folder / "a" / "data") == []
    assert process.returncode == -signal.SIGKILL
