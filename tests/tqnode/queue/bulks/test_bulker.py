import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.tqnode.nodes import START_MS, Core, FakeClock, ids_of, open_core, settle, spec, sweeping
from tests.tqnode.queue.families import enqueue_child
from tqnode.errors import IdempotencyMismatch, InvalidField, NotFound
from tqnode.queue import Filters, sliced
from tqnode.queue.bulks import Action, Bulk, BulkSpec, BulkState, bulker
from tqnode.queue.search import Condition
from tqnode.task import Idempotency, TaskState

CANCEL_ALL = BulkSpec(action=Action.CANCEL, filters=Filters())


@pytest.fixture
def small_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three tasks at most are treated by one slice, and six looked at."""
    monkeypatch.setattr(sliced, "SLICE_MIN", 3)
    monkeypatch.setattr(sliced, "SLICE_MAX", 3)
    monkeypatch.setattr(bulker, "SCAN_PER_TASK", 2)


async def a_slice(core: Core) -> int:
    return await core.store.write(lambda tx: core.queue.bulker.go_on(tx, 100), background=True)


async def slices(core: Core, bulk: Bulk) -> list[Bulk]:
    """How it stands after each slice, to its end."""
    found = []
    while bulk.state is BulkState.RUNNING:
        assert await a_slice(core) == 100
        bulk = await core.queue.bulker.get(bulk.id)
        found.append(bulk)
    assert await a_slice(core) == 0
    return found


@pytest.mark.usefixtures("small_slices")
async def test_each_slice_does_a_bounded_part_and_says_how_far_it_came(core: Core) -> None:
    await core.queue.enqueue([spec(kind="rare" if n in (2, 17) else "often") for n in range(20)])
    begun = await core.queue.bulker.begin(BulkSpec(action=Action.CANCEL, filters=Filters(kinds=("often",))))
    assert (begun.state, begun.progress, begun.matched) == (BulkState.RUNNING, 0.0, 0)
    told = await slices(core, begun)
    done = [one.done for one in told]
    assert max(after - before for before, after in zip([0, *done], done, strict=False)) == 3
    assert done[-1] == 18
    progress = [one.progress for one in told]
    assert progress == sorted(progress)
    assert progress[-1] == 1.0
    assert told[-1].finished_at_ms == START_MS


@pytest.mark.usefixtures("small_slices")
async def test_a_slice_looks_at_few_tasks_where_none_match(core: Core) -> None:
    await core.queue.enqueue([spec() for _ in range(60)])
    begun = await core.queue.bulker.begin(BulkSpec(action=Action.DELETE, filters=Filters(kinds=("none",))))
    told = await slices(core, begun)
    assert [one.reached for one in told] == [*range(6, 61, 6), 60]
    assert told[-1].matched == 0


async def test_a_slice_reads_few_bytes_of_payloads(core: Core, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulker, "BYTES_MAX", 1_000)
    await core.queue.enqueue([spec(payload=b'{"n": 1, "pad": "%s"}' % (b"x" * 600)) for _ in range(6)])
    found = Filters(payload=(Condition("n", 1),))
    begun = await core.queue.bulker.begin(BulkSpec(action=Action.CANCEL, filters=found))
    assert [one.done for one in await slices(core, begun)] == [2, 4, 6, 6]


@pytest.mark.usefixtures("small_slices")
async def test_tasks_that_come_after_its_beginning_are_not_touched(core: Core) -> None:
    await core.queue.enqueue([spec() for _ in range(7)])
    begun = await core.queue.bulker.begin(CANCEL_ALL)
    await a_slice(core)
    late = await core.enqueue()
    assert (await slices(core, begun))[-1].done == 7
    assert await core.state(late) is TaskState.READY


@pytest.mark.usefixtures("small_slices")
async def test_several_operations_take_turns_whenever_they_began(core: Core) -> None:
    await core.queue.enqueue([spec(queue=queue) for queue in "ab" for _ in range(9)])
    first, second = [
        await core.queue.bulker.begin(BulkSpec(action=Action.CANCEL, filters=Filters(queues=[queue])))
        for queue in "ab"
    ]
    for _ in range(3):
        await a_slice(core)
        await a_slice(core)
    third = await core.queue.bulker.begin(BulkSpec(action=Action.DELETE, filters=Filters(kinds=("none",))))
    for _ in range(3):
        await a_slice(core)
    reached = [(await core.queue.bulker.get(one.id)).reached for one in (first, second, third)]
    assert reached[2] == 6, "the last to come has its turn"
    assert min(reached) > 0
    await core.sweeper.sweep()
    ended = [await core.queue.bulker.get(one.id) for one in (first, second, third)]
    assert [(one.state, one.done) for one in ended] == [(BulkState.DONE, n) for n in (9, 9, 0)]


@pytest.mark.usefixtures("small_slices")
async def test_an_operation_goes_on_where_it_was_after_a_restart(tmp_path: Path) -> None:
    clock = FakeClock()
    async with open_core(tmp_path / "tq.db", clock=clock) as core:
        await core.queue.enqueue([spec() for _ in range(20)])
        begun = await core.queue.bulker.begin(
            BulkSpec(action=Action.MOVE, filters=Filters(queues=["default"]), queue="b")
        )
        await a_slice(core)
        between = await core.queue.bulker.get(begun.id)
        assert (between.done, between.spec) == (3, begun.spec)
    async with open_core(tmp_path / "tq.db", clock=clock) as core:
        assert await core.queue.bulker.get(begun.id) == between
        await core.sweeper.sweep()
        ended = await core.queue.bulker.get(begun.id)
        assert (ended.state, ended.done, ended.matched) == (BulkState.DONE, 20, 20)
        assert not await core.drift()


@pytest.mark.usefixtures("small_slices")
async def test_a_stopped_operation_stays_where_it_is_and_what_it_did_stays_done(core: Core) -> None:
    made = ids_of(await core.queue.enqueue([spec() for _ in range(9)]))
    begun = await core.queue.bulker.begin(CANCEL_ALL)
    await a_slice(core)
    core.clock.advance(1)
    stopped = await core.queue.bulker.stop(begun.id)
    assert (stopped.state, stopped.done, stopped.finished_at_ms) == (BulkState.CANCELLED, 3, START_MS + 1000)
    await core.sweeper.sweep()
    assert await core.queue.bulker.get(begun.id) == stopped == await core.queue.bulker.stop(begun.id)
    states = [await core.state(task_id) for task_id in made]
    assert states == [TaskState.CANCELLED] * 3 + [TaskState.READY] * 6


async def test_a_repeated_key_finds_the_operation_that_it_began(core: Core) -> None:
    await core.enqueue()
    key = Idempotency("k", b"digest")
    begun = await core.queue.bulker.begin(CANCEL_ALL, idempotency=key)
    await core.sweeper.sweep()
    again = await core.queue.bulker.begin(CANCEL_ALL, idempotency=key)
    assert (again.id, again.state) == (begun.id, BulkState.DONE)
    with pytest.raises(IdempotencyMismatch):
        await core.queue.bulker.begin(CANCEL_ALL, idempotency=Idempotency("k", b"other"))


async def test_an_operation_on_an_empty_node_is_done_at_once(core: Core) -> None:
    begun = await core.queue.bulker.begin(CANCEL_ALL)
    await core.sweeper.sweep()
    ended = await core.queue.bulker.get(begun.id)
    assert (ended.state, ended.matched, ended.progress) == (BulkState.DONE, 0, 1.0)


async def test_too_many_operations_are_refused_and_old_ones_forgotten(tmp_path: Path) -> None:
    async with open_core(tmp_path / "tq.db", bulks_max=2, bulks_kept=3) as core:
        begun = [await core.queue.bulker.begin(CANCEL_ALL) for _ in range(2)]
        with pytest.raises(InvalidField) as refused:
            await core.queue.bulker.begin(CANCEL_ALL)
        assert (refused.value.code, refused.value.limit) == ("too_many_bulks", 2)
        await core.sweeper.sweep()
        for _ in range(5):
            begun.append(await core.queue.bulker.begin(CANCEL_ALL))
            await core.sweeper.sweep()
        page = await core.queue.bulker.page(limit=100, cursor=None)
        assert [one.id for one in page.bulks] == [one.id for one in begun[:-5:-1]]
        assert page.next_cursor is None
        with pytest.raises(NotFound) as gone:
            await core.queue.bulker.get(begun[0].id)
        assert gone.value.code == "bulk_not_found"


async def test_pages_of_operations_are_newest_first_and_follow_each_other(core: Core) -> None:
    begun = [(await core.queue.bulker.begin(CANCEL_ALL)).id for _ in range(5)]
    found: list[str] = []
    cursor = None
    while True:
        page = await core.queue.bulker.page(limit=2, cursor=cursor)
        found += [one.id for one in page.bulks]
        cursor = page.next_cursor
        if cursor is None:
            break
    assert found == begun[::-1]
    with pytest.raises(NotFound):
        await core.queue.bulker.get("no-id")


async def test_who_waits_is_told_of_the_end(core: Core) -> None:
    await core.queue.enqueue([spec() for _ in range(3)])
    async with sweeping(core):
        begun = await core.queue.bulker.begin(CANCEL_ALL)
        ended = await core.queue.bulker.wait(begun.id, wait_s=30)
        assert (ended.state, ended.done) == (BulkState.DONE, 3)
    waiting = await core.queue.bulker.begin(CANCEL_ALL)
    assert (await core.queue.bulker.wait(waiting.id, wait_s=0.01)).state is BulkState.RUNNING
    stopped = asyncio.create_task(core.queue.bulker.wait(waiting.id, wait_s=30))
    await settle()
    await core.queue.bulker.stop(waiting.id)
    assert (await stopped).state is BulkState.CANCELLED


@pytest.mark.parametrize(
    ("fields", "claimed"),
    [
        ({"action": Action.RETRY}, "a"),
        ({"action": Action.MOVE, "queue": "b"}, "b"),
        ({"action": Action.REPRIORITIZE, "priority": 200}, "c"),
    ],
)
async def test_claims_that_wait_get_what_becomes_claimable(
    core: Core, fields: dict[str, Any], claimed: str
) -> None:
    task_id = await core.enqueue(queue="c" if claimed == "c" else "a")
    if claimed == "a":
        await core.queue.cancel(task_id)
    waiting = asyncio.create_task(core.claim(claimed, wait_s=30, min_priority=150 if claimed == "c" else 0))
    await settle()
    await core.queue.bulker.begin(BulkSpec(filters=Filters(), **fields))
    await core.sweeper.sweep()
    assert ids_of(await asyncio.wait_for(waiting, 30)) == [task_id]


async def test_a_retry_waits_until_all_who_waited_for_the_task_know_of_its_end(
    core: Core, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tqnode.store.tx.SETTLING_MAX", 1)
    parent = await core.enqueue()
    children = [await enqueue_child(core, parent) for _ in range(20)]
    await core.queue.cancel(parent)
    assert await core.count("settlement") == 1
    begun = await core.queue.bulker.begin(
        BulkSpec(action=Action.RETRY, filters=Filters(states=[TaskState.CANCELLED]))
    )
    await a_slice(core)
    assert (await core.queue.bulker.get(begun.id)).done == 0, "it is not the task's turn yet"
    await core.sweeper.sweep()
    ended = await core.queue.bulker.get(begun.id)
    assert (ended.state, ended.done) == (BulkState.DONE, 21)
    assert {await core.state(task_id) for task_id in [parent, *children]} == {TaskState.READY}
