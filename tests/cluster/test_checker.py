"""The checker of cluster histories sees each kind of broken promise, and none in an honest history."""

import dataclasses
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from tests.cluster.checker import (
    ReclaimBound,
    acknowledged_without_majority,
    judge,
    lost_by_part,
)
from tests.cluster.records import MAJORITY, FaultRecord, Op, Outcome, What
from tests.e2e.history import Left

BOUND = ReclaimBound(ttl_s=2.0, election_s=4.0, sweep_s=1.0)
FREE_S = 1.0 + BOUND.ttl_s + 2 * BOUND.election_s + BOUND.sweep_s
"""How long a task with a lease of one second may stay with a dead worker, with at most two elections."""


def op(what: What, at: float, outcome: Outcome = "ok", *, lasts: float = 0.01, **facts: Any) -> Op:
    known: dict[str, object] = {
        "client": "c",
        "what": what,
        "invoked": at,
        "returned": at + lasts,
        "outcome": outcome,
    }
    return msgspec.convert(known | facts, Op)


def enqueue(tag: str, at: float, task: str = "", outcome: Outcome = "ok", **facts: Any) -> Op:
    return op("enqueue", at, outcome, tag=tag, task=task, keyed=True, **facts)


def claim(task: str, number: int, at: float, **facts: Any) -> Op:
    known: dict[str, object] = {"task": task, "token": f"{number}-aa", "attempt": number, "lease_s": 1.0}
    return msgspec.structs.replace(op("claim", at), **(known | facts))


def finish(task: str, number: int, what: What, at: float, outcome: Outcome = "ok", **facts: Any) -> Op:
    return op(what, at, outcome, task=task, token=f"{number}-aa", **facts)


def fault(began: float) -> FaultRecord:
    return FaultRecord(kind="kill both", victims=["a"], leader="a", began=began, ended=began + 5)


def done(task: str, tag: str, number: int) -> Left:
    return Left(task, tag, "succeeded", None, f"{number}-aa")


@dataclasses.dataclass
class Case:
    """A run: what was asked, what was done to the cluster, what is left."""

    ops: list[Op]
    left: list[Left]
    faults: list[FaultRecord] = dataclasses.field(default_factory=list)

    def found(self) -> list[str]:
        return judge(sorted(self.ops, key=lambda op: op.invoked), self.left, self.faults, BOUND)


def honest() -> Case:
    """Retries over a change of leader, a dead worker, a late one, refusals, requests without answers."""
    ops = [
        enqueue("t1", 0.0, outcome="info"),
        enqueue("t1", 0.5, outcome="fail", code="no_leader"),
        enqueue("t1", 3.0, "a"),
        enqueue("t2", 0.1, "b"),
        enqueue("t3", 0.2, outcome="fail", code="no_leader"),
        enqueue("t4", 0.3, outcome="info"),
        enqueue("t5", 0.3, outcome="info"),
        op("claim", 0.4, "info"),
        claim("a", 1, 4.0),
        finish("a", 1, "heartbeat", 4.5),
        finish("a", 1, "snooze", 4.6, "info"),
        claim("a", 2, 5.0),
        finish("a", 2, "complete", 5.1, "fail", code="no_leader"),
        finish("a", 2, "complete", 5.2, "info"),
        finish("a", 2, "complete", 5.3, state="succeeded"),
        finish("a", 2, "complete", 5.4, state="succeeded"),
        finish("a", 1, "complete", 5.5, "refused", code="lease_lost"),
        claim("b", 1, 1.0, abandoned=True),
        claim("b", 2, 1.0 + FREE_S - 0.1),
        finish("b", 2, "bury", 1.0 + FREE_S, state="dead"),
        claim("d", 1, 6.0),
        finish("d", 1, "complete", 6.2, "info"),
    ]
    left = [done("a", "t1", 2), Left("b", "t2", "dead", "failed_for_good", None), done("d", "t4", 1)]
    return Case(ops, left, [fault(2.0)])


def acknowledged_and_gone(case: Case) -> None:
    case.left = [one for one in case.left if one.task != "a"]


def refused_and_there(case: Case) -> None:
    case.left.append(done("x", "t3", 1))


def refused_finish_done(case: Case) -> None:
    """The only completions of d were refused for want of a leader; it has succeeded all the same."""
    case.ops = [one for one in case.ops if (one.task, one.what) != ("d", "complete")]
    case.ops.append(finish("d", 1, "complete", 6.2, "fail", code="no_leader"))


def made_twice(case: Case) -> None:
    case.left.append(done("x", "t1", 1))


def answered_with_two_tasks(case: Case) -> None:
    case.ops.append(enqueue("t2", 9.0, "x"))


def finished_under_two_tokens(case: Case) -> None:
    case.ops.append(finish("a", 1, "complete", 5.6, state="succeeded"))


def different_answers_to_one_token(case: Case) -> None:
    case.ops.append(finish("a", 2, "bury", 5.6, state="dead"))


def given_out_after_its_end(case: Case) -> None:
    case.ops.append(claim("a", 3, 8.0))


