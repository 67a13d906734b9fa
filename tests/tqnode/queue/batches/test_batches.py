"""Batches: every way a member ends is counted, and what follows from it."""

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from tests.tqnode.nodes import Core, complete, fail, ids_of, open_core, snooze, spec
from tests.tqnode.queue.batching import counts, create, fired, get, of_plain
from tests.tqnode.queue.families import child
from tqnode.errors import BatchCancelled, BatchFinished, IdempotencyMismatch, InvalidCursor, NotFound
from tqnode.queue import Filters
from tqnode.queue.batches import CANCELLED_AT_ONCE, BatchSpec, BatchState
from tqnode.task import Idempotency, TaskState

DAY_S = 86_400

# -- every end ---------------------------------------------------------------------------------


async def succeed(core: Core) -> None:
    await core.complete(await core.claim_one())


async def succeed_with_results(core: Core) -> None:
    await core.finish(complete(await core.claim_one(), result=b"1", then=(spec(queue="other"),)))


async def die_of_attempts(core: Core) -> None:
    await core.finish(fail(await core.claim_one()))


async def die_for_good(core: Core) -> None:
    await core.finish(fail(await core.claim_one(), retry=False))


async def die_of_crashes(core: Core) -> None:
    await core.claim_one(lease_ms=1_000)
    await core.sweep_after(5)


async def be_cancelled(core: Core) -> None:
    ((task_id,),) = await core.rows(
        "SELECT hex(id) FROM task WHERE queue = 'default' AND state = 'ready' LIMIT 1"
    )
    await core.queue.cancel(f"{task_id[:8]}-{task_id[8:12]}-{task_id[12:16]}-{task_id[16:20]}-{task_id[20:]}")


async def be_cancelled_while_running(core: Core) -> None:
    task = await core.claim_one()
    await core.queue.cancel(task.id)
    await core.finish(snooze(task))


async def expire(core: Core) -> None:
    await core.sweep_after(61)


async def be_purged(core: Core) -> None:
    await core.queue.catalogue.purge("default", [TaskState.READY])


@pytest.mark.parametrize(
    ("end", "expected"),
    [
        (succeed, (0, 1, 0, 0)),
        (succeed_with_results, (0, 1, 0, 0)),
        (die_of_attempts, (0, 0, 1, 0)),
        (die_for_good, (0, 0, 1, 0)),
        (die_of_crashes, (0, 0, 1, 0)),
        (be_cancelled, (0, 0, 0, 1)),
        (be_cancelled_while_running, (0, 0, 0, 1)),
        (expire, (0, 0, 0, 1)),
        (be_purged, (0, 0, 0, 1)),
    ],
)
async def test_each_end_of_a_member_is_counted_and_finishes_the_batch(
    core: Core, end: Callable[[Core], Awaitable[None]], expected: tuple[int, int, int, int]
) -> None:
    batch = await create(core, spec(max_attempts=1, expires_at_ms=core.clock.now_ms() + 60_000))
    assert (await get(core, batch)).state is BatchState.RUNNING
    assert await counts(core, batch) == (1, 0, 0, 0)
    await end(core)
    assert await counts(core, batch) == expected
    events = {1: ["finished", "success"], 2: ["failure", "finished"], 3: ["finished"]}
    assert await fired(core) == events[expected.index(1)]
    assert (await get(core, batch)).state is BatchState.FINISHED


async def test_members_completed_together_are_counted_together(core: Core) -> None:
    first, second = await of_plain(core, 3), await of_plain(core, 2)
    await core.enqueue()
    await core.queue.finish([complete(task) for task in await core.claim(max=4)])
    assert await counts(core, first) == (0, 3, 0, 0)
    assert await counts(core, second) == (1, 1, 0, 0)
    assert await fired(core) == ["finished", "success"]


async def test_a_member_that_a_failed_one_takes_along_is_cancelled_in_its_own_batch(core: Core) -> None:
    parent = await core.enqueue(max_attempts=1)
    batch = await create(core, child(parent), spec(queue="other"))
    await core.finish(fail(await core.claim_one()))
    assert await counts(core, batch) == (1, 0, 0, 1)
    late = await create(core, child(parent))
    assert await counts(core, late) == (0, 0, 0, 1)
    assert await fired(core) == ["finished"]


