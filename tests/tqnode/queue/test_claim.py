import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.tqnode.nodes import Core, ask, ids_of, open_core, spec
from tqnode.queue import WorkerSpec, claim
from tqnode.task import Fail, Snooze, TaskState


async def test_a_claimed_task_carries_all_its_worker_needs(core: Core) -> None:
    task_id = await core.enqueue(
        kind="resize", payload=b'{"n": 1.10}', priority=7, tags=("t",), meta=b"{}", timeout_ms=500
    )
    core.clock.advance(3)
    task = await core.claim_one(worker="w9")
    assert (task.id, task.queue, task.kind, task.priority) == (task_id, "default", "resize", 7)
    assert (task.payload, task.meta, task.tags, task.timeout_ms) == (b'{"n": 1.10}', b"{}", ("t",), 500)
    assert (task.attempt, task.max_attempts, task.crashes, task.lease_ms) == (1, 10, 0, 30_000)
    assert task.lease_expires_at_ms == core.clock.now_ms() + 30_000
    assert task.created_at_ms == task.run_at_ms == core.clock.now_ms() - 3_000
    stored = await core.task(task_id)
    assert (stored.state, stored.worker, stored.attempted_by) == (TaskState.RUNNING, "w9", ("w9",))
    assert stored.started_at_ms == core.clock.now_ms()
    assert stored.lease_expires_at_ms == task.lease_expires_at_ms


async def test_nothing_to_claim_is_an_empty_list_and_no_error(core: Core) -> None:
    assert await core.claim() == []
    assert await core.claim("no-such-queue") == []


async def test_higher_priorities_come_first_and_equal_ones_in_order_of_arrival(core: Core) -> None:
    made = {}
    for n, priority in enumerate([5, 200, 5, 0, 255, 200]):
        made[n] = await core.enqueue(priority=priority)
        core.clock.advance(0.001)
    claimed = await core.claim(max=10)
    assert ids_of(claimed) == [made[n] for n in (4, 1, 5, 0, 2, 3)]


async def test_tasks_of_one_array_are_handed_out_in_its_order(core: Core) -> None:
    made = await core.queue.enqueue([spec() for _ in range(20)])
    claimed = [await core.claim_one() for _ in range(20)]
    assert ids_of(claimed) == ids_of(made)


async def test_a_claim_takes_no_more_than_it_asked_for(core: Core) -> None:
    await core.queue.enqueue([spec() for _ in range(5)])
    assert len(await core.claim(max=3)) == 3
    assert len(await core.claim(max=3)) == 2


