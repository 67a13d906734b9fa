"""Three real nodes, harmed at random or on purpose, keep what they promise.

CLUSTER_MINUTES=30 CLUSTER_SEED=7 python -m pytest tests/cluster/test_faults.py

runs the random part longer; ``python -m tests.cluster`` does so for hours, and reports.
"""

import os
import secrets
from pathlib import Path

import pytest

from tests.cluster.faults import FAULTS
from tests.cluster.majority import LOSSES
from tests.cluster.run import Plan, run

MINUTES = float(os.environ.get("CLUSTER_MINUTES", "0.5"))
SEED = os.environ.get("CLUSTER_SEED", str(secrets.randbelow(1_000_000)))
POWER_SHARE = 0.2
"""How much of the time goes to disks that lose their power."""


def held(plan: Plan, folder: Path) -> dict[str, int]:
    """Runs and finds no broken promise; the faults there were, by kind."""
    report = run(plan, folder, lambda what: print(what, flush=True))
    print("\n".join(report.lines()))
    assert not report.violations, "\n".join([f"CLUSTER_SEED={plan.seed}", *report.violations[:20]])
    # A run that hardly did anything proves nothing.
    assert report.acks > 5 * plan.seconds
    assert report.reelection_s["count"] > 0
    return report.faults


@pytest.mark.timeout(MINUTES * 60 + 900)  # recovery from each fault is waited for, and then the drain
def test_no_promise_is_broken_by_random_faults_among_three_nodes(tmp_path: Path) -> None:
    faults = held(Plan(seconds=MINUTES * 60 * (1 - POWER_SHARE), seed=SEED), tmp_path)
    assert {f"majority {way}" for way in LOSSES if way != "powerless"} <= faults.keys()
    # Each kind has its turn before any has a second; how many turns there are depends on the machine.
    assert len(FAULTS.keys() & faults.keys()) >= min(MINUTES, 5) * 2


@pytest.mark.timeout(MINUTES * 60 + 900)  # as above
def test_what_three_nodes_acknowledged_survives_losses_of_power(tmp_path: Path) -> None:
    kinds = ["power loss", "kill both", "partition", "hand-over"]
    plan = Plan(seconds=MINUTES * 60 * POWER_SHARE, seed=SEED, power=True, kinds=kinds)
    faults = held(plan, tmp_path)
    assert faults["majority powerless"] > 0