async def test_a_chain_within_a_batch_is_run_in_order_and_counted_to_its_end(core: Core) -> None:
    batch = await create(core, spec(), child(0, queue="default"), child(1, queue="default"))
    for left in (2, 1, 0):
        await succeed(core)
        assert await counts(core, batch) == (left, 3 - left, 0, 0)
    assert await fired(core) == ["finished", "success"]


async def test_a_member_that_is_only_put_back_has_not_ended(core: Core) -> None:
    batch = await create(core, spec(max_attempts=3))
    await core.finish(snooze(await core.claim_one()))
    await core.finish(fail(await core.claim_one(), delay_ms=0))
    await core.claim_one(lease_ms=1_000)
    await core.sweep_after(2)
    assert await counts(core, batch) == (1, 0, 0, 0)
    assert await fired(core) == []


async def test_an_end_that_is_told_twice_counts_once(core: Core) -> None:
    batch = await of_plain(core, 2)
    task = await core.claim_one()
    await core.complete(task)
    await core.complete(task)
    assert await counts(core, batch) == (1, 1, 0, 0)


async def test_deleted_members_that_had_ended_stay_counted_as_they_ended(core: Core) -> None:
    batch = await of_plain(core, 2)
    task = await core.claim_one()
    await core.complete(task)
    await core.queue.delete(task.id)
    assert await counts(core, batch) == (1, 1, 0, 0)
    await core.sweep_after(1)
    await succeed(core)
    assert await fired(core) == ["finished", "success"]


async def test_a_duplicate_is_no_member_and_a_replaced_member_stays_one(core: Core) -> None:
    holder = await core.enqueue(unique_key="k", queue="other")
    made = await core.queue.batcher.create(BatchSpec(), [spec(unique_key="k"), spec(unique_key="own")])
    assert [one.duplicate for one in made.tasks] == [True, False]
    assert made.tasks[0].id == holder
    assert await counts(core, made.id) == (1, 0, 0, 0)
    await core.enqueue(unique_key="own", unique_mode="replace", payload=b"[]")
    assert await counts(core, made.id) == (1, 0, 0, 0)
    await succeed(core)
    assert await counts(core, made.id) == (0, 1, 0, 0)
    assert (await core.task(holder)).batch is None
    assert (await core.task(made.tasks[1].id)).batch == made.id


# -- open, added to, closed --------------------------------------------------------------------


async def test_an_open_batch_finishes_no_sooner_than_it_is_closed(core: Core) -> None:
    batch = await of_plain(core, 1, open=True)
    await succeed(core)
    assert await fired(core) == []
    assert (await get(core, batch)).state is BatchState.OPEN
    made = await core.queue.batcher.add(batch, [spec(), spec()])
    assert made.id == batch
    assert await counts(core, batch) == (2, 1, 0, 0)
    assert (await core.queue.batcher.close(batch)).state is BatchState.RUNNING
    await succeed(core)
    await succeed(core)
    assert await fired(core) == ["finished", "success"]
    assert (await core.queue.batcher.close(batch)).state is BatchState.FINISHED
    assert await fired(core) == ["finished", "success"]


async def test_closing_a_batch_whose_members_have_all_ended_finishes_it(core: Core) -> None:
    batch = await of_plain(core, 1, open=True)
    await die_of_attempts(core)
    assert await fired(core) == ["failure"]
    assert (await core.queue.batcher.close(batch)).finished_at_ms == core.clock.now_ms()
    assert await fired(core) == ["failure", "finished"]


async def test_an_empty_batch_has_succeeded_as_soon_as_it_is_closed(core: Core) -> None:
    batch = await create(core)
    found = await get(core, batch)
    assert (found.state, found.total, found.succeeded_at_ms) == (BatchState.FINISHED, 0, core.clock.now_ms())
    assert await fired(core) == ["finished", "success"]


