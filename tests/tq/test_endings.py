"""Waiting for ends, and following logs: the programs that both clients run."""

import pickle
from typing import Any

import pytest

from tests.tq.driving import Drive, ManualClock, Script, problem, reply, session, task_row
from tq import errors
from tq.effects import Effect, Lost, Reply, Send

IDS = [f"018f0000-0000-7000-8000-{number:012d}" for number in range(20)]


class Tasks:
    """A node whose tasks become final at given times."""

    def __init__(self, clock: ManualClock, final_at: dict[str, float]) -> None:
        self.clock = clock
        self.final_at = final_at
        self.gets: list[str] = []

    def __call__(self, effect: Effect) -> Reply:
        assert isinstance(effect, Send)
        task_id = effect.request.url.rpartition("/")[2].partition("?")[0]
        self.gets.append(task_id)
        final = self.clock.now >= self.final_at[task_id]
        return reply(task_row(task_id, state="dead" if final else "running"))


def test_waiting_answers_all_tasks_in_the_order_asked_for() -> None:
    clock = ManualClock()
    node = Tasks(clock, {IDS[0]: clock.now + 30, IDS[1]: clock.now, IDS[2]: clock.now + 10})
    drive = Drive(session(clock).wait(IDS[:3], timeout_s=None), node, clock)
    assert [task.id for task in drive.result] == IDS[:3]
    assert {task.state for task in drive.result} == {"dead"}
    assert clock.now < 1000 + 32
    # The later ones are looked at once each, when all before them are final.
    assert node.gets[-2:] == [IDS[1], IDS[2]]
    assert node.gets.count(IDS[0]) < 50


def test_waiting_too_long_names_the_unfinished() -> None:
    clock = ManualClock()
    node = Tasks(
        clock, {IDS[0]: clock.now, IDS[1]: clock.now + 60, IDS[2]: clock.now, IDS[3]: clock.now + 9e9}
    )
    with pytest.raises(errors.WaitTimeout) as caught:
        Drive(session(clock).wait(IDS[:4], timeout_s=5.0), node, clock)
    assert caught.value.unfinished == [IDS[1], IDS[3]]
    assert clock.now == pytest.approx(1005.0)


def test_a_batch_is_waited_for_until_nothing_of_it_is_pending() -> None:
    clock = ManualClock()
    waits: list[str] = []

    def node(effect: Effect) -> Reply:
        assert isinstance(effect, Send)
        waits.append(effect.request.url.partition("?")[2])
        # It finishes, has a member retried, and ends again; the node holds no answer back.
        age = clock.now - 1000
        state = "running" if age < 3 else "finished"
        return reply(batch_row(state=state, pending=0 if age >= 6 else 1))

    found = Drive(session(clock).wait_batch(IDS[0], timeout_s=None), node, clock).result
    assert (found.state, found.pending) == ("finished", 0)
    assert 1006 <= clock.now < 1010
    assert waits[:2] == ["", "wait_s=30"]
    assert len(waits) < 50
    clock = ManualClock()
    with pytest.raises(errors.WaitTimeout, match="batch"):
        Drive(session(clock).wait_batch(IDS[0], timeout_s=2.0), node, clock)
    assert clock.now == pytest.approx(1002.0)


def batch_row(**fields: Any) -> dict[str, Any]:
    counts = {"total": 1, "succeeded": 0, "dead": 0, "cancelled": 0}
    return {"id": IDS[0], "created_at": "2026-01-31T12:00:00.000Z", **counts, **fields}


def test_waiting_for_no_time_looks_once() -> None:
    clock = ManualClock()
    node = Tasks(clock, {IDS[0]: clock.now, IDS[1]: clock.now})
    assert len(Drive(session(clock).wait(IDS[:2], timeout_s=0), node, clock).result) == 2
    node = Tasks(clock, {IDS[0]: clock.now + 1})
    with pytest.raises(errors.WaitTimeout):
        Drive(session(clock).wait(IDS[:1], timeout_s=0), node, clock)
    assert clock.now == 1000.0


def test_waiting_for_a_task_that_does_not_exist_says_so() -> None:
    clock = ManualClock()
    with pytest.raises(errors.TaskNotFound):
        Drive(session(clock).wait(IDS[:1], timeout_s=5), Script(problem(404, "task_not_found")), clock)


class Holding(Tasks):
    """One that holds its answers back until then, as far as it is asked to."""

    def __call__(self, effect: Effect) -> Reply:
        assert isinstance(effect, Send)
        path, _, query = effect.request.url.partition("?")
        wait_s = float(query.removeprefix("wait_s=") or 0)
        assert wait_s <= 30
        left_s = self.final_at[path.rpartition("/")[2]] - self.clock.now
        self.clock.now += min(wait_s, max(0.0, left_s))
        return super().__call__(effect)


