"""Calls of more than one exchange."""

import re
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from tests.tq.driving import Drive, ManualClock, Script, problem, reply, session, task_row
from tq import calls, errors, wire
from tq.effects import Effect, Lost, Reply, Send

IDS = [f"018f0000-0000-7000-8000-{number:012d}" for number in range(20)]


def answer_enqueues(effect: Effect) -> Reply:
    """A node that numbers tasks by what their payloads say."""
    assert isinstance(effect, Send)
    body = effect.request.body
    assert body is not None
    rows = msgspec.json.decode(body)
    results = [{"id": f"018f0000-0000-7000-8000-{row['payload']:012d}", "state": "ready"} for row in rows]
    return reply({"results": results}, status=201)


def test_many_tasks_go_in_requests_of_a_thousand_and_come_back_in_order() -> None:
    clock = ManualClock()
    tasks = (calls.new_task("k", number) for number in range(2500))
    drive = Drive(session(clock).enqueue_many(tasks, partial=False), answer_enqueues, clock)
    numbers = [int(row.id[-12:]) for row in drive.result]
    assert numbers == list(range(2500))
    requests = [effect.request for effect in drive.effects if isinstance(effect, Send)]
    assert [len(msgspec.json.decode(request.body or b"")) for request in requests] == [1000, 1000, 500]
    assert len({request.headers["idempotency-key"] for request in requests}) == 3


def test_many_tasks_are_read_only_as_they_are_sent() -> None:
    clock, made = ManualClock(), []

    def tasks() -> Iterator[wire.NewTask]:
        for number in range(3000):
            made.append(number)
            yield calls.new_task("k", number)

    seen: list[int] = []

    def answer(effect: Effect) -> Reply:
        seen.append(len(made))
        return answer_enqueues(effect)

    Drive(session(clock).enqueue_many(tasks(), partial=False), answer, clock)
    assert seen[0] <= 1001


def test_a_chunk_sent_again_has_its_own_key_again() -> None:
    clock = ManualClock()
    lost = [Lost(sent=True, reason="cut")]
    keys: list[str] = []

    def answer(effect: Effect) -> Reply | Lost:
        assert isinstance(effect, Send)
        keys.append(effect.request.headers["idempotency-key"])
        return lost.pop() if len(keys) == 2 else answer_enqueues(effect)

    tasks = [calls.new_task("k", number) for number in range(1500)]
    drive = Drive(session(clock).enqueue_many(tasks, partial=False), answer, clock)
    assert len(drive.result) == 1500
    assert keys[0] != keys[1] == keys[2]


def test_tasks_that_name_each_other_go_in_one_request_however_many_they_are() -> None:
    clock = ManualClock()
    keys: list[str] = []

    def answer(effect: Effect) -> Reply:
        assert isinstance(effect, Send)
        keys.append(effect.request.headers["idempotency-key"])
        return answer_enqueues(effect)

    tasks = [calls.new_task("k", number, ref=f"r{number}") for number in range(2500)]
    assert len(Drive(session(clock).enqueue_together(tasks, key="mine"), answer, clock).result) == 2500
    assert len(Drive(session(clock).enqueue_together(iter(tasks), key=None), answer, clock).result) == 2500
    assert len(keys) == 2
    assert keys[0] == "mine" != keys[1]
    assert Drive(session(clock).enqueue_together([], key=None), answer, clock).result == []


def test_tasks_with_a_ref_are_not_torn_apart() -> None:
    clock = ManualClock()
    program = session(clock).enqueue_many([calls.new_task("k", ref="a")], partial=False)
    with pytest.raises(ValueError, match="use enqueue_together"):
        Drive(program, answer_enqueues, clock)


def test_a_refused_chunk_tells_what_was_made_before_and_which_task_it_was() -> None:
    clock = ManualClock()

    def answer(effect: Effect) -> Reply:
        assert isinstance(effect, Send)
        if b'"payload":1003,' in (effect.request.body or b""):
            return problem(422, "invalid_field", field="[3].priority")
        return answer_enqueues(effect)

    tasks = [calls.new_task("k", number, priority=1) for number in range(1500)]
    with pytest.raises(errors.InvalidField) as caught:
        Drive(session(clock).enqueue_many(tasks, partial=False), answer, clock)
    assert len(caught.value.enqueued) == 1000
    assert caught.value.field == "[1003].priority"


def test_partial_asks_for_each_task_on_its_own() -> None:
    clock = ManualClock()
    refused = {"error": msgspec.json.decode(problem(422, "invalid_field").body)}
    script = Script(reply({"results": [{"id": IDS[0], "state": "ready"}, refused]}, status=201))
    tasks = [calls.new_task("k"), calls.new_task("k", priority=999)]
    drive = Drive(session(clock).enqueue_many(tasks, partial=True), script, clock)
    assert script.urls == ["http://node:7333/v1/tasks?partial=true"]
    assert drive.result[1].error.code == "invalid_field"


def test_no_tasks_need_no_request() -> None:
    clock, script = ManualClock(), Script(reply({}))
    assert Drive(session(clock).enqueue_many([], partial=False), script, clock).result == []
    assert Drive(session(clock).outcomes([]), script, clock).result == []
    assert script.requests == []


def test_something_else_than_a_task_is_refused_before_it_is_sent() -> None:
    wrong: Any = [{"kind": "k"}]
    with pytest.raises(TypeError, match=re.escape("tq.new_task(...)")):
        Drive(session(ManualClock()).enqueue_many(wrong, partial=False), Script(None), ManualClock())