async def test_a_running_member_adds_to_its_batch_which_cannot_finish_before(core: Core) -> None:
    batch = await of_plain(core, 1)
    task = await core.claim_one()
    assert task.batch == batch
    await core.queue.batcher.add(batch, [spec()])
    await core.complete(task)
    assert await counts(core, batch) == (1, 1, 0, 0)
    await succeed(core)
    assert await fired(core) == ["finished", "success"]


async def test_a_finished_or_cancelled_batch_takes_no_more_tasks(core: Core) -> None:
    finished, cancelled = await create(core), await of_plain(core, 1, open=True)
    await core.claim_one()
    await core.queue.batcher.cancel(cancelled)
    with pytest.raises(BatchFinished):
        await core.queue.batcher.add(finished, [spec()])
    with pytest.raises(BatchCancelled):
        await core.queue.batcher.add(cancelled, [spec()])
    assert await core.count("task") == 1


async def test_a_repeated_key_makes_nothing_and_gets_the_first_answer(core: Core) -> None:
    key = Idempotency("k", b"1")
    batcher = core.queue.batcher
    first = await batcher.create(BatchSpec(open=True), [spec()], idempotency=key)
    assert await batcher.create(BatchSpec(open=True), [spec()], idempotency=key) == first
    with pytest.raises(IdempotencyMismatch):
        await batcher.create(BatchSpec(), [], idempotency=Idempotency("k", b"2"))
    added = await batcher.add(first.id, [spec()], idempotency=Idempotency("a", b"3"))
    assert await batcher.add(first.id, [spec()], idempotency=Idempotency("a", b"3")) == added
    assert (await core.count("batch"), await core.count("task")) == (1, 2)


# -- a person's retry --------------------------------------------------------------------------


async def test_a_retried_member_can_still_make_the_batch_a_success(core: Core) -> None:
    batch = await of_plain(core, 1)
    task = await core.claim_one()
    await core.finish(fail(task))
    assert await fired(core) == ["failure", "finished"]
    await core.queue.retry(task.id)
    found = await get(core, batch)
    assert (found.state, found.pending, found.dead) == (BatchState.FINISHED, 1, 0)
    await succeed(core)
    assert await counts(core, batch) == (0, 1, 0, 0)
    assert await fired(core) == ["failure", "finished", "success"]


async def test_no_event_comes_twice_however_often_members_are_retried(core: Core) -> None:
    batch = await of_plain(core, 1)
    task_id = (await core.queue.page(Filters(), limit=1, cursor=None, bodies=False)).tasks[0].id
    for end in (die_for_good, succeed, die_for_good, succeed):
        await end(core)
        await core.queue.retry(task_id)
    await succeed(core)
    assert await fired(core) == ["failure", "finished", "success"]
    assert await counts(core, batch) == (0, 1, 0, 0)


async def test_a_retry_of_a_scheduled_member_changes_no_count(core: Core) -> None:
    batch = await create(core, spec(run_at_ms=core.clock.now_ms() + 60_000))
    page = await core.queue.page(Filters(), limit=1, cursor=None, bodies=False)
    await core.queue.retry(page.tasks[0].id)
    assert await counts(core, batch) == (1, 0, 0, 0)


# -- cancel ------------------------------------------------------------------------------------


async def test_cancelling_ends_those_who_wait_and_asks_those_who_run(core: Core) -> None:
    batch = await create(
        core, spec(), spec(priority=1), child(1), spec(run_at_ms=core.clock.now_ms() + 1_000)
    )
    running = await core.claim_one()
    found = await core.queue.batcher.cancel(batch)
    assert (found.state, found.pending, found.cancelled) == (BatchState.RUNNING, 1, 3)
    assert (await core.task(running.id)).cancel_requested_at_ms == core.clock.now_ms()
    assert await fired(core) == []
    await core.complete(running)
    assert await fired(core) == ["finished"]
    assert await counts(core, batch) == (0, 1, 0, 3)
    assert not await core.drift()


