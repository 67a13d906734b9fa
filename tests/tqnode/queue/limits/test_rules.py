"""Which limit governs a task, and who is told of the slot that it leaves."""

import asyncio
from collections.abc import Callable
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tests.tqnode.nodes import Core, HeldWriter, settle
from tests.tqnode.queue.limiting import enqueue, limit
from tests.tqnode.queue.test_waiting import is_given, poll
from tqnode.queue.limits.rules import Rule, Rules
from tqnode.task import ClaimedTask, Complete, Fail, Snooze


def rule(name: str, key: str, queue: str = "") -> Rule:
    return Rule(name, queue, key, 1, None, None, None, False, 0, 0)


def governing(rules: Rules, queue: str, key: str) -> str | None:
    found = rules.on_key(queue, key)
    return None if found is None else found.name


def test_the_most_particular_limit_governs_a_key() -> None:
    rules = Rules(
        [
            rule("all", "*"),
            rule("all of q", "*", "q"),
            rule("customers", "c:*"),
            rule("forties", "c:4*"),
            rule("forties of q", "c:4*", "q"),
            rule("one", "c:42"),
        ]
    )
    assert governing(rules, "q", "c:42") == "one"
    assert governing(rules, "q", "c:41") == "forties of q"
    assert governing(rules, "r", "c:41") == "forties"
    assert governing(rules, "q", "c:1") == "customers"
    assert governing(rules, "q", "d") == "all of q"
    assert governing(rules, "r", "d") == "all"
    assert governing(Rules([rule("one", "c:42")]), "q", "c:4") is None
    everywhere = rules.everywhere("d")
    assert everywhere is not None
    assert everywhere.name == "all"


texts = st.text("ab:", min_size=1, max_size=4)


@given(
    patterns=st.sets(st.tuples(st.sampled_from(["", "q", "r"]), st.text("ab:", max_size=3), st.booleans())),
    key=texts,
)
def test_no_limit_that_matches_is_more_particular_than_the_one_that_governs(
    patterns: set[tuple[str, str, bool]], key: str
) -> None:
    made = [
        rule(f"{queue}/{text}{'*' if open_ended else ''}", text + ("*" if open_ended else ""), queue)
        for queue, text, open_ended in patterns
        if text or open_ended
    ]
    matching = [
        one
        for one in made
        if one.queue in ("", "q")
        and (one.key == key or (one.key.endswith("*") and key.startswith(one.key[:-1])))
    ]
    best = max(matching, key=lambda one: (one.key == key, len(one.key), one.queue == "q"), default=None)
    assert Rules(made).on_key("q", key) == best


async def test_a_waiting_claim_gets_the_slot_that_a_task_leaves_however_it_ends(core: Core) -> None:
    await limit(core, key="a")
    ends: list[Callable[[ClaimedTask], Any]] = [
        lambda task: core.finish(Complete(id=task.id, token=task.token)),
        lambda task: core.queue.finish([Complete(id=task.id, token=task.token), Complete(id="x", token="y")]),
        lambda task: core.finish(Fail(id=task.id, token=task.token, retry=False)),
        lambda task: core.finish(Snooze(id=task.id, token=task.token, delay_ms=3_600_000)),
        lambda _: core.sweep_after(31),
    ]
    for end in ends:
        await enqueue(core, "a", max_attempts=1)
        running = await core.claim_one()
        (after,) = await enqueue(core, "a")
        claiming = await poll(core)
        await end(running)
        (task,) = await asyncio.wait_for(claiming, 10)
        assert task.id == after
        await core.complete(task)


async def test_a_waiting_claim_gets_a_slot_of_its_queue(core: Core) -> None:
    await limit(core, queue="q", running=1)
    running = await core.running(queue="q")
    after = await core.enqueue(queue="q")
    claiming = await poll(core, "q")
    await core.complete(running)
    assert await is_given(claiming, after)


async def test_a_slot_is_offered_to_each_sort_of_claim_until_one_has_use_for_it(core: Core) -> None:
    await limit(core, key="a")
    await enqueue(core, "a", queue="q1")
    running = await core.claim_one("q1")
    (after,) = await enqueue(core, "a", queue="q2", kind="fax", priority=9)
    others = [
        await poll(core, "q1"),
        await poll(core, "q2", kinds=("mail",)),
        await poll(core, "q2", kinds=("mail",)),
        await poll(core, "q2", min_priority=10),
    ]
    claiming = await poll(core, "q2", kinds=("mail", "fax"))
    await core.complete(running)
    assert await is_given(claiming, after)
    assert not any(other.done() for other in others)
    core.queue.waiting.drain()
    assert await asyncio.gather(*others) == [[]] * 4


async def test_a_slot_offered_to_a_claim_that_goes_away_is_offered_to_the_next(core: Core) -> None:
    await limit(core, key="a")
    running = (await enqueue(core, "a"), await core.claim_one())[1]
    (after,) = await enqueue(core, "a")
    first, second = await poll(core), await poll(core)
    async with HeldWriter(core.store):
        finishing = asyncio.create_task(core.complete(running))
        await settle()
        first.cancel()
    await finishing
    assert await is_given(second, after)


async def test_a_waiting_claim_goes_on_when_its_limit_is_raised(core: Core) -> None:
    await limit(core, key="a*")
    _, after = await enqueue(core, "ab", "ab")
    await core.claim_one()
    claiming = await poll(core)
    await limit(core, key="a*", running=2)
    assert await is_given(claiming, after)
