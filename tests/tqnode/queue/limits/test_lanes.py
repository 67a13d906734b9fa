import pytest

from tests.tqnode.nodes import Core, ids_of, snooze, spec
from tests.tqnode.queue.limiting import claimed, enqueue, limit
from tqnode.queue.limits import lanes


async def test_a_key_has_no_more_tasks_running_than_its_limit_says(core: Core) -> None:
    await limit(core, running=2)
    a1, a2, a3, b1 = await enqueue(core, "a", "a", "a", "b")
    tasks = await core.claim(max=10)
    assert ids_of(tasks) == [a1, a2, b1]
    assert [task.limit_key for task in tasks] == ["a", "a", "b"]
    assert await claimed(core) == []
    await core.complete(tasks[2])
    assert await claimed(core) == []
    await core.complete(tasks[0])
    assert await claimed(core) == [a3]


async def test_tasks_without_a_key_are_held_by_no_limit_on_keys(core: Core) -> None:
    await limit(core)
    a1, n1, _, n2 = await enqueue(core, "a", None, "a", None)
    assert await claimed(core) == [a1, n1, n2]


async def test_tasks_with_and_without_keys_come_in_one_order(core: Core) -> None:
    made = [
        await core.enqueue(limit_key=key, priority=priority)
        for key, priority in [("a", 1), (None, 9), ("b", 9), (None, 1), ("a", 200), ("b", 1)]
    ]
    wanted = [made[n] for n in (4, 1, 2, 0, 3, 5)]
    assert await claimed(core, max=4) == wanted[:4]
    assert await claimed(core, max=4) == wanted[4:]


async def test_tasks_of_one_array_keep_its_order_within_their_key(core: Core) -> None:
    await limit(core, running=7)
    made = ids_of(await core.queue.enqueue([spec(limit_key="ab"[n % 2]) for n in range(20)]))
    assert await claimed(core, max=20) == made[:14]


@pytest.mark.parametrize("kinds", [None, ("mail", "fax")])
async def test_what_may_run_is_found_behind_any_number_that_may_not(
    core: Core, monkeypatch: pytest.MonkeyPatch, kinds: tuple[str, ...] | None
) -> None:
    monkeypatch.setattr(lanes, "LOOK_MAX", 3)
    monkeypatch.setattr(lanes, "LANES_AT_A_TIME", 2)
    await limit(core)
    await enqueue(core, *["full"] * 10, *(f"f{n}" for n in range(7)))
    assert len(await claimed(core, max=8)) == 8
    await core.queue.enqueue([spec(limit_key=f"f{n % 7}", kind="fax") for n in range(30)])
    low = await core.enqueue(limit_key="z", priority=3)
    free = [
        await core.enqueue(limit_key=key, kind=kind)
        for key, kind in [("g", "mail"), (None, "fax"), ("f", "fax"), ("g", "fax"), ("h", "mail")]
    ]
    wanted = [free[0], free[1], free[2], free[4], low]
    assert await claimed(core, kinds=kinds, max=1) == wanted[:1]
    assert await claimed(core, kinds=kinds) == wanted[1:]
    assert await claimed(core, kinds=kinds) == []


async def test_a_queue_has_no_more_tasks_running_than_its_limit_says(core: Core) -> None:
    await limit(core, queue="q", running=2)
    made = [await core.enqueue(queue="q", limit_key=key) for key in (None, "a", None, "a")]
    other = await core.enqueue(queue="other")
    tasks = await core.claim("q", "other", max=10)
    assert ids_of(tasks) == [*made[:2], other]
    assert await claimed(core, "q") == []
    await core.finish(snooze(tasks[0]))
    assert await claimed(core, "q") == [made[0]]


async def test_a_limit_put_later_counts_the_tasks_that_run_already(core: Core) -> None:
    made = [await core.enqueue(queue="q") for _ in range(4)]
    tasks = await core.claim("q", max=3)
    await limit(core, queue="q", running=2)
    assert await claimed(core, "q") == []
    await core.complete(tasks[0])
    assert await claimed(core, "q") == []
    await core.complete(tasks[1])
    assert await claimed(core, "q") == [made[3]]


async def test_a_limit_for_all_queues_counts_a_key_over_all_of_them(core: Core) -> None:
    await limit(core, key="a")
    one = await core.enqueue(queue="q1", limit_key="a")
    two = await core.enqueue(queue="q2", limit_key="a")
    assert await claimed(core, "q1", "q2") == [one]
    assert await claimed(core, "q2") == []
    await limit(core, key="a", queue="q2", name="own")
    assert await claimed(core, "q2") == [two]


