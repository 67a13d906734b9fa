"""The callbacks of batches: what they say, and that each comes once."""

from pathlib import Path

import msgspec

from tests.tqnode.nodes import Core, fail, open_core, spec, sweeping
from tests.tqnode.queue.batching import CALLBACKS, callback, create, fired, get, of_plain, told
from tqnode.queue.batches import Batch, BatchSpec
from tqnode.queue.membership import BatchEvent
from tqnode.queue.schedules import Template
from tqnode.store import Tx


async def test_a_callback_is_the_task_it_was_given_as_with_the_batch_in_its_meta(core: Core) -> None:
    template = Template(
        spec=spec(kind="done", queue=CALLBACKS, payload=b'{"a": 1}', meta=b'{ "mine":1 }', tags=("t",)),
        expires_ms=5_000,
    )
    spec_of = BatchSpec(name="import", callbacks={BatchEvent.SUCCESS: template})
    made = await core.queue.batcher.create(spec_of, [spec()])
    await core.complete(await core.claim_one())
    (about,) = await told(core)
    expected = {"id": made.id, "event": "success", "name": "import", "total": 1, "pending": 0, "succeeded": 1}
    assert about == expected | {"dead": 0, "cancelled": 0}
    (known,) = (await get(core, made.id)).callbacks
    task = await core.task(known.task or "")
    assert (task.kind, task.payload, task.tags, task.batch) == ("done", b'{"a": 1}', ("t",), None)
    assert msgspec.json.decode(task.meta or b"")["mine"] == 1
    assert task.expires_at_ms == core.clock.now_ms() + 5_000
    assert await core.rows("SELECT length(payload) FROM batch_callback") == [(0,)]


async def test_the_first_death_is_told_at_once_and_the_counts_are_of_that_moment(core: Core) -> None:
    await of_plain(core, 3)
    for _ in range(2):
        await core.finish(fail(await core.claim_one()))
        assert await fired(core) == ["failure"]
    (about,) = await told(core)
    assert (about["pending"], about["dead"]) == (2, 1)


async def test_a_batch_without_callbacks_leaves_no_events_behind(core: Core) -> None:
    await create(core, events=())
    await core.sweeper.sweep()
    assert (await core.count("batch_event"), await core.count("task")) == (0, 0)


async def test_whoever_listens_is_told_of_each_event_once_and_may_write_with_it(core: Core) -> None:
    seen: list[tuple[str, str]] = []

    def listener(tx: Tx, batch: Batch, event: BatchEvent) -> None:
        seen.append((batch.id, event.value))
        tx.run("INSERT INTO queue (name, created_at_ms) VALUES (:name, 0)", {"name": event.value})

    core.queue.batcher.callbacks.listen(listener)
    batch = await create(core, events=())
    for _ in range(3):
        await core.sweeper.sweep()
    assert seen == [(batch, "finished"), (batch, "success")]
    rows = await core.rows("SELECT name FROM queue ORDER BY name")
    assert [name for (name,) in rows] == ["finished", "success"]


async def test_a_callback_for_which_there_is_no_room_waits_for_it_and_comes_once(tmp_path: Path) -> None:
    async with open_core(tmp_path / "tq.db", queue_depth_max=1) as core:
        holder = await core.enqueue(queue=CALLBACKS)
        await create(core, events=(BatchEvent.FINISHED,))
        other = BatchSpec(callbacks={BatchEvent.SUCCESS: callback(BatchEvent.SUCCESS, queue="elsewhere")})
        await core.queue.batcher.create(other, [])
        await core.sweep_after(10)
        assert await fired(core) == []
        assert [kind for (kind,) in await core.rows("SELECT kind FROM task WHERE queue = 'elsewhere'")] == [
            "on_success"
        ]
        await core.queue.cancel(holder)
        await core.sweep_after(10)
        assert await fired(core) == ["finished"]
        assert await core.count("batch_event") == 0


async def test_a_clock_that_is_set_back_holds_up_no_callback(tmp_path: Path) -> None:
    async with open_core(tmp_path / "tq.db", queue_depth_max=1) as core:
        holder = await core.enqueue(queue=CALLBACKS)
        await create(core, events=(BatchEvent.FINISHED,))
        await core.sweeper.sweep()
        await core.queue.cancel(holder)
        core.clock.step(-3_600)
        await core.sweep_after(2)
        assert await fired(core) == ["finished"]
        await core.queue.cancel(
            (await core.queue.batcher.page(limit=1, cursor=None)).batches[0].callbacks[0].task or ""
        )
        await create(core, events=(BatchEvent.SUCCESS,))
        core.clock.step(-3_600)
        assert await fired(core) == ["finished", "success"]


async def test_what_was_not_acted_upon_before_a_restart_is_acted_upon_after_it(tmp_path: Path) -> None:
    path = tmp_path / "tq.db"
    async with open_core(path) as core:
        batch = await of_plain(core, 1)
        await core.complete(await core.claim_one())
        assert await core.count("batch_event") == 2
    async with open_core(path) as core:
        assert await fired(core) == ["finished", "success"]
        assert {one.task is None for one in (await get(core, batch)).callbacks} == {False, True}
    async with open_core(path) as core:
        assert await fired(core) == ["finished", "success"]


async def test_the_sweeper_wakes_for_a_callback(core: Core) -> None:
    async with sweeping(core):
        await create(core, events=(BatchEvent.FINISHED,))
        waited = 0
        while not await core.rows(f"SELECT 1 FROM task WHERE queue = '{CALLBACKS}'"):
            waited += 1
            assert waited < 1_000, "nobody acted on it, though no time has passed"