async def test_a_large_batch_is_cancelled_slice_by_slice(core: Core) -> None:
    size = 3 * CANCELLED_AT_ONCE + 7
    batch = await of_plain(core, size)
    found = await core.queue.batcher.cancel(batch)
    assert found.cancelled == CANCELLED_AT_ONCE
    assert await core.queue.batcher.cancel(batch) == found
    await core.sweeper.sweep()
    assert await counts(core, batch) == (0, 0, 0, size)
    assert await fired(core) == ["finished"]


async def test_a_cancelled_batch_is_no_success_though_all_have_succeeded(core: Core) -> None:
    batch = await of_plain(core, 1, open=True)
    await succeed(core)
    assert (await core.queue.batcher.cancel(batch)).state is BatchState.FINISHED
    assert await fired(core) == ["finished"]


async def test_a_finished_batch_is_left_as_it_is_by_a_cancel(core: Core) -> None:
    batch = await create(core)
    assert (await core.queue.batcher.cancel(batch)).cancelled_at_ms is None


# -- looked at, kept ---------------------------------------------------------------------------


async def test_batches_are_listed_newest_first_page_by_page(core: Core) -> None:
    made = [await create(core, spec(), name=f"b{number}") for number in range(5)]
    batcher = core.queue.batcher
    seen: list[str] = []
    cursor = None
    for expected in (2, 2, 1):
        page = await batcher.page(limit=2, cursor=cursor)
        assert len(page.batches) == expected
        assert all([one.event.value for one in batch.callbacks] for batch in page.batches)
        seen += [batch.id for batch in page.batches]
        cursor = page.next_cursor
    assert (seen, cursor) == (made[::-1], None)
    with pytest.raises(InvalidCursor):
        await batcher.page(limit=2, cursor="x")


@pytest.mark.parametrize("batch_id", ["", "nonsense", "0198c0de-0000-7000-8000-000000000000"])
async def test_a_batch_that_is_none_is_not_found(core: Core, batch_id: str) -> None:
    await create(core)
    for call in (core.queue.batcher.get, core.queue.batcher.close, core.queue.batcher.cancel):
        with pytest.raises(NotFound):
            await call(batch_id)


async def test_a_batch_goes_once_nothing_has_changed_for_as_long_as_it_is_kept(tmp_path: Path) -> None:
    async with open_core(tmp_path / "tq.db", keep_batches_s=20, keep_dead_s=-1) as core:
        batch, empty_one = await of_plain(core, 2), await of_plain(core, 0, open=True)
        busy = await create(core, spec(queue="never"), open=True)
        tasks = await core.claim(max=2)
        await core.finish(fail(tasks[0]))
        await core.complete(tasks[1])
        await core.sweep_after(15)
        await core.queue.retry(tasks[0].id)
        await core.sweep_after(30)
        assert await counts(core, batch) == (1, 1, 0, 0)
        with pytest.raises(NotFound):
            await get(core, empty_one)
        await core.finish(fail(await core.claim_one()))
        await core.sweep_after(25)
        with pytest.raises(NotFound):
            await get(core, batch)
        assert await core.count("batch_callback") == 3
        assert (await get(core, busy)).pending == 1
        # What is left of its members goes on as if it had never been one.
        assert (await core.task(tasks[0].id)).batch is None
        await core.queue.retry(tasks[0].id)
        assert (await core.claim_one()).batch is None


async def test_no_task_and_no_batch_gets_the_number_of_an_earlier_batch(tmp_path: Path) -> None:
    path = tmp_path / "tq.db"
    async with open_core(path) as core:
        first = await create(core)
    async with open_core(path) as core:
        second = await create(core)
        task = await core.enqueue()
    assert len({first[-21:-8], second[-21:-8], task[-21:-8]}) == 3


async def test_the_members_of_a_batch_are_listed_alone(core: Core) -> None:
    await core.enqueue()
    made = await core.queue.batcher.create(BatchSpec(open=True), [spec(), spec()])
    await core.enqueue()
    added = await core.queue.batcher.add(made.id, [spec()])
    page = await core.queue.page(Filters(batch=made.id), limit=10, cursor=None, bodies=False)
    assert ids_of(page.tasks) == ids_of([*made.tasks, *added.tasks])[::-1]
    assert {task.batch for task in page.tasks} == {made.id}
