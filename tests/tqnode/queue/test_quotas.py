"""Limits on number and bytes, of a queue and of the node."""

import asyncio
from pathlib import Path

import pytest

from tests.tqnode.nodes import Core, FakeClock, HeldWriter, fail, open_core, spec
from tqnode.errors import QueueFull, TqnodeError
from tqnode.task import WAITING, Complete, TaskState


async def true_bytes(core: Core) -> dict[str, int]:
    """Bytes of waiting and running tasks by queue, counted anew."""
    rows = await core.rows(
        "SELECT queue, sum(length(payload) + coalesce(length(meta), 0)) FROM task JOIN task_body USING (seq)"
        " WHERE state IN ('blocked', 'scheduled', 'ready', 'running') GROUP BY queue"
    )
    return {**dict(rows), "": sum(size for _, size in rows)}


async def said_bytes(core: Core) -> dict[str, int]:
    return dict(await core.rows("SELECT queue, bytes FROM byte_tally"))


async def assert_counts_are_true(core: Core) -> None:
    true = await true_bytes(core)
    assert await said_bytes(core) == {queue: true.get(queue, 0) for queue in await said_bytes(core)}


async def test_a_queue_takes_as_many_tasks_as_its_setting_says(core: Core) -> None:
    await core.queue.catalogue.configure("default", {"depth_max": 2})
    await core.enqueue()
    with pytest.raises(QueueFull) as full:
        await core.queue.enqueue([spec(), spec()])
    assert (full.value.code, full.value.field, full.value.limit) == ("queue_full", "depth_max", 2)
    assert await core.count("task") == 1
    await core.enqueue()
    await core.enqueue(queue="other")
    one = await core.claim_one()
    await core.enqueue()
    # What comes back is never refused.
    assert (await core.finish(fail(one, delay_ms=0))).state is TaskState.READY
    assert (await core.queue.catalogue.one("default")).counts == {"ready": 3}
    await core.queue.catalogue.configure("default", {"depth_max": None})
    await core.enqueue()


async def test_the_node_takes_as_many_tasks_as_its_configuration_says(tmp_path: Path) -> None:
    async with open_core(tmp_path / "tq.db", depth_max=3) as core:
        await core.queue.enqueue([spec(), spec(queue="b")])
        with pytest.raises(QueueFull, match="the node holds") as full:
            await core.queue.enqueue([spec(queue="c"), spec(queue="d")])
        assert (full.value.code, full.value.field, full.value.limit) == ("queue_full", "depth_max", 3)
        await core.enqueue(queue="c")
        answers = await core.queue.enqueue_partial([spec(), spec(queue="e")])
        assert all(isinstance(answer, QueueFull) for answer in answers)
        await core.complete(await core.claim_one("b"))
        await core.enqueue(queue="e")


async def test_bytes_are_exact_from_the_moment_they_are_limited(core: Core) -> None:
    await core.queue.enqueue([spec(payload=b"12345", meta=b'{"a":1}'), spec(payload=b"123", queue="other")])
    info = await core.queue.catalogue.configure("default", {"bytes_max": 20})
    assert info.bytes == 12
    with pytest.raises(QueueFull) as full:
        await core.enqueue(payload=b"123456789")
    assert (full.value.field, full.value.limit) == ("bytes_max", 20)
    await core.enqueue(payload=b"12345678")
    await core.complete(await core.claim_one())
    assert (await core.queue.catalogue.one("default")).bytes == 8
    await assert_counts_are_true(core)
    info = await core.queue.catalogue.configure("default", {"bytes_max": None})
    assert info.bytes is None
    assert await core.rows("SELECT name FROM sqlite_schema WHERE type = 'trigger'") == []


async def test_bytes_of_the_node_are_limited_by_its_configuration(tmp_path: Path, clock: FakeClock) -> None:
    path = tmp_path / "tq.db"
    async with open_core(path, clock=clock) as core:
        await core.enqueue(payload=b"x" * 60)
    async with open_core(path, clock=clock, bytes_max=100) as core:
        with pytest.raises(QueueFull, match="the node holds") as full:
            await core.enqueue(queue="b", payload=b"x" * 41)
        assert (full.value.field, full.value.limit) == ("bytes_max", 100)
        await core.enqueue(queue="b", payload=b"x" * 40)
        await assert_counts_are_true(core)
    async with open_core(path, clock=clock) as core:
        await core.enqueue(payload=b"x" * 60)
        assert await said_bytes(core) == {}


async def test_a_tasks_bytes_follow_it_wherever_it_goes(core: Core) -> None:
    for queue in ("default", "b"):
        await core.queue.catalogue.configure(queue, {"bytes_max": 10_000})
    first, second, third = await core.queue.enqueue(
        [spec(payload=b"1"), spec(payload=b"22", unique_key="k", kind="u"), spec(payload=b"4444")]
    )
    await core.queue.enqueue([spec(payload=b"8" * 8, after=(_packed(first.id),), needs="succeeded")])
    await assert_counts_are_true(core)
    # Replaced by one of another size in another queue.
    await core.enqueue(payload=b"16" * 8, unique_key="k", kind="u", unique_mode="replace", queue="b")
    await assert_counts_are_true(core)
    await core.queue.cancel(third.id)
    await assert_counts_are_true(core)
    await core.queue.retry(third.id)
    await assert_counts_are_true(core)
    task = await core.claim_one()
    await core.queue.finish([Complete(id=task.id, token=task.token, then=(spec(payload=b"then"),))])
    await assert_counts_are_true(core)
    await core.queue.delete(third.id)
    await assert_counts_are_true(core)
    await core.queue.catalogue.purge("b", sorted(WAITING))
    await assert_counts_are_true(core)
    late = await core.claim_one(lease_ms=1000)
    await core.sweep_after(2)
    assert await core.state(late.id) is TaskState.READY
    await assert_counts_are_true(core)
    assert second.id


async def test_rows_of_two_kinds_that_one_group_inserts_are_all_counted(core: Core) -> None:
    await core.queue.catalogue.configure("default", {"bytes_max": 10_000})
    (parent,) = await core.queue.enqueue([spec(payload=b"parent")])
    async with HeldWriter(core.store):
        made = [
            asyncio.create_task(core.queue.enqueue([spec(payload=b"plain"), spec(payload=b"other")])),
            asyncio.create_task(
                core.queue.enqueue([spec(payload=b"child", after=(_packed(parent.id),), needs="succeeded")])
            ),
        ]
        await asyncio.sleep(0)
    await asyncio.gather(*made)
    await assert_counts_are_true(core)


async def test_a_refused_batch_leaves_nothing_behind_and_its_neighbours_alone(core: Core) -> None:
    await core.queue.catalogue.configure("default", {"bytes_max": 10})
    async with HeldWriter(core.store):
        asked = [
            asyncio.create_task(core.queue.enqueue([spec(payload=b"123456")])),
            asyncio.create_task(core.queue.enqueue([spec(payload=b"123456")])),
            asyncio.create_task(core.queue.enqueue([spec(payload=b"1234")])),
        ]
        await asyncio.sleep(0)
    answers = await asyncio.gather(*asked, return_exceptions=True)
    assert [isinstance(answer, TqnodeError) for answer in answers] == [False, True, False]
    assert (await core.queue.catalogue.one("default")).bytes == 10


def _packed(task_id: str) -> bytes:
    return bytes.fromhex(task_id.replace("-", ""))
