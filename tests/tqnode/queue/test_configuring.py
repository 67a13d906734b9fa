"""A queue's own settings."""

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.tqnode.nodes import Core, FakeClock, HeldWriter, open_core, spec
from tqnode.errors import QueueFull
from tqnode.queue.configuring import configure
from tqnode.store import Tx
from tqnode.task import UNSAID, Complete, Given, Idempotency, Needs, TaskSpec

ALL = sum(UNSAID.values())
OWN: dict[str, Any] = {
    "priority": 7,
    "max_attempts": 2,
    "lease_ms": 5000,
    "retry": b'{"type":"fixed","delay_s":1}',
    "timeout_ms": 9,
}


def said(core_task: object) -> dict[str, object]:
    return {name: getattr(core_task, name) for name in UNSAID}


async def test_a_task_has_what_it_leaves_open_from_its_queue(core: Core) -> None:
    await core.queue.catalogue.configure("default", OWN)
    (made,) = await core.queue.enqueue([spec(unsaid=ALL)])
    assert made.given == Given(**OWN)
    assert said(await core.task(made.id)) == OWN
    (other,) = await core.queue.enqueue([spec(unsaid=ALL, queue="other")])
    assert other.given is None
    assert (await core.task(other.id)).priority == 128


async def test_a_task_keeps_what_it_says_itself(core: Core) -> None:
    await core.queue.catalogue.configure("default", OWN)
    (made,) = await core.queue.enqueue([spec(unsaid=UNSAID["lease_ms"], priority=128)])
    assert made.given == Given(lease_ms=5000)
    stored = await core.task(made.id)
    assert (stored.priority, stored.max_attempts, stored.lease_ms, stored.retry) == (128, 10, 5000, None)


async def test_a_repeated_key_tells_what_the_queue_gave_then(core: Core) -> None:
    await core.queue.catalogue.configure("default", OWN)
    key = Idempotency(key="k", digest=b"d")
    first = await core.queue.enqueue([spec(unsaid=ALL)], idempotency=key)
    await core.queue.catalogue.configure("default", dict.fromkeys(OWN))
    assert await core.queue.enqueue([spec(unsaid=ALL)], idempotency=key) == first


async def test_settings_change_one_by_one_and_null_gives_them_back(core: Core) -> None:
    await core.queue.catalogue.configure("q", {"lease_ms": 1000, "depth_max": 3})
    info = await core.queue.catalogue.configure("q", {"priority": 1, "lease_ms": None})
    assert (info.settings.lease_ms, info.settings.priority, info.settings.depth_max) == (None, 1, 3)
    info = await core.queue.catalogue.configure("q", {"priority": None, "depth_max": None})
    assert await core.rows("SELECT name, settings FROM queue") == [("q", None)]


async def test_settings_hold_after_a_restart(tmp_path: Path, clock: FakeClock) -> None:
    path = tmp_path / "tq.db"
    async with open_core(path, clock=clock) as core:
        await core.queue.catalogue.configure("default", OWN | {"depth_max": 1})
    async with open_core(path, clock=clock) as core:
        (made,) = await core.queue.enqueue([spec(unsaid=ALL)])
        assert said(await core.task(made.id)) == OWN
        with pytest.raises(QueueFull):
            await core.enqueue()


async def test_tasks_that_follow_a_completion_have_their_queues_defaults(core: Core) -> None:
    await core.queue.catalogue.configure("next", OWN)
    task = await core.running()
    then = (spec(queue="next", unsaid=ALL),)
    done = await core.finish(Complete(id=task.id, token=task.token, then=then))
    assert said(await core.task(done.then[0])) == OWN


async def test_settings_of_too_many_queues_are_refused(tmp_path: Path) -> None:
    async with open_core(tmp_path / "tq.db", queues_max=1) as core:
        await core.queue.catalogue.configure("a", {"priority": 1})
        with pytest.raises(QueueFull):
            await core.queue.catalogue.configure("b", {"priority": 1})
        assert [info.queue for info in await core.queue.catalogue.all()] == ["a"]


def test_a_stored_task_of_an_older_version_said_all_itself() -> None:
    old = msgspec.json.encode(
        {
            "kind": "k",
            "queue": "q",
            "payload": "",
            "priority": 1,
            "run_at_ms": None,
            "max_attempts": 1,
            "lease_ms": 1,
        }
    )
    assert msgspec.json.decode(old, type=TaskSpec).unsaid == 0


async def test_tasks_that_are_tied_to_others_have_their_queues_defaults(core: Core) -> None:
    await core.queue.catalogue.configure("b", {"priority": 7})
    specs = [
        spec(unsaid=ALL),
        spec(queue="b", unsaid=ALL, after=(0,), needs=Needs.SUCCEEDED),
        spec(unsaid=ALL),
    ]
    made = await core.queue.enqueue(specs)
    assert [one.given for one in made] == [None, Given(priority=7), None]
    assert [(await core.task(one.id)).priority for one in made] == [128, 7, 128]


async def test_each_of_many_single_enqueues_has_its_own_queues_defaults(core: Core) -> None:
    await core.queue.catalogue.configure("b", {"priority": 7})
    async with HeldWriter(core.store):
        asked = [asyncio.create_task(core.queue.enqueue([spec(queue=queue, unsaid=ALL)])) for queue in "abab"]
        await asyncio.sleep(0)
    made = [answer[0] for answer in await asyncio.gather(*asked)]
    assert [one.given for one in made] == [None, Given(priority=7)] * 2


async def test_an_undone_change_of_settings_is_none(core: Core) -> None:
    await core.queue.catalogue.configure("default", {"depth_max": 1})

    def operation(tx: Tx) -> None:
        configure(tx, "default", {"depth_max": 5, "bytes_max": 9}, queues_max=9)
        raise RuntimeError("so")

    with pytest.raises(RuntimeError):
        await core.store.write(operation)
    await core.enqueue()
    with pytest.raises(QueueFull) as full:
        await core.enqueue()
    assert full.value.limit == 1
    assert await core.rows("SELECT name FROM sqlite_schema WHERE type = 'trigger'") == []
