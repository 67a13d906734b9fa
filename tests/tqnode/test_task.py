import re

import pytest

from tests.tqnode.nodes import spec
from tqnode.sql import migrations
from tqnode.task import FINAL, TRANSITIONS, WAITING, Needs, TaskState


def test_every_state_has_its_transitions() -> None:
    assert set(TRANSITIONS) == set(TaskState)


def test_a_state_is_either_waiting_or_running_or_final() -> None:
    assert WAITING | FINAL | {TaskState.RUNNING} == set(TaskState)
    assert not WAITING & FINAL
    assert TaskState.RUNNING not in WAITING | FINAL


@pytest.mark.parametrize("state", sorted(FINAL))
def test_a_final_task_leaves_its_state_only_to_become_ready_again(state: TaskState) -> None:
    assert TRANSITIONS[state] == {TaskState.READY}


def test_only_a_ready_task_is_handed_out() -> None:
    before_running = {state for state, after in TRANSITIONS.items() if TaskState.RUNNING in after}
    assert before_running == {TaskState.READY}


def test_every_task_can_reach_an_end() -> None:
    reached = set(FINAL)
    for _ in TaskState:
        reached |= {state for state, after in TRANSITIONS.items() if after & reached}
    assert reached == set(TaskState)


def test_the_schema_knows_exactly_these_states() -> None:
    (_, script), *_ = migrations()
    said = re.search(r"CHECK \(state IN \(([^)]*)\)", script)
    assert said is not None
    assert set(re.findall(r"'(\w+)'", said[1])) == {state.value for state in TaskState}


def test_the_schema_knows_exactly_these_needs() -> None:
    said = [found[1] for _, script in migrations() if (found := re.search(r"needs IN \(([^)]*)\)", script))]
    assert len(said) == 1
    assert set(re.findall(r"'(\w+)'", said[0])) == {need.value for need in Needs}


def test_no_state_s_name_is_part_of_another_s() -> None:
    # The unique index asks with instr() whether a state is among the stated ones.
    assert not [(one, other) for one in TaskState for other in TaskState if one != other and one in other]


def test_a_key_is_held_by_default_while_the_task_waits_or_runs() -> None:
    held = set(spec(unique_key="k").unique_states.split())
    assert held == WAITING | {TaskState.RUNNING}
