"""Three real nodes, harmed at random or on purpose, keep what they promise.

CLUSTER_MINUTES=30 CLUSTER_SEED=7 python -m pytest tests/cluster/test_faults.py

runs the random part longer; ``python -m tests.cluster`` does so for hours, and reports.
"""

import os
import secrets
from pathlib import Path

import httpx
import pytest

from tests.cluster.cluster import cluster
from tests.cluster.faults import FAULTS
from tests.cluster.majority import LOSSES
from tests.cluster.member import Shape
from tests.cluster.report import Report
from tests.cluster.run import Plan, run
from tests.waiting import eventually

MINUTES = float(os.environ.get("CLUSTER_MINUTES", "0.5"))
SEED = os.environ.get("CLUSTER_SEED", str(secrets.randbelow(1_000_000)))
SMALL_MIB = 256
POWER_SHARE = 0.2
"""How much of the time goes to disks that lose their power."""


def held(plan: Plan, folder: Path) -> Report:
    """Runs and finds no broken promise."""
    report = run(plan, folder, lambda what: print(what, flush=True))
    print("\n".join(report.lines()))
    assert not report.violations, "\n".join([f"CLUSTER_SEED={plan.seed}", *report.violations[:20]])
    # A run that hardly did anything proves nothing.
    assert report.acks > 5 * plan.seconds
    assert report.reelection_s["count"] > 0
    return report


@pytest.mark.timeout(MINUTES * 60 + 900)  # recovery from each fault is waited for, and then the drain
def test_no_promise_is_broken_by_random_faults_among_three_nodes(tmp_path: Path) -> None:
    faults = held(Plan(seconds=MINUTES * 60 * (1 - POWER_SHARE), seed=SEED), tmp_path).faults
    assert {f"majority {way}" for way in LOSSES if way != "powerless"} <= faults.keys()
    # Each kind has its turn before any has a second; how many turns there are depends on the machine.
    assert len(FAULTS.keys() & faults.keys()) >= min(MINUTES, 5) * 2


@pytest.mark.timeout(MINUTES * 60 + 900)  # as above
def test_what_three_nodes_acknowledged_survives_losses_of_power(tmp_path: Path) -> None:
    kinds = ["power loss", "kill both", "partition", "hand-over"]
    plan = Plan(seconds=MINUTES * 60 * POWER_SHARE, seed=SEED, power=True, kinds=kinds)
    assert held(plan, tmp_path).faults["majority powerless"] > 0


def test_a_disk_that_a_nodes_own_past_has_filled_gets_room_though_the_node_does_not_lead(
    tmp_path: Path,
) -> None:
    with cluster(tmp_path, Shape(names=["a", "b", "c"], disk_mib=SMALL_MIB)) as nodes:
        nodes.start()
        led = nodes.wait_for_leader()
        httpx.post(f"{led.url}/v1/cluster/handover", json={}, timeout=30).raise_for_status()
        nodes.wait_for_leader(among=nodes.others([led.name]))
        nodes.wait_until_whole(nodes.names)
        (past,) = (folder for folder in (led.data_dir / "archive").iterdir() if folder.name.isdecimal())
        led.fill_disk()
        (led.data_dir / "filler").rename(past / "filler")
        enqueue = [{"kind": "k", "payload": "x" * 9000} for _ in range(500)]
        url = nodes.wait_for_leader().url
        # Until the standby has noticed.
        eventually(lambda: httpx.post(f"{url}/v1/tasks", json=enqueue, timeout=30) and not past.exists())
        nodes.wait_until_whole(nodes.names)
        assert "the full disk gave up what it had of the past" in led.log


@pytest.mark.timeout(300)  # the drain waits for the leases of those who went away
def test_planned_moves_of_the_lead_leave_no_outcome_unknown(tmp_path: Path) -> None:
    kinds = ["hand-over", "rolling restart", "restart"]
    report = held(Plan(seconds=25, seed=SEED, kinds=kinds, losses=False), tmp_path)
    # A slow machine may keep a client waiting for longer than it does; no node may leave it in doubt.
    assert report.unknowns.keys() <= {"TimeoutError"}
    assert {"hand-over", "rolling restart"} <= report.faults.keys()