async def test_a_claim_takes_no_more_than_fits_into_memory_and_at_least_one(
    core: Core, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claim, "PAYLOADS_MAX", 100)
    await core.queue.enqueue([spec(payload=b"%060d" % n, queue="ab"[n // 3]) for n in range(6)])
    assert [len(await core.claim("a", "none", "b", max=10)) for _ in range(5)] == [2, 2, 2, 0, 0]
    large = await core.enqueue(payload=b"1" * 1000)
    assert ids_of(await core.claim(max=10)) == [large]


async def test_tasks_of_several_kinds_come_in_one_order_whatever_lies_between(core: Core) -> None:
    made = [
        await core.enqueue(kind=kind, priority=priority)
        for kind, priority in [("a", 1), ("b", 9), ("other", 200), ("a", 9), ("c", 1), ("b", 200)]
    ]
    wanted = [made[n] for n in (5, 1, 3, 0, 4)]
    first = await core.claim(kinds=("c", "a", "b"), max=2)
    assert ids_of([*first, *await core.claim(kinds=("c", "a", "b"), max=10)]) == wanted


async def test_queues_are_drained_in_the_order_they_are_named(core: Core) -> None:
    low = [await core.enqueue(queue="a", priority=1) for _ in range(2)]
    high = [await core.enqueue(queue="b", priority=255) for _ in range(2)]
    assert ids_of(await core.claim("a", "b", max=3)) == [*low, high[0]]
    assert ids_of(await core.claim("a", "b", max=3)) == [high[1]]


async def test_a_queue_named_twice_hands_out_each_task_once(core: Core) -> None:
    made = await core.queue.enqueue([spec(), spec()])
    assert ids_of(await core.claim("default", "default", max=5)) == ids_of(made)


async def test_a_claim_for_kinds_leaves_other_kinds_alone(core: Core) -> None:
    mail, fax = await core.enqueue(kind="mail"), await core.enqueue(kind="fax")
    await core.enqueue(kind="pigeon")
    assert ids_of(await core.claim(kinds=("fax", "mail", "telex"), max=5)) == [mail, fax]
    assert await core.claim(kinds=(), max=5) == []


async def test_a_claim_above_a_priority_leaves_lower_ones_alone(core: Core) -> None:
    await core.enqueue(priority=9)
    high = await core.enqueue(priority=10)
    assert ids_of(await core.claim(min_priority=10, max=5)) == [high]
    assert await core.claim(min_priority=10, max=5) == []


async def test_a_paused_queue_gives_out_nothing_but_the_next_one_does(core: Core) -> None:
    await core.enqueue(queue="a")
    other = await core.enqueue(queue="b")
    await core.queue.catalogue.pause("a")
    assert ids_of(await core.claim("a", "b", max=5)) == [other]
    await core.queue.catalogue.resume("a")
    assert len(await core.claim("a")) == 1


@pytest.mark.parametrize("told", ["quiet", "terminate"])
async def test_a_worker_that_was_told_to_stop_gets_nothing(core: Core, told: str) -> None:
    worker = await core.queue.registry.register(WorkerSpec(name="w"))
    await core.enqueue()
    await core.queue.registry.steer(worker.id, told)
    assert await core.claim(worker=worker.id) == []
    await core.queue.registry.steer(worker.id, "run")
    assert len(await core.claim(worker=worker.id)) == 1


async def test_an_expired_task_is_not_handed_out_even_before_the_sweep(core: Core) -> None:
    await core.enqueue(expires_at_ms=core.clock.now_ms() + 1000)
    kept = await core.enqueue(expires_at_ms=core.clock.now_ms() + 1001)
    core.clock.advance(1)
    assert ids_of(await core.claim(max=5)) == [kept]
    assert await core.claim(kinds=("mail",), max=5) == []


async def test_a_worker_may_ask_for_a_lease_of_its_own(core: Core) -> None:
    await core.enqueue(lease_ms=30_000)
    task = await core.claim_one(lease_ms=5_000)
    assert task.lease_ms == 5_000
    assert task.lease_expires_at_ms == core.clock.now_ms() + 5_000
    assert (await core.task(task.id)).lease_expires_at_ms == core.clock.now_ms() + 5_000


async def test_no_two_claims_get_the_same_task_or_the_same_token(core: Core) -> None:
    await core.queue.enqueue([spec() for _ in range(50)])
    lists = await asyncio.gather(*[core.claim(worker=f"w{n}", max=3) for n in range(20)])
    claimed = [task for tasks in lists for task in tasks]
    assert len(claimed) == len(set(ids_of(claimed))) == 50
    tokens = {(task.id, task.token) for task in claimed}
    assert len(tokens) == 50


async def test_each_claim_of_a_task_has_a_higher_grant_and_another_secret(core: Core) -> None:
    await core.enqueue()
    tokens = []
    for _ in range(5):
        task = await core.claim_one()
        tokens.append(task.token)
        await core.finish(Snooze(id=task.id, token=task.token))
    grants = [int(token.partition("-")[0]) for token in tokens]
    assert grants == [1, 2, 3, 4, 5]
    assert len({token.partition("-")[2] for token in tokens}) == 5


async def test_a_given_back_task_goes_before_those_that_came_later(core: Core) -> None:
    first = await core.running()
    core.clock.advance(1)
    later = await core.enqueue()
    await core.finish(Snooze(id=first.id, token=first.token))
    assert ids_of(await core.claim(max=2)) == [first.id, later]


async def test_a_failed_task_lines_up_by_the_time_of_its_next_attempt(core: Core) -> None:
    first = await core.running()
    later = await core.enqueue()
    core.clock.advance(1)
    await core.finish(Fail(id=first.id, token=first.token, delay_ms=0))
    assert ids_of(await core.claim(max=2)) == [later, first.id]


tasks = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 3), st.sampled_from(["a", "b"])), min_size=1, max_size=15
)


@given(made=tasks, wanted=st.integers(1, 5))
@settings(max_examples=25)
async def test_every_claim_returns_the_best_of_what_is_ready(
    made: list[tuple[int, int, str]], wanted: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    async with open_core(tmp_path_factory.mktemp("claim") / "tq.db") as core:
        ready = []
        for n, (priority, delay, queue) in enumerate(made):
            run_at_ms = core.clock.now_ms() + 1 + delay
            task_id = await core.enqueue(priority=priority, run_at_ms=run_at_ms, queue=queue)
            ready.append((-priority, run_at_ms, n, queue, task_id))
        await core.sweep_after(1)
        while ready:
            best = [task for queue in ("b", "a") for task in sorted(ready) if task[3] == queue][:wanted]
            claimed = await core.queue.claim(ask("b", "a", max=wanted), wait_s=0)
            assert ids_of(claimed) == [task[4] for task in best]
            ready = [task for task in ready if task not in best]
        assert await core.claim("a", "b") == []
