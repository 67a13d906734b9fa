"""Claims of many kinds give the best of them all, at a cost that the waiting tasks have no part in."""

from itertools import product
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.tqnode.costs import counted_costs
from tests.tqnode.nodes import open_core, spec

KINDS = ("call", "fax", "mail", "telex")
tasks = st.lists(
    st.tuples(st.sampled_from(KINDS), st.integers(0, 2) | st.integers(0, 255), st.booleans()),
    min_size=1,
    max_size=40,
)
asks = st.lists(
    st.tuples(
        st.none() | st.lists(st.sampled_from((*KINDS, "unknown")), min_size=1, max_size=6),
        st.sampled_from([0, 0, 1, 100]),
        st.sampled_from([1, 2, 7, 30]),
    ),
    min_size=1,
    max_size=8,
)


@given(made=tasks, asked=asks)
@settings(max_examples=50)
async def test_claims_of_any_and_of_several_kinds_give_what_is_first(
    made: list[tuple[str, int, bool]],
    asked: list[tuple[list[str] | None, int, int]],
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    async with open_core(tmp_path_factory.mktemp("kinds") / "tq.db") as core:
        soon_ms = core.clock.now_ms() + 500
        stored = await core.queue.enqueue(
            [spec(kind=k, priority=p, expires_at_ms=soon_ms if expires else None) for k, p, expires in made]
        )
        core.clock.advance(1)  # some have expired, and nobody has swept them away
        ready = [
            (-priority, number, kind, task.id)
            for number, ((kind, priority, expires), task) in enumerate(zip(made, stored, strict=True))
            if not expires
        ]
        for kinds, low, most in [*asked, (None, 0, 100)]:
            fitting = sorted(one for one in ready if (kinds is None or one[2] in kinds) and -one[0] >= low)
            wanted = fitting[:most]
            got = await core.claim(kinds=None if kinds is None else tuple(kinds), min_priority=low, max=most)
            assert [task.id for task in got] == [one[3] for one in wanted]
            ready = [one for one in ready if one not in wanted]
        assert ready == []


async def test_what_a_claim_costs_depends_on_the_kinds_not_on_the_tasks(tmp_path: Path) -> None:
    with counted_costs() as costs:
        async with open_core(tmp_path / "tq.db") as core:
            every = tuple(f"kind{number}" for number in range(100))
            for _ in range(10):
                await core.queue.enqueue([spec(kind=every[n % 100]) for n in range(2_000)])
            for most, kinds in product((1, 50), (None, every, every[:2])):
                costs.clear()
                assert len(await core.claim(max=most, kinds=kinds)) == most
                # Of each of 100 kinds some steps to its name and its first task, for each task a few more.
                assert costs["steps"] < 12_000 + most * 600, costs
                assert costs["statements"] < 20 + most, costs