def test_outcomes_come_back_in_order_over_several_requests() -> None:
    clock = ManualClock()

    def answer(effect: Effect) -> Reply:
        assert isinstance(effect, Send)
        rows = msgspec.json.decode(effect.request.body or b"")["outcomes"]
        return reply({"results": [{"id": row["id"], "state": "succeeded"} for row in rows]})

    outcomes: list[wire.Outcome] = [wire.CompleteOutcome(id=str(n), token="t") for n in range(1200)]
    drive = Drive(session(clock).outcomes(outcomes), answer, clock)
    assert [row.id for row in drive.result] == [str(n) for n in range(1200)]
    assert len(drive.effects) == 2


def pages(*sizes: int) -> Script:
    """Pages of these sizes, each but the last with a cursor."""
    rows = iter(IDS)
    answers = []
    for number, size in enumerate(sizes):
        page: dict[str, Any] = {"tasks": [task_row(next(rows)) for _ in range(size)]}
        if number < len(sizes) - 1:
            page["next_cursor"] = f"c{number}"
        answers.append(reply(page))
    return Script(*answers)


def test_a_list_goes_on_through_short_and_empty_pages() -> None:
    clock, script = ManualClock(), pages(2, 0, 1)
    drive = Drive(session(clock).list_tasks({"queue": "q"}, limit=None), script, clock)
    assert [task.id for task in drive.items] == IDS[:3]
    assert script.urls == [
        "http://node:7333/v1/tasks?queue=q&limit=500",
        "http://node:7333/v1/tasks?queue=q&limit=500&cursor=c0",
        "http://node:7333/v1/tasks?queue=q&limit=500&cursor=c1",
    ]


def test_a_list_ends_at_its_limit() -> None:
    clock, script = ManualClock(), pages(3, 3, 3)
    drive = Drive(session(clock).list_tasks({}, limit=4), script, clock)
    assert [task.id for task in drive.items] == IDS[:4]
    assert len(script.requests) == 2
    assert Drive(session(clock).list_tasks({}, limit=0), script, clock).items == []


def test_a_list_with_payloads_asks_for_small_pages() -> None:
    clock, script = ManualClock(), pages(1)
    Drive(session(clock).list_tasks({"payload": True}, limit=None), script, clock)
    assert script.urls == ["http://node:7333/v1/tasks?payload=true&limit=50"]


def test_a_node_that_takes_fewer_tasks_at_a_time_gets_fewer() -> None:
    clock, sizes = ManualClock(), []

    def answer(effect: Effect) -> Reply:
        assert isinstance(effect, Send)
        rows = len(msgspec.json.decode(effect.request.body or b""))
        sizes.append(rows)
        if rows > 400:
            return problem(422, "batch_too_large", limit=400)
        return answer_enqueues(effect)

    tasks = [calls.new_task("k", number) for number in range(2100)]
    one = session(clock)
    drive = Drive(one.enqueue_many(tasks, partial=False), answer, clock)
    assert [int(row.id[-12:]) for row in drive.result] == list(range(2100))
    assert sizes == [1000, 400, 400, 200, 400, 400, 200, 100]
    sizes.clear()
    Drive(one.enqueue_many(tasks[:500], partial=False), answer, clock)
    assert sizes == [400, 100]


def test_a_node_that_takes_fewer_bytes_at_a_time_gets_fewer() -> None:
    clock = ManualClock()

    def answer(effect: Effect) -> Reply:
        assert isinstance(effect, Send)
        if len(effect.request.body or b"") > 1024:
            return problem(413, "body_too_large", limit=1024)
        return answer_enqueues(effect)

    tasks = [calls.new_task("k", number) for number in range(300)]
    drive = Drive(session(clock).enqueue_many(tasks, partial=False), answer, clock)
    assert [int(row.id[-12:]) for row in drive.result] == list(range(300))
    large = [calls.new_task("k", "x" * 2000)]
    with pytest.raises(errors.BodyTooLarge):
        Drive(session(clock).enqueue_many(large, partial=False), answer, clock)


@pytest.mark.parametrize("limit", [None, 0, "many", 5000])
def test_a_limit_that_makes_no_sense_ends_the_call(limit: Any) -> None:
    clock, script = ManualClock(), Script(problem(422, "batch_too_large", limit=limit))
    tasks = [calls.new_task("k", number) for number in range(10)]
    with pytest.raises(errors.BatchTooLarge):
        Drive(session(clock).enqueue_many(tasks, partial=False), script, clock)
    assert len(script.requests) == 1


def test_a_node_that_makes_small_pages_is_asked_for_small_pages() -> None:
    clock = ManualClock()
    refused = problem(422, "invalid_field", field="limit", limit=10)
    script = Script(refused, reply({"tasks": [task_row(IDS[0])], "next_cursor": "c"}), reply({"tasks": []}))
    drive = Drive(session(clock).list_tasks({}, limit=None), script, clock)
    assert len(drive.items) == 1
    assert [url.partition("?")[2] for url in script.urls] == ["limit=500", "limit=10", "limit=10&cursor=c"]
    with pytest.raises(errors.InvalidField):
        Drive(session(clock).list_tasks({}, limit=None), Script(refused), clock)


def test_an_error_in_a_tasks_place_says_its_place_in_the_whole_list() -> None:
    clock = ManualClock()
    refused = {"error": msgspec.json.decode(problem(422, "invalid_field", field="[0].kind").body)}
    made = reply({"results": [{"id": IDS[0], "state": "ready"}] * 1000}, status=201)
    script = Script(made, reply({"results": [refused]}, status=201))
    tasks = [calls.new_task("k") for _ in range(1001)]
    drive = Drive(session(clock).enqueue_many(tasks, partial=True), script, clock)
    assert drive.result[1000].error.field == "[1000].kind"