async def test_no_task_is_claimed_while_none_may_run(core: Core) -> None:
    await limit(core, running=0, key="stopped")
    (task,) = await enqueue(core, "stopped")
    assert await claimed(core) == []
    await core.queue.limits.delete("few")
    assert await claimed(core) == [task]


async def test_a_slot_comes_back_with_the_task_of_a_worker_that_fell_silent(core: Core) -> None:
    await limit(core)
    first, second = await enqueue(core, "a", "a")
    assert await claimed(core) == [first]
    await core.sweep_after(31)
    assert await claimed(core) == [first]
    await core.sweep_after(31)
    await core.sweep_after(31)
    assert await core.state(first) == "ready"
    assert await claimed(core) == [first]
    await core.sweep_after(31)
    assert await core.state(first) == "dead"
    assert await claimed(core) == [second]


async def test_keys_take_turns_in_a_fair_queue(core: Core) -> None:
    await limit(core, queue="q", fair=True)
    a = await enqueue(core, *["a"] * 4, queue="q")
    b = await enqueue(core, *["b"] * 2, queue="q")
    none = await enqueue(core, *[None] * 3, queue="q")
    assert await claimed(core, "q", max=2) == [none[0], a[0]]
    assert await claimed(core, "q", max=1) == [b[0]]
    c = await enqueue(core, "c", queue="q")
    assert await claimed(core, "q") == [c[0], none[1], a[1], b[1], none[2], a[2], a[3]]


async def test_turns_are_taken_within_a_priority_and_only_by_keys_that_may_run(core: Core) -> None:
    await limit(core, queue="q", fair=True)
    await limit(core, key="a", running=2, name="a")
    high = await enqueue(core, "b", "b", queue="q", priority=200)
    a = await enqueue(core, *["a"] * 4, queue="q")
    b = await enqueue(core, *["b"] * 2, queue="q")
    c = await enqueue(core, "c", queue="q")
    assert await claimed(core, "q", max=4) == [*high, a[0], b[0]]
    assert await claimed(core, "q", max=10) == [c[0], a[1], b[1]]
    assert await claimed(core, "q", max=10) == []


async def test_turns_go_round_among_more_keys_than_are_read_at_a_time(
    core: Core, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lanes, "LANES_AT_A_TIME", 3)
    await limit(core, queue="q", fair=True)
    keys = [f"k{n}" for n in range(8)]
    first = await enqueue(core, *keys, queue="q", kind="mail")
    second = await enqueue(core, *keys, queue="q", kind="fax")
    kinds = ("fax", "mail")
    got = [await claimed(core, "q", max=1, kinds=kinds) for _ in range(3)]
    assert got == [[first[0]], [first[1]], [first[2]]]
    assert await claimed(core, "q", max=10, kinds=kinds) == [*first[3:], *second[:5]]


@pytest.mark.parametrize("fair", [False, True])
async def test_a_claim_lets_others_go_first_while_it_looks_at_very_many_keys(
    core: Core, monkeypatch: pytest.MonkeyPatch, fair: bool
) -> None:
    monkeypatch.setattr(lanes, "LOOK_MAX", 0)
    monkeypatch.setattr(lanes, "LANES_AT_A_TIME", 2)
    monkeypatch.setattr(lanes, "LANES_MAX", 4)
    if fair:
        await limit(core, queue="default", fair=True, name="fair")
    await limit(core)
    keys = [f"k{n:02}" for n in range(21)]
    await enqueue(core, *keys)
    assert len(await claimed(core, max=30)) <= 21
    while await claimed(core, max=30):
        pass
    assert await core.count("task WHERE state = 'running'") == 21
    await enqueue(core, *keys, *keys)
    transactions = 0

    def count(_: object) -> None:
        nonlocal transactions
        transactions += 1

    core.store.listen(count)
    assert await claimed(core, max=5) == []
    assert 5 <= transactions <= 9, "a round in as many transactions as it takes, and no more"
    low = await core.enqueue(limit_key="k99", priority=1)
    assert await claimed(core, max=5) == [low]
    await core.queue.limits.delete("few")
    found: list[str] = []
    while got := await claimed(core, max=1):
        found += got
    assert len(found) == len(set(found)) == 42


async def test_a_key_behind_very_many_others_is_not_forgotten(
    core: Core, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("LOOK_MAX", 0), ("LANES_AT_A_TIME", 1), ("LANES_MAX", 2)):
        monkeypatch.setattr(lanes, name, value)
    await limit(core, running=0, key="full")
    await enqueue(core, *["full"] * 10)
    await enqueue(core, *[f"a{n}" for n in range(6)] * 5)
    (last,) = await enqueue(core, "z")
    found = [task_id for _ in range(8) for task_id in await claimed(core, max=1)]
    assert last in found
    first = await core.enqueue(queue="other")
    assert await claimed(core, "default", "other", max=40) != [first]
