"""Many finishes in one request: completions that follow each other share statements, and must not show it."""

from tests.tqnode.nodes import Core, spec
from tqnode.errors import LeaseLost, NotFound
from tqnode.task import ClaimedTask, Complete, Finish, Finished, Snooze, TaskState

UNKNOWN = "0198c0de-0000-7000-8000-000000000000"


async def claimed(core: Core, count: int, queue: str = "default") -> list[ClaimedTask]:
    await core.queue.enqueue([spec(queue=queue) for _ in range(count)])
    tasks = await core.claim(queue, max=count)
    assert len(tasks) == count
    return tasks


def completion(task: ClaimedTask, result: bytes | None = None) -> Complete:
    return Complete(id=task.id, token=task.token, result=result)


async def test_completions_in_one_request_all_succeed_with_their_own_results(core: Core) -> None:
    tasks = [*await claimed(core, 3, "a"), *await claimed(core, 2, "b")]
    subscription = core.queue.hub.subscribe(None)
    results = [b"0", None, b"2", None, b'{"n": 4}']
    answers = await core.queue.finish(
        [completion(task, result) for task, result in zip(tasks, results, strict=True)]
    )
    assert answers == [Finished(id=task.id, state=TaskState.SUCCEEDED) for task in tasks]
    stored = [await core.task(task.id) for task in tasks]
    assert [task.result for task in stored] == results
    assert {task.state for task in stored} == {TaskState.SUCCEEDED}
    assert [numbered.event.kind for numbered in await subscription.next()] == ["mail"] * 5


async def test_events_of_completions_come_in_the_order_of_the_request(core: Core) -> None:
    tasks = (await claimed(core, 5))[::-1]
    subscription = core.queue.hub.subscribe(None)
    await core.queue.finish([completion(task) for task in tasks])
    events = [numbered.event for numbered in await subscription.next()]
    stored = [row[0] for row in await core.rows("SELECT id FROM task ORDER BY seq DESC")]
    assert [event.id for event in events] == stored
    assert {event.attempt for event in events} == {1}


async def test_a_refused_completion_leaves_its_neighbours_alone(core: Core) -> None:
    first, second, third = await claimed(core, 3)
    answers = await core.queue.finish(
        [
            completion(first),
            Complete(id=second.id, token="1-0123456789abcdef"),
            Complete(id=UNKNOWN, token=second.token),
            Complete(id=second.id[:-4] + "beef", token=second.token),
            Complete(id=third.id, token="no token"),
            completion(third),
        ]
    )
    kinds = [type(answer) for answer in answers]
    assert kinds == [Finished, LeaseLost, NotFound, NotFound, LeaseLost, Finished]
    assert [await core.state(task.id) for task in (first, second, third)] == [
        TaskState.SUCCEEDED,
        TaskState.RUNNING,
        TaskState.SUCCEEDED,
    ]


async def test_a_task_finished_twice_in_one_request_is_finished_once(core: Core) -> None:
    first, second = await claimed(core, 2)
    asked: list[Finish] = [completion(first, b"1"), completion(second), completion(first, b"2")]
    answers = await core.queue.finish(asked)
    assert answers == [Finished(id=one.id, state=TaskState.SUCCEEDED) for one in (first, second, first)]
    assert (await core.task(first.id)).result == b"1"
    assert await core.queue.finish(asked) == answers


async def test_finishes_of_one_task_count_in_the_order_they_were_sent(core: Core) -> None:
    first, second, third = await claimed(core, 3)
    answers = await core.queue.finish(
        [
            completion(first),
            completion(second),
            Snooze(id=third.id, token=third.token, delay_ms=1000),
            completion(third),
            completion(second),
        ]
    )
    assert isinstance(answers[3], LeaseLost)
    assert await core.state(third.id) is TaskState.SCHEDULED
    assert answers[4] == answers[1]


async def test_a_completion_with_followers_takes_its_place_among_plain_ones(core: Core) -> None:
    tasks = await claimed(core, 4)
    chain = Complete(id=tasks[2].id, token=tasks[2].token, then=(spec(queue="next"),))
    answers = await core.queue.finish(
        [completion(tasks[0]), completion(tasks[1]), chain, completion(tasks[3])]
    )
    assert [isinstance(answer, Finished) for answer in answers] == [True] * 4
    assert isinstance(answers[2], Finished)
    (follower,) = answers[2].then
    assert (await core.task(follower)).queue == "next"


async def test_a_completion_among_many_gives_up_its_key_where_another_holds_it(core: Core) -> None:
    held = "blocked scheduled ready running"
    first = await core.running(unique_key="k", unique_states="blocked scheduled ready succeeded")
    other = await core.running(unique_key="k", unique_states=held + " succeeded")
    plain = await core.running()
    answers = await core.queue.finish([completion(plain), completion(first), completion(other)])
    assert [isinstance(answer, Finished) for answer in answers] == [True] * 3
    keys = [(await core.task(task.id)).unique_key for task in (first, other)]
    assert keys == [None, "k"]
