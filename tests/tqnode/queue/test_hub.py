import asyncio
import weakref

import pytest

from tests.tqnode.nodes import Core, settle, spec
from tqnode import ids
from tqnode.errors import Overloaded
from tqnode.queue import hub as hub_module
from tqnode.queue.hub import Hub, Subscription
from tqnode.store import Effects, TaskEvent
from tqnode.task import Fail, TaskState


def happening(*kinds: str) -> Effects:
    effects = Effects()
    if kinds:
        effects.events.extend(TaskEvent(b"", "q", kind, TaskState.READY, 0, 0) for kind in kinds)
    return effects


def a_hub(**limits: int) -> Hub:
    return Hub(boot="b00t", **{"kept": 5, "followers_max": 3} | limits)


async def kinds_of(subscription: Subscription) -> list[str]:
    return [numbered.event.kind for numbered in await asyncio.wait_for(subscription.next(), 10)]


async def test_a_follower_gets_what_happens_from_now_on_in_order() -> None:
    hub = a_hub()
    hub.publish(happening("before"))
    subscription = hub.subscribe(None)
    hub.publish(happening("a", "b"))
    hub.publish(happening())
    hub.publish(happening("c"))
    assert await kinds_of(subscription) == ["a", "b", "c"]
    assert not subscription.missed


async def test_a_follower_waits_until_something_happens() -> None:
    hub = a_hub()
    subscription = hub.subscribe(None)
    waiting = asyncio.create_task(kinds_of(subscription))
    await settle()
    assert not waiting.done()
    hub.publish(happening("a"))
    assert await waiting == ["a"]


async def test_a_follower_that_comes_back_resumes_after_the_last_event_it_saw() -> None:
    hub = a_hub()
    hub.publish(happening("a", "b", "c"))
    subscription = hub.subscribe(hub.id_of(1))
    hub.publish(happening("d"))
    assert await kinds_of(subscription) == ["b", "c", "d"]
    assert not subscription.missed


async def test_a_follower_that_saw_everything_has_missed_nothing() -> None:
    hub = a_hub()
    hub.publish(happening("a", "b"))
    subscription = hub.subscribe(hub.id_of(2))
    assert not subscription.missed
    hub.publish(happening("c"))
    assert await kinds_of(subscription) == ["c"]


async def test_the_oldest_kept_event_can_still_be_resumed_over_and_the_one_before_cannot() -> None:
    hub = a_hub(kept=3)
    hub.publish(happening(*"abcde"))
    assert await kinds_of(hub.subscribe(hub.id_of(2))) == ["c", "d", "e"]
    late = hub.subscribe(hub.id_of(1))
    assert late.missed
    assert await kinds_of(late) == []


async def test_as_many_events_are_kept_as_were_asked_for_however_they_come_in_groups() -> None:
    hub = a_hub(kept=3)
    for group in ("ab", "c", "de", "", "fghij", "k"):
        hub.publish(happening(*group))
    assert await kinds_of(hub.subscribe(hub.id_of(8))) == ["i", "j", "k"]
    assert hub.subscribe(hub.id_of(7)).missed


async def test_events_that_nobody_asks_for_are_let_go() -> None:
    hub = a_hub(kept=3)
    groups = [happening("a", "b") for _ in range(10)]
    for effects in groups:
        hub.publish(effects)
    gone = [weakref.ref(effects.events) for effects in groups]
    del groups, effects
    assert [one() is None for one in gone] == [True] * 8 + [False] * 2


@pytest.mark.parametrize(
    "after",
    ["", "b00t", "b00t-", "b00t-3", "b00t--1", "other-1", "b00t-\u0661", "b00t-" + "9" * 19, "b00t-x"],
)
async def test_an_event_id_that_this_start_of_the_node_never_gave_means_that_some_were_missed(
    after: str,
) -> None:
    hub = a_hub()
    hub.publish(happening("a", "b"))
    subscription = hub.subscribe(after)
    assert subscription.missed
    assert await kinds_of(subscription) == []


async def test_a_slow_follower_is_told_that_it_missed_some_and_the_others_are_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(hub_module, "SUBSCRIPTION_MAX", 3)
    hub = a_hub()
    slow, quick = hub.subscribe(None), hub.subscribe(None)
    for kind in "abcd":
        hub.publish(happening(kind))
        assert await kinds_of(quick) == [kind]
    assert slow.missed
    assert await kinds_of(slow) == []
    assert not quick.missed
    slow.missed = False
    hub.publish(happening("e"))
    assert await kinds_of(slow) == ["e"]


async def test_no_more_may_follow_than_the_limit_says_until_one_leaves() -> None:
    hub = a_hub(followers_max=2)
    one, _ = hub.subscribe(None), hub.subscribe(None)
    with pytest.raises(Overloaded):
        hub.subscribe(None)
    hub.unsubscribe(one)
    hub.unsubscribe(one)
    assert hub.followers == 1
    hub.subscribe(None)


async def test_a_follower_that_left_gets_nothing_more() -> None:
    hub = a_hub()
    subscription = hub.subscribe(None)
    hub.unsubscribe(subscription)
    hub.publish(happening("a"))
    waiting = asyncio.create_task(subscription.next())
    await settle()
    assert not waiting.done()
    waiting.cancel()


async def test_each_step_of_a_task_s_life_is_an_event(core: Core) -> None:
    subscription = core.queue.hub.subscribe(None)
    task = await core.running(max_attempts=1)
    await core.finish(Fail(id=task.id, token=task.token))
    await core.queue.retry(task.id)
    await core.queue.cancel(task.id)
    await core.queue.delete(task.id)
    await core.queue.enqueue([spec(run_at_ms=core.clock.now_ms() + 5)])
    await settle()
    events = [numbered.event for numbered in await subscription.next()]
    of_task = [event for event in events if ids.text(event.id) == task.id]
    assert [(event.state, event.attempt, event.reason) for event in of_task] == [
        ("ready", 0, None),
        ("running", 1, None),
        ("dead", 1, "attempts_exhausted"),
        ("ready", 1, None),
        ("cancelled", 1, "requested"),
        (None, 1, None),
    ]
    assert events[-1].state is TaskState.SCHEDULED
    assert {event.at_ms for event in events} == {core.clock.now_ms()}


async def test_every_start_of_a_node_names_its_events_differently(core: Core) -> None:
    assert core.queue.hub.id_of(1).endswith("-1")
    assert core.queue.hub.id_of(1) != a_hub().id_of(1)
