"""What is done to many tasks at once is what the same operation does to one after the other."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.tqnode.nodes import Core, fail, open_core, spec
from tqnode import ids
from tqnode.errors import TqnodeError
from tqnode.queue import Filters
from tqnode.queue.bulks import Action, Bulk, BulkSpec, BulkState
from tqnode.queue.search import Condition
from tqnode.task import WAITING, Needs, TaskState

TABLES = ("task", "task_body", "task_note", "task_tag", "dependency", "settlement")
LATER_MS = 3_600_000

new_tasks = st.tuples(
    st.just("enqueue"),
    st.fixed_dictionaries(
        {
            "queue": st.sampled_from("ab"),
            "kind": st.sampled_from("xy"),
            "priority": st.sampled_from([1, 128, 200]),
            "later": st.booleans(),
            "key": st.sampled_from([None, None, "k1", "k2"]),
            "parent": st.none() | st.integers(0, 30),
        }
    ),
)
attempts = st.tuples(
    st.just("attempt"),
    st.tuples(st.sampled_from("ab"), st.sampled_from(["none", "complete", "fail", "dead", "cancel"])),
)
worlds = st.lists(st.one_of(new_tasks, new_tasks, attempts), min_size=3, max_size=30)
filters = st.fixed_dictionaries(
    {},
    optional={
        "queues": st.sets(st.sampled_from("abc"), min_size=1).map(sorted),
        "kinds": st.just(("x",)),
        "min_priority": st.just(100),
        "payload": st.just((Condition("even", True),)),
    },
)
states = st.sets(st.sampled_from(TaskState)).map(sorted)


def child(parent: str) -> dict[str, Any]:
    """What a task is enqueued with that waits for another."""
    return {"after": (ids.parse(parent),), "needs": Needs.SUCCEEDED}


async def build(core: Core, world: Sequence[tuple[str, Any]]) -> None:
    """Makes the tasks, and brings them to where they shall be."""
    made: list[str] = []
    for step, what in world:
        if step == "attempt":
            await attempt(core, *what)
            continue
        fields: dict[str, Any] = {name: what[name] for name in ("queue", "kind", "priority")}
        fields |= {"payload": b'{"even": %s}' % (b"false" if len(made) % 2 else b"true")}
        fields |= {"unique_key": what["key"]}
        if what["later"]:
            fields["run_at_ms"] = core.clock.now_ms() + LATER_MS
        if what["parent"] is not None and made:
            fields |= child(made[what["parent"] % len(made)])
        made.append(await core.enqueue(**fields))


async def attempt(core: Core, queue: str, fate: str) -> None:
    for task in await core.claim(queue):
        if fate == "complete":
            await core.complete(task)
        elif fate == "cancel":
            await core.queue.cancel(task.id)
        elif fate != "none":
            await core.finish(fail(task, retry=fate == "fail"))


async def one_by_one(core: Core, action: Action, chosen: Filters) -> int:
    """The same with the operation on single tasks, oldest first; how many it could be done to."""
    done = 0
    for task_id in await ids_in_order(core):
        if not await matches(core, chosen, task_id):
            continue
        before = await core.task(task_id)
        try:
            if action is Action.CANCEL:
                after: object = await core.queue.cancel(task_id)
            elif action is Action.RETRY:
                after = await core.queue.retry(task_id)
            else:
                after = await core.queue.delete(task_id)
        except TqnodeError:
            continue
        done += after != before
    return done


async def ids_in_order(core: Core) -> list[str]:
    page = await core.queue.page(Filters(), limit=1_000, cursor=None, bodies=False)
    return [task.id for task in page.tasks][::-1]


async def matches(core: Core, chosen: Filters, task_id: str) -> bool:
    page = await core.queue.page(chosen, limit=1_000, cursor=None, bodies=False)
    return task_id in {task.id for task in page.tasks}


async def contents(core: Core) -> dict[str, list[tuple[Any, ...]]]:
    return {table: sorted(await core.rows(f"SELECT * FROM {table}"), key=repr) for table in TABLES}


async def bulk(core: Core, action: Action, chosen: Filters, **fields: Any) -> Bulk:
    """Does it to the end."""
    begun = await core.queue.bulker.begin(BulkSpec(action=action, filters=chosen, **fields))
    await core.sweeper.sweep()
    ended = await core.queue.bulker.get(begun.id)
    assert ended.state is BulkState.DONE
    assert ended.matched == ended.done + sum(ended.skips.values())
    assert ended.progress == 1.0
    return ended


@given(
    world=worlds,
    action=st.sampled_from([Action.CANCEL, Action.RETRY, Action.DELETE]),
    chosen=filters,
    states=states,
    slice_of=st.sampled_from([1, 2, 5, 256]),
)
@settings(max_examples=120, deadline=None)
async def test_a_bulk_operation_does_what_the_single_ones_do_one_by_one(
    world: list[tuple[str, Any]],
    action: Action,
    chosen: dict[str, Any],
    states: list[TaskState],
    slice_of: int,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    if action is not Action.DELETE:
        # What is deleted may end others first, which then are in another state.
        chosen = chosen | {"states": states}
    folder = tmp_path_factory.mktemp("bulk")
    with patch("tqnode.queue.sliced.SLICE_MIN", slice_of):
        async with open_core(folder / "bulk.db") as core, open_core(folder / "single.db") as other:
            for one in (core, other):
                await build(one, world)
            before = await contents(core)
            assert before == await contents(other)
            done = await one_by_one(other, action, Filters(**chosen))
            ended = await bulk(core, action, Filters(**chosen))
            assert await contents(core) == await contents(other)
            assert ended.done == done
            assert not await core.drift()


@given(
    world=worlds,
    change=st.sampled_from([("queue", "a"), ("queue", "c"), ("priority", 7), ("priority", 128)]),
    chosen=filters,
    slice_of=st.sampled_from([1, 2, 256]),
)
@settings(max_examples=60, deadline=None)
async def test_moves_and_new_priorities_change_what_waits_and_nothing_else_of_it(
    world: list[tuple[str, Any]],
    change: tuple[str, Any],
    chosen: dict[str, Any],
    slice_of: int,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    column, value = change
    action = Action.MOVE if column == "queue" else Action.REPRIORITIZE
    with patch("tqnode.queue.sliced.SLICE_MIN", slice_of):
        async with open_core(tmp_path_factory.mktemp("bulk") / "tq.db") as core:
            await build(core, world)
            wanted = Filters(**chosen)
            before = [await core.task(task_id) for task_id in await ids_in_order(core)]
            matching = {task.id for task in before if await matches(core, wanted, task.id)}
            ended = await bulk(core, action, wanted, **{column: value})
            changed, skips = 0, 0
            for task in before:
                after = await core.task(task.id)
                if task.id in matching and task.state in WAITING and getattr(task, column) != value:
                    assert getattr(after, column) == value
                    changed += 1
                else:
                    assert after == task
                    skips += task.id in matching
            assert (ended.done, sum(ended.skips.values())) == (changed, skips)
            assert not await core.drift()


async def test_each_reason_for_a_skip_is_counted(core: Core) -> None:
    running = await core.running()
    await core.queue.cancel(running.id)
    final = await core.enqueue()
    await core.queue.cancel(final)
    await core.enqueue(**child(await core.enqueue(queue="other", priority=1)))
    ready = Filters(queues=["default"])
    moved = await bulk(core, Action.MOVE, ready, queue="default")
    assert moved.skips == {"running": 1, "final": 1, "unchanged": 1}
    assert (await bulk(core, Action.DELETE, Filters(states=[TaskState.RUNNING]))).skips == {"running": 1}
    retried = await bulk(core, Action.RETRY, Filters())
    assert retried.skips == {"running": 1, "blocked": 1, "unchanged": 1}
    assert retried.done == 1
    cancelled = await bulk(core, Action.CANCEL, Filters(min_priority=2))
    assert (cancelled.done, cancelled.asked, cancelled.skips) == (2, 0, {"unchanged": 1})


async def test_running_tasks_are_asked_to_stop_and_told_apart(core: Core) -> None:
    running = await core.running()
    await core.enqueue()
    ended = await bulk(core, Action.CANCEL, Filters())
    assert (ended.matched, ended.done, ended.asked, ended.skips) == (2, 2, 1, {})
    assert (await core.task(running.id)).cancel_requested_at_ms == core.clock.now_ms()
    assert await core.state(running.id) is TaskState.RUNNING


async def test_a_retry_whose_key_another_task_holds_by_now_is_skipped(core: Core) -> None:
    first = await core.enqueue(unique_key="k")
    await core.queue.cancel(first)
    await core.enqueue(unique_key="k")
    other = await core.enqueue()
    await core.queue.cancel(other)
    ended = await bulk(core, Action.RETRY, Filters(states=[TaskState.CANCELLED]))
    assert (ended.done, ended.skips) == (1, {"unique_conflict": 1})
    assert await core.state(first) is TaskState.CANCELLED
    assert await core.state(other) is TaskState.READY


async def test_a_move_fills_a_queue_to_its_limit_and_not_beyond(tmp_path: Path) -> None:
    async with open_core(tmp_path / "tq.db", queue_depth_max=10) as core:
        await core.queue.enqueue([spec(queue="full") for _ in range(7)])
        made = await core.queue.enqueue([spec() for _ in range(5)])
        ended = await bulk(core, Action.MOVE, Filters(queues=["default"]), queue="full")
        assert (ended.done, ended.skips) == (3, {"queue_full": 2})
        moved = [(await core.task(one.id)).queue for one in made]
        assert moved == ["full"] * 3 + ["default"] * 2, "the oldest come first"
        with pytest.raises(TqnodeError, match="queue full holds 10"):
            await core.enqueue(queue="full")
        assert not await core.drift()


async def test_moved_tasks_stand_in_line_by_priority_and_age_as_before(core: Core) -> None:
    old = await core.enqueue(queue="a")
    core.clock.advance(1)
    between = await core.enqueue(queue="b")
    core.clock.advance(1)
    urgent = await core.enqueue(queue="a", priority=200)
    young = await core.enqueue(queue="a")
    await bulk(core, Action.MOVE, Filters(queues=["a"]), queue="b")
    assert [task.id for task in await core.claim("b", max=9)] == [urgent, old, between, young]
