"""Clusters under harm in simulated time: nothing answered is lost, and bugs that are planted are noticed."""

import time

import pytest

from tests.tqnode.replication.simulation.planted import BUGS, planted
from tests.tqnode.replication.simulation.run import run

RUN_S = 60.0
FIRST_SEED = 1_000_000


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
    assert answered > 0


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", BUGS)
def test_a_planted_bug_is_noticed(name: str) -> None:
    bug = BUGS[name]
    with planted(bug) as flaws, pytest.raises((AssertionError, ValueError)):
        run(bug.seed, flaws=flaws)


def test_the_same_seed_gives_the_same_run() -> None:
    lines: list[list[str]] = [[], []]
    outcomes = [run(7, trace=told.append) for told in lines]
    assert outcomes[0] == outcomes[1]
    assert lines[0] == lines[1]
    assert len(lines[0]) > 100
