"""Whether anybody would take a ready task."""

from tests.tqnode.nodes import Core
from tests.tqnode.queue.explaining import codes, facts, text
from tqnode.queue import WorkerRow, WorkerSpec


async def register(core: Core, name: str = "w", **fields: object) -> WorkerRow:
    whole: dict[str, object] = {"name": name, "queues": ("default",), "kinds": ("mail",)}
    return await core.queue.registry.register(WorkerSpec(**whole | fields))  # type: ignore[arg-type]  # a test's


async def test_without_a_worker_nobody_takes_it(core: Core) -> None:
    task_id = await core.enqueue()
    assert (await codes(core, task_id))[0] == "no_worker"
    assert await facts(core, task_id, "no_worker") == {"queue": "default", "kind": "mail", "registered": 0}


async def test_workers_of_other_queues_and_kinds_do_not_count(core: Core) -> None:
    task_id = await core.enqueue()
    await register(core, queues=("other",))
    await register(core, kinds=("other",))
    assert (await facts(core, task_id, "no_worker"))["registered"] == 2
    assert "; 2 others are." in await text(core, task_id, "no_worker")


async def test_a_worker_that_names_no_kinds_takes_any(core: Core) -> None:
    task_id = await core.enqueue()
    worker = await register(core, kinds=(), queues=(), concurrency=2)
    assert await facts(core, task_id, "workers_free") == {
        "queue": "default",
        "kind": "mail",
        "workers": [{"id": worker.id, "name": "w", "state": "run"}],
        "slots": 2,
        "held": 0,
    }


async def test_workers_that_fell_silent_do_not_count(core: Core) -> None:
    task_id = await core.enqueue()
    await register(core)
    core.clock.advance(31)
    assert (await codes(core, task_id))[0] == "workers_silent"
    assert "the last one 31 seconds ago" in await text(core, task_id, "workers_silent")


async def test_workers_that_were_told_to_stop_do_not_count(core: Core) -> None:
    task_id = await core.enqueue()
    one, two = await register(core), await register(core)
    await core.queue.registry.steer(one.id, "quiet")
    await core.queue.registry.steer(two.id, "terminate")
    assert (await codes(core, task_id))[0] == "workers_quiet"
    found = await facts(core, task_id, "workers_quiet")
    assert [worker["state"] for worker in found["workers"]] == ["quiet", "terminate"]


async def test_workers_whose_slots_are_all_taken_are_busy(core: Core) -> None:
    one, two = await register(core, concurrency=2), await register(core)
    for worker in (one.id, one.id, two.id):
        await core.enqueue()
        assert len(await core.claim(worker=worker)) == 1
    task_id = await core.enqueue()
    found = await facts(core, task_id, "workers_busy")
    assert (found["slots"], found["held"]) == (3, 3)
    assert "All 2 workers" in await text(core, task_id, "workers_busy")
