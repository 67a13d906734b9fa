from pathlib import Path

import pytest

from tests.tqnode.nodes import Core, open_core, spec
from tqnode import ids
from tqnode.errors import NotFound, Overloaded
from tqnode.queue import WorkerSpec


async def test_a_registered_worker_is_listed_as_it_introduced_itself(core: Core) -> None:
    made = await core.queue.registry.register(
        WorkerSpec(
            name="blue",
            host="h1",
            pid=42,
            queues=("a", "b"),
            kinds=("mail",),
            concurrency=8,
            version="1.0",
        )
    )
    assert (made.name, made.host, made.pid, made.queues, made.kinds) == (
        "blue",
        "h1",
        42,
        ("a", "b"),
        ("mail",),
    )
    assert (made.state, made.concurrency, made.version, made.running) == ("run", 8, "1.0", 0)
    assert made.started_at_ms == made.heartbeat_at_ms == core.clock.now_ms()
    assert ids.text(ids.parse(made.id)) == made.id
    assert await core.queue.registry.all() == [made]


async def test_a_worker_that_starts_again_gets_another_id(core: Core) -> None:
    made = [await core.queue.registry.register(WorkerSpec(name="blue")) for _ in range(5)]
    assert len({worker.id for worker in made}) == 5
    assert len(await core.queue.registry.all()) == 5


async def test_no_more_workers_may_register_than_the_limit_says(tmp_path: Path) -> None:
    async with open_core(tmp_path / "tq.db", workers_max=2) as core:
        first, _ = [await core.queue.registry.register(WorkerSpec(name="w")) for _ in range(2)]
        with pytest.raises(Overloaded, match="2 workers are registered"):
            await core.queue.registry.register(WorkerSpec(name="w"))
        await core.queue.registry.forget(first.id)
        await core.queue.registry.register(WorkerSpec(name="w"))


async def test_a_worker_shows_how_many_tasks_it_holds(core: Core) -> None:
    worker = await core.queue.registry.register(WorkerSpec(name="blue"))
    await core.queue.enqueue([spec() for _ in range(3)])
    await core.claim(worker=worker.id, max=2)
    await core.claim(worker="somebody")
    (row,) = await core.queue.registry.all()
    assert row.running == 2


async def test_a_heartbeat_shows_when_a_worker_was_last_heard(core: Core) -> None:
    worker = await core.queue.registry.register(WorkerSpec(name="blue"))
    core.clock.advance(7)
    assert await core.queue.registry.heartbeat(worker.id, []) == ("run", [])
    (row,) = await core.queue.registry.all()
    assert row.heartbeat_at_ms == core.clock.now_ms()
    assert row.started_at_ms == core.clock.now_ms() - 7_000


@pytest.mark.parametrize("told", ["quiet", "terminate", "run"])
async def test_a_worker_hears_at_its_next_heartbeat_what_it_was_told(core: Core, told: str) -> None:
    worker = await core.queue.registry.register(WorkerSpec(name="blue"))
    assert (await core.queue.registry.steer(worker.id, told)).state == told
    state, _ = await core.queue.registry.heartbeat(worker.id, [])
    assert state == told
    assert (await core.queue.stats()).workers == {told: 1}


async def test_a_worker_that_said_goodbye_is_gone_and_its_leases_stay(core: Core) -> None:
    worker = await core.queue.registry.register(WorkerSpec(name="blue"))
    await core.enqueue()
    task = await core.claim_one(worker=worker.id)
    await core.queue.registry.forget(worker.id)
    assert await core.queue.registry.all() == []
    assert (await core.complete(task)).state == "succeeded"


async def test_what_is_asked_of_a_worker_that_is_not_there_says_so(core: Core) -> None:
    for asked in (
        core.queue.registry.heartbeat("w", []),
        core.queue.registry.steer("w", "quiet"),
        core.queue.registry.forget("w"),
    ):
        with pytest.raises(NotFound) as missing:
            await asked
        assert missing.value.code == "worker_not_found"
