import pytest

from tests.tqnode.nodes import Core, open_core
from tests.tqnode.queue.limiting import claimed, enqueue, limit
from tqnode.errors import InvalidCursor, InvalidField, NotFound


async def test_a_limit_that_is_put_again_as_it_is_stays_as_it_is(core: Core) -> None:
    made = await limit(core, running=3)
    core.clock.advance(1)
    assert await limit(core, running=3) == made
    changed = await limit(core, running=4)
    assert (changed.running, changed.created_at_ms) == (4, made.created_at_ms)
    assert changed.updated_at_ms == made.updated_at_ms + 1000
    assert await core.queue.limits.get("few") == changed


async def test_two_limits_on_the_same_tasks_are_refused(core: Core) -> None:
    await limit(core, key="a")
    with pytest.raises(InvalidField, match="few") as refused:
        await limit(core, key="a", name="other")
    assert (refused.value.code, refused.value.field) == ("limit_exists", "key")
    await limit(core, key="a", queue="q", name="other")
    with pytest.raises(InvalidField) as refused:
        await limit(core, key="a", name="other")
    assert refused.value.code == "limit_exists"


async def test_there_are_no_more_limits_than_allowed(tmp_path_factory: pytest.TempPathFactory) -> None:
    async with open_core(tmp_path_factory.mktemp("limits") / "tq.db", limits_max=1) as core:
        await limit(core)
        await limit(core, running=2)
        with pytest.raises(InvalidField) as refused:
            await limit(core, key="b", name="other")
        assert (refused.value.code, refused.value.limit) == ("too_many_limits", 1)


async def test_limits_come_in_pages_in_the_order_of_their_names(core: Core) -> None:
    names = ["c", "a", "b"]
    for name in names:
        await limit(core, name=name, key=name)
    first = await core.queue.limits.page(limit=2, cursor=None)
    assert [one.name for one in first.limits] == ["a", "b"]
    rest = await core.queue.limits.page(limit=2, cursor=first.next_cursor)
    assert ([one.name for one in rest.limits], rest.next_cursor) == (["c"], None)
    with pytest.raises(InvalidCursor):
        await core.queue.limits.page(limit=2, cursor="€")


async def test_a_limit_that_is_not_there_is_an_error(core: Core) -> None:
    for call in (core.queue.limits.get, core.queue.limits.delete):
        with pytest.raises(NotFound) as missing:
            await call("none")
        assert missing.value.code == "limit_not_found"


async def test_a_limit_holds_a_queue_that_is_made_after_it(core: Core) -> None:
    await limit(core, queue="new", running=1)
    first = await core.enqueue(queue="new")
    await core.enqueue(queue="new")
    assert await claimed(core, "new") == [first]


async def test_a_queue_without_limits_and_keys_is_claimed_as_ever(core: Core) -> None:
    await limit(core, queue="q", running=1)
    await core.enqueue(queue="q")
    await core.enqueue(queue="plain")
    await core.enqueue(queue="keyed", limit_key="a")
    assert await core.rows("SELECT name, lanes FROM queue ORDER BY name") == [
        ("keyed", 1),
        ("plain", 0),
        ("q", 2),
    ]
    await core.queue.limits.delete("few")
    assert await core.rows("SELECT lanes FROM queue WHERE name = 'q'") == [(0,)]


async def test_a_key_stays_with_its_task_however_it_comes_back(core: Core) -> None:
    (task_id,) = await enqueue(core, "a")
    task = await core.claim_one()
    await core.complete(task)
    await core.queue.retry(task_id)
    assert (await core.claim_one()).limit_key == "a"
    assert (await core.task(task_id)).limit_key == "a"


async def test_a_replaced_task_has_the_key_of_the_new_one(core: Core) -> None:
    await core.enqueue(unique_key="u", limit_key="a")
    await core.enqueue(unique_key="u", limit_key="b", queue="other", unique_mode="replace")
    assert (await core.claim_one("other")).limit_key == "b"