def test_a_node_that_holds_its_answers_back_is_asked_only_when_they_are_due() -> None:
    clock = ManualClock()
    node = Holding(clock, {IDS[0]: clock.now + 70, IDS[1]: clock.now + 75})
    drive = Drive(session(clock).wait(IDS[:2], timeout_s=90), node, clock)
    assert [task.state for task in drive.result] == ["dead", "dead"]
    assert node.gets == [IDS[0]] * 4 + [IDS[1]]
    assert (drive.pauses, clock.now) == ([], 1075.0)


def test_a_wait_goes_on_through_a_restart_of_the_node_but_not_before_it_was_heard() -> None:
    clock = ManualClock()
    node = Holding(clock, {IDS[0]: clock.now + 100})
    down = (clock.now + 20, clock.now + 60)

    def answer(effect: Effect) -> Reply | Lost:
        asked_at = clock.now
        if down[0] <= asked_at < down[1]:
            return Lost(sent=False, reason="refused")
        answered = node(effect)
        if asked_at < down[0] < clock.now:
            clock.now = down[0]
            return Lost(sent=True, reason="cut off")
        return answered

    drive = Drive(session(clock).wait(IDS[:1], timeout_s=None), answer, clock)
    assert drive.result[0].state == "dead"
    assert clock.now == pytest.approx(1100.0)
    down = (clock.now, clock.now + 60)
    with pytest.raises(errors.TqUnavailable):
        Drive(session(clock).wait(IDS[:1], timeout_s=None), answer, clock)


def test_a_node_that_holds_answers_back_for_less_long_is_asked_for_less() -> None:
    clock = ManualClock()
    node = Holding(clock, {IDS[0]: clock.now + 25})

    def answer(effect: Effect) -> Reply:
        assert isinstance(effect, Send)
        if float(effect.request.url.partition("wait_s=")[2] or 0) > 10:
            return problem(422, "invalid_field", field="wait_s", limit=10)
        return node(effect)

    drive = Drive(session(clock).wait(IDS[:1], timeout_s=None), answer, clock)
    assert drive.result[0].state == "dead"
    assert len(node.gets) == 4


@pytest.mark.parametrize(
    ("fields", "kind", "words"),
    [
        ({"state": "dead", "reason": "attempts_exhausted"}, errors.TaskDead, "is dead (attempts_exhausted)"),
        ({"state": "cancelled", "reason": "requested"}, errors.TaskCancelled, "is cancelled (requested)"),
        (
            {"state": "succeeded", "result_expired": True, "result_ttl_s": 5.0},
            errors.ResultExpired,
            "succeeded; its result was kept for a time only, which is over",
        ),
    ],
)
def test_a_task_without_a_result_is_an_error_that_holds_the_task(
    fields: dict[str, Any], kind: type[errors.NoResult], words: str
) -> None:
    clock = ManualClock()
    script = Script(reply(task_row(IDS[0]) | fields))
    with pytest.raises(kind) as caught:
        Drive(session(clock).result(IDS[0], timeout_s=5), script, clock)
    assert str(caught.value) == f"task {IDS[0]} {words}"
    assert (caught.value.ended.id, caught.value.task) == (IDS[0], IDS[0])
    assert pickle.loads(pickle.dumps(caught.value)).ended.id == IDS[0]


def test_a_log_that_is_followed_is_read_to_its_end_page_by_page() -> None:
    clock = ManualClock()

    def page(*numbers: int, **fields: Any) -> Reply:
        lines = [
            {"number": n, "attempt": 1, "at": "2026-01-01T00:00:00.000Z", "level": "info", "text": str(n)}
            for n in numbers
        ]
        cursor = str(numbers[-1] if numbers else 3)
        return reply({"lines": lines, "next_cursor": cursor, **fields})

    script = Script(page(1, 2), page(3), page(), page(4, ended=True))
    drive = Drive(session(clock).lines(IDS[0], after=None, follow=True), script, clock)
    assert [line.text for line in drive.items] == ["1", "2", "3", "4"]
    base = f"http://node:7333/v1/tasks/{IDS[0]}/logs"
    assert script.urls == [base, *(f"{base}?after={number}&wait_s=30" for number in (2, 3, 3))]
    script = Script(page(1, 2), page())
    drive = Drive(session(clock).lines(IDS[0], after=None, follow=False), script, clock)
    assert len(drive.items) == 2
