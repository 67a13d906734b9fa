"""Tasks of one request that wait for each other in a circle."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.tqnode.nodes import spec
from tqnode.errors import InvalidField
from tqnode.queue.dependencies.circles import check_acyclic
from tqnode.task import Needs, TaskSpec


def tied(*parents: set[int]) -> list[TaskSpec]:
    return [spec(after=tuple(sorted(one)), needs=Needs.SUCCEEDED) for one in parents]


graphs = st.integers(1, 8).flatmap(
    lambda size: st.lists(st.sets(st.integers(0, size - 1), max_size=4), min_size=size, max_size=size)
)


def reaches_itself(parents: list[set[int]], start: int) -> bool:
    seen: set[int] = set()
    line = [*parents[start]]
    while line:
        place = line.pop()
        if place not in seen:
            seen.add(place)
            line += parents[place]
    return start in seen


@given(graphs)
def test_exactly_the_arrays_with_a_circle_are_refused_and_a_task_on_one_is_named(
    parents: list[set[int]],
) -> None:
    on_circles = {place for place in range(len(parents)) if reaches_itself(parents, place)}
    if not on_circles:
        check_acyclic(tied(*parents), "then")
        return
    with pytest.raises(InvalidField) as refused:
        check_acyclic(tied(*parents), "then")
    assert refused.value.code == "dependency_cycle"
    assert refused.value.field in {f"then[{place}].after" for place in on_circles}


def test_a_circle_is_told_in_the_order_in_which_its_tasks_would_run() -> None:
    with pytest.raises(InvalidField, match="it would wait for itself: 1 before 3 before 2 before 1"):
        check_acyclic(tied(set(), {2}, {3}, {1, 0}, {1}))
    ring = [{(place - 1) % 50} for place in range(50)]
    with pytest.raises(InvalidField, match="0 before 1 before 2 before 3 before 4 before … before 47"):
        check_acyclic(tied(*ring))


def test_a_chain_of_ten_thousand_is_no_circle_and_is_judged_without_recursion() -> None:
    chain: list[set[int]] = [{place + 1} for place in range(9_999)]
    check_acyclic(tied(*chain, set()))
    with pytest.raises(InvalidField) as refused:
        check_acyclic(tied(*chain, {0}))
    assert refused.value.field == "[0].after"
