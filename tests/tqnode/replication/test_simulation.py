"""Clusters under harm in simulated time: nothing answered is lost, and bugs that are planted are noticed."""

import os
import subprocess
import sys
import time

import pytest

from tests.source_tree import ROOT
from tests.tqnode.replication.simulation.flaws import Flaws
from tests.tqnode.replication.simulation.planted import BUGS, NOTICED, planted
from tests.tqnode.replication.simulation.run import run

RUN_S = 60.0
FIRST_SEED = 1_000_000
SEEDS_FOR_A_BUG = 400
"""A change of the core or of the simulation gives other runs: then the noticing seed is a later one."""

ONCE_WRONG = {
    7012: "a run in which nothing may go wrong",
    1_012_831: "an entry goes bad again just as it is mended",
    1_012_845: "a crash of a disk that had been full, with writes under way",
    1_024_410: "a long log that comes one entry at a time, over a slow network",
}
"""Seeds that found something, and what: each was the simulation's fault."""


def command(*arguments: str, **environ: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "tests.tqnode.replication.simulation", *arguments],
        cwd=ROOT,
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def notices(seed: int, flaws: Flaws) -> bool:
    try:
        run(seed, flaws=flaws)
    except NOTICED:
        return True
    return False


@pytest.mark.timeout(300)
def test_no_answered_operation_is_lost_whatever_happens(capsys: pytest.CaptureFixture[str]) -> None:
    until = time.monotonic() + RUN_S
    seed = FIRST_SEED
    answered = steps = 0
    while time.monotonic() < until:
        outcome = run(seed)
        answered += outcome.answered
        steps += outcome.steps
        seed += 1
    with capsys.disabled():
        print(f"\n{seed - FIRST_SEED} seeds, {steps} steps, {answered} answered operations")
    assert answered > 10 * (seed - FIRST_SEED), "too little gets done for anything to be lost"


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", BUGS)
def test_a_planted_bug_is_noticed(name: str) -> None:
    bug = BUGS[name]
    with planted(bug) as flaws:
        assert any(notices(seed, flaws) for seed in range(bug.seed, bug.seed + SEEDS_FOR_A_BUG))


def test_a_seed_that_notices_a_bug_keeps_all_promises_without_it() -> None:
    assert all(run(bug.seed).answered for bug in BUGS.values())


@pytest.mark.parametrize("seed", ONCE_WRONG)
def test_a_seed_that_once_went_wrong_keeps_all_promises(seed: int) -> None:
    assert run(seed).answered > 0


def test_the_same_seed_gives_the_same_run_in_another_process() -> None:
    told = [command("--seed", "7", "--trace", PYTHONHASHSEED=str(number)) for number in (1, 2)]
    assert [process.returncode for process in told] == [0, 0]
    assert told[0].stdout == told[1].stdout
    assert told[0].stdout.count("\n") > 100


def test_the_command_tells_how_far_it_has_come() -> None:
    process = command("--seeds", "3", "--first", "5", "--workers", "1", "--nodes", "5")
    assert process.returncode == 0
    assert process.stdout.startswith("3 seeds from 5 on in ")
    assert " 0 violations" in process.stdout
