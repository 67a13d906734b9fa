"""The checker of histories sees each kind of broken promise: a checker that can't fail proves nothing."""

import dataclasses
from collections.abc import Callable

import pytest

from tests.e2e.history import Enqueue, Grant, History, Left, Said, out_of_order, violations

LEASE_MS = 1_000


def grant(task: str, number: int, at: float) -> Grant:
    return Grant(
        task=task,
        token=f"{number}-aa",
        attempt=number,
        invoked=at,
        returned=at + 0.01,
        returned_ms=round(at * 1000) + 10,
        lease_expires_ms=round(at * 1000) + LEASE_MS,
    )


def said(task: str, number: int, what: str, outcome: str, at: float, state: str | None = None) -> Said:
    return Said(
        task=task,
        token=f"{number}-aa",
        what=what,  # type: ignore[arg-type]  # written out by the tests below
        outcome=outcome,  # type: ignore[arg-type]  # as above
        invoked=at,
        returned=at + 0.01,
        state=state,
        lease_expires_ms=round(at * 1000) + LEASE_MS if what == "heartbeat" else 0,
    )


def honest() -> tuple[History, list[Left]]:
    """A task that is retried, snoozed, lost and completed; one that is buried; two never answered."""
    history = History(
        enqueues=[
            Enqueue("t1", True, None),
            Enqueue("t1", True, "a"),
            Enqueue("t2", False, "b"),
            Enqueue("t3", False, None),
            Enqueue("t4", False, None),
        ],
        grants=[grant("a", 1, 1.0), grant("a", 2, 2.0), grant("a", 3, 3.6), grant("b", 1, 1.0)],
        said=[
            said("a", 1, "snooze", "unknown", 1.2),
            said("a", 2, "heartbeat", "ok", 2.5),
            said("a", 3, "complete", "unknown", 3.7),
            said("a", 3, "complete", "ok", 3.9, "succeeded"),
            said("a", 3, "complete", "ok", 4.0, "succeeded"),
            said("a", 2, "complete", "refused", 4.1),
            said("b", 1, "bury", "ok", 1.5, "dead"),
        ],
    )
    left = [
        Left("a", "t1", "succeeded", None, "3-aa"),
        Left("b", "t2", "dead", "failed_for_good", None),
        Left("c", "t3", "ready", None, None),
    ]
    return history, left


Planted = Callable[[History, list[Left]], None]


def lose_an_acknowledged_task(history: History, left: list[Left]) -> None:
    history.enqueues.append(Enqueue("t5", True, "e"))


def swap_the_content_of_two_tasks(history: History, left: list[Left]) -> None:
    left[0] = dataclasses.replace(left[0], tag="t2")
    left[1] = dataclasses.replace(left[1], tag="t1")


def make_a_task_up(history: History, left: list[Left]) -> None:
    left.append(Left("x", "nobody's", "ready", None, None))


def double_a_task_by_its_retry(history: History, left: list[Left]) -> None:
    left.append(Left("x", "t1", "ready", None, None))


def double_a_task_that_was_sent_once(history: History, left: list[Left]) -> None:
    left.append(Left("x", "t3", "ready", None, None))


def answer_a_retry_with_another_task(history: History, left: list[Left]) -> None:
    history.enqueues.append(Enqueue("t1", True, "b"))


def let_two_tokens_finish(history: History, left: list[Left]) -> None:
    history.said.append(said("a", 2, "complete", "ok", 3.0, "succeeded"))


def answer_a_repeated_finish_differently(history: History, left: list[Left]) -> None:
    history.said.append(said("a", 3, "complete", "ok", 4.2, "dead"))


def undo_a_finish(history: History, left: list[Left]) -> None:
    left[0] = dataclasses.replace(left[0], state="ready", completed_by=None)


def lose_a_finished_task(history: History, left: list[Left]) -> None:
    history.enqueues = [one for one in history.enqueues if one.tag != "t2"]
    del left[1]


def keep_another_result(history: History, left: list[Left]) -> None:
    left[0] = dataclasses.replace(left[0], completed_by="2-aa")


def give_a_finished_task_out_again(history: History, left: list[Left]) -> None:
    history.grants.append(grant("a", 4, 9.0))


def succeed_without_being_completed(history: History, left: list[Left]) -> None:
    left[2] = dataclasses.replace(left[2], state="succeeded", completed_by="1-aa")


def fail_without_being_buried(history: History, left: list[Left]) -> None:
    left[2] = dataclasses.replace(left[2], state="dead", reason="failed_for_good")


def give_a_task_to_two_at_once(history: History, left: list[Left]) -> None:
    history.grants.append(dataclasses.replace(grant("b", 1, 1.1), token="1-bb"))


def let_a_token_s_number_fall(history: History, left: list[Left]) -> None:
    history.grants.append(grant("b", 0, 5.0))


def obey_an_old_token(history: History, left: list[Left]) -> None:
    history.said.append(said("a", 2, "heartbeat", "ok", 3.65))


def take_a_task_within_its_lease(history: History, left: list[Left]) -> None:
    history.grants[2] = grant("a", 3, 2.9)


def forget_a_heartbeat(history: History, left: list[Left]) -> None:
    history.said.append(said("a", 2, "heartbeat", "ok", 2.9))


PLANTED: dict[Planted, str] = {
    lose_an_acknowledged_task: "nothing_is_lost",
    swap_the_content_of_two_tasks: "nothing_is_lost",
    make_a_task_up: "nothing_is_made_up",
    double_a_task_by_its_retry: "nothing_is_made_up",
    double_a_task_that_was_sent_once: "nothing_is_made_up",
    answer_a_retry_with_another_task: "nothing_is_made_up",
    let_two_tokens_finish: "no_task_ends_twice",
    answer_a_repeated_finish_differently: "no_task_ends_twice",
    undo_a_finish: "no_end_is_undone",
    lose_a_finished_task: "no_end_is_undone",
    keep_another_result: "no_end_is_undone",
    give_a_finished_task_out_again: "no_end_is_undone",
    succeed_without_being_completed: "every_end_was_asked_for",
    fail_without_being_buried: "every_end_was_asked_for",
    give_a_task_to_two_at_once: "tokens_increase",
    let_a_token_s_number_fall: "tokens_increase",
    obey_an_old_token: "no_old_token_is_obeyed",
    take_a_task_within_its_lease: "no_lease_is_cut_short",
    forget_a_heartbeat: "no_lease_is_cut_short",
}


def test_an_honest_history_with_lost_answers_has_no_violation() -> None:
    assert violations(*honest()) == []


@pytest.mark.parametrize(
    ("plant", "caught_by"), PLANTED.items(), ids=lambda value: getattr(value, "__name__", value)
)
def test_a_planted_violation_is_caught_by_its_check(plant: Planted, caught_by: str) -> None:
    history, left = honest()
    plant(history, left)
    found = violations(history, left)
    assert any(what.startswith(caught_by) for what in found), found


def test_the_order_check_wants_higher_priorities_first_and_older_tasks_within() -> None:
    enqueued = [("a", 1), ("b", 5), ("c", 5), ("d", 9)]
    assert out_of_order(enqueued, ["d", "b", "c", "a"]) == []
    assert len(out_of_order(enqueued, ["d", "c", "b", "a"])) == 2
    assert out_of_order(enqueued, ["d", "b", "c"]) == ["4 tasks were enqueued, 3 given out"]