def end_undone(case: Case) -> None:
    case.left[0] = dataclasses.replace(case.left[0], state="dead", reason="out_of_attempts")


def same_number_twice(case: Case) -> None:
    case.ops.append(claim("a", 2, 5.01, token="2-bb"))


def numbers_go_back(case: Case) -> None:
    case.ops.append(claim("d", 2, 5.0))


def old_token_obeyed(case: Case) -> None:
    case.ops.append(finish("b", 1, "heartbeat", 1.0 + FREE_S + 0.01))


def lease_cut_short(case: Case) -> None:
    case.ops = [one for one in case.ops if (one.task, one.token) != ("b", "2-aa")]
    case.ops += [claim("b", 2, 1.5), finish("b", 2, "bury", 1.6, state="dead")]


def heartbeat_forgotten(case: Case) -> None:
    """A lease of the old leader's that was extended runs out as if it had not been."""
    case.ops = [one for one in case.ops if (one.task, one.what) != ("a", "snooze")]
    case.ops.append(finish("a", 1, "heartbeat", 4.4))


def reclaimed_too_late(case: Case) -> None:
    case.ops = [one for one in case.ops if one.task != "b" or one.what == "enqueue"]
    case.ops += [claim("b", 1, 1.0, abandoned=True), claim("b", 2, 1.2 + FREE_S)]
    case.ops.append(finish("b", 2, "bury", 1.3 + FREE_S, state="dead"))
    case.faults = []


def never_reclaimed(case: Case) -> None:
    case.ops = [one for one in case.ops if (one.task, one.token) != ("b", "2-aa")]


def left_unfinished(case: Case) -> None:
    case.left[2] = Left("d", "t4", "running", None, None)


BREACHES: list[tuple[Callable[[Case], None], str]] = [
    (acknowledged_and_gone, "nothing_is_lost"),
    (refused_and_there, "refused_enqueue_appears"),
    (refused_finish_done, "every_end_was_asked_for"),
    (made_twice, "nothing_is_made_up"),
    (answered_with_two_tasks, "nothing_is_made_up"),
    (finished_under_two_tokens, "no_task_ends_twice"),
    (different_answers_to_one_token, "no_task_ends_twice"),
    (given_out_after_its_end, "no_end_is_undone"),
    (end_undone, "no_end_is_undone"),
    (same_number_twice, "tokens_increase"),
    (numbers_go_back, "tokens_increase"),
    (old_token_obeyed, "no_old_token_is_obeyed"),
    (lease_cut_short, "no_lease_is_cut_short"),
    (heartbeat_forgotten, "no_lease_is_cut_short"),
    (reclaimed_too_late, "late_reclaim"),
    (never_reclaimed, "late_reclaim"),
    (left_unfinished, "unfinished"),
]


def test_an_honest_history_has_no_violation() -> None:
    assert honest().found() == []


@pytest.mark.parametrize(("breach", "named"), BREACHES, ids=lambda value: getattr(value, "__name__", ""))
def test_each_breach_is_found_and_called_by_its_name(breach: Callable[[Case], None], named: str) -> None:
    case = honest()
    breach(case)
    found = case.found()
    assert named in {violation.partition(":")[0] for violation in found}, found


def test_a_fault_meanwhile_gives_a_dead_workers_task_more_time() -> None:
    case = honest()
    reclaimed_too_late(case)
    case.faults = [fault(1.5)]
    assert case.found() == []


@pytest.mark.parametrize(("ended", "late"), [(1.1, True), (1.5, False)])
def test_time_without_a_majority_does_not_count_for_a_dead_workers_task(ended: float, late: bool) -> None:
    case = honest()
    reclaimed_too_late(case)
    kind = f"{MAJORITY}killed"
    case.faults = [FaultRecord(kind=kind, victims=["a", "b"], leader="a", began=0.5, ended=ended)]
    assert bool(case.found()) is late


def test_a_write_without_a_majority_is_found_and_one_begun_before_is_not() -> None:
    ops = [
        enqueue("before", 0.9, "a", lasts=0.2),
        enqueue("refused", 1.5, outcome="fail"),
        enqueue("unknown", 1.6, outcome="info"),
        finish("a", 1, "heartbeat", 1.7),
        enqueue("afterwards", 1.9, "b", lasts=1.5),
    ]
    assert acknowledged_without_majority(ops, began=1.0, ended=3.0) == []
    ops.append(finish("a", 1, "complete", 2.0, state="succeeded"))
    (found,) = acknowledged_without_majority(ops, began=1.0, ended=3.0)
    assert found.startswith("complete a by c")


def test_losses_are_counted_by_the_third_of_the_run() -> None:
    ops = [enqueue(f"t{number}", float(number), f"task{number}") for number in range(9)]
    left = [done(f"task{number}", f"t{number}", 1) for number in (0, 1, 2, 4, 6)]
    assert lost_by_part(ops, left) == {"prefix": 0, "middle": 2, "suffix": 2}
