"""Judges a recorded history of a cluster: in the style of Jepsen's total-queue, and what a lease promises.

Pure: ops and what is left at the end go in, violations come out. What a single node owes as well (no loss,
no second end, tokens that increase) is judged by :mod:`tests.e2e.history`; here is what a cluster adds.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tests.cluster.records import MAJORITY, FaultRecord, Op
from tests.e2e.history import Enqueue, Grant, History, Left, Said, number_of, violations

WRITES = ("enqueue", "claim", "complete", "fail", "bury", "snooze")
FINISHES = ("complete", "fail", "bury", "snooze")


@dataclass(frozen=True, slots=True, kw_only=True)
class ReclaimBound:
    """How long a dead worker's task may stay with it, once its lease has run out.

    Args:
        ttl_s: of the leader's lease.
        election_s: the longest an election may take.
        sweep_s: how often the leader looks for leases that have run out, and what a loaded machine adds.
    """

    ttl_s: float
    election_s: float
    sweep_s: float


def judge(
    ops: Sequence[Op], left: Iterable[Left], faults: Sequence[FaultRecord], bound: ReclaimBound
) -> list[str]:
    """Every way in which the cluster broke its word; empty if it kept it.

    Args:
        ops: all that was asked, in the order it was.
        left: all tasks after the faults have ended and the queues were drained.
        faults: what was done meanwhile.
        bound: for dead workers' tasks.
    """
    tasks = list(left)
    return [
        *violations(told(ops), tasks),
        *(f"refused_enqueue_appears: {what}" for what in refused_enqueues_that_appear(ops, tasks)),
        *(f"unfinished: {what}" for what in unfinished(tasks)),
        *(f"late_reclaim: {what}" for what in late_reclaims(ops, faults, bound)),
    ]


def told(ops: Iterable[Op]) -> History:
    """The history as one node's checker wants it. What was certainly not done, is not in it as asked for.

    Lease times are counted from before the claim was sent, on the clients' clock: whatever the nodes' clocks
    say, and however often the leader changes, a holder has at least that long.
    """
    history = History()
    leases = {(op.task, op.token): op.lease_s for op in ops if op.what == "claim"}
    for op in ops:
        if op.what == "enqueue":
            if op.outcome != "fail":
                history.enqueues.append(Enqueue(op.tag, op.keyed, op.task or None))
        elif op.what == "claim":
            if op.outcome == "ok":
                history.grants.append(
                    Grant(
                        task=op.task,
                        token=op.token,
                        attempt=op.attempt,
                        invoked=op.invoked,
                        returned=op.returned,
                        returned_ms=round(op.returned * 1000),
                        lease_expires_ms=round((op.invoked + op.lease_s) * 1000),
                    )
                )
        else:
            outcome = {"ok": "ok", "info": "unknown"}.get(op.outcome, "refused")
            history.said.append(
                Said(
                    task=op.task,
                    token=op.token,
                    what=op.what,
                    outcome=outcome,  # type: ignore[arg-type]  # one of the three by the line above
                    invoked=op.invoked,
                    returned=op.returned,
                    state=op.state or None,
                    lease_expires_ms=round((op.invoked + leases.get((op.task, op.token), 0)) * 1000),
                )
            )
    return history


def refused_enqueues_that_appear(ops: Iterable[Op], left: Iterable[Left]) -> Iterable[str]:
    """C1: what every answer called not done, is not there."""
    outcomes: dict[str, set[str]] = defaultdict(set)
    for op in ops:
        if op.what == "enqueue":
            outcomes[op.tag].add(op.outcome)
    for task in left:
        if outcomes.get(task.tag) == {"fail"}:
            yield f"{task.tag} was refused each time and is there as task {task.task}"


def unfinished(left: Iterable[Left]) -> Iterable[str]:
    """C1: after the drain each task has come to an end."""
    for task in left:
        if task.state not in ("succeeded", "dead", "cancelled"):
            yield f"task {task.task} ({task.tag}) is {task.state} after the drain"


def late_reclaims(ops: Iterable[Op], faults: Sequence[FaultRecord], bound: ReclaimBound) -> Iterable[str]:
    """C7: a task whose worker died is given out again in time, with a majority that is whole.

    A new leader gives each lease its full time again: each fault that began meanwhile may add that, and an
    election. Time without a majority does not count.
    """
    without = [fault for fault in faults if fault.kind.startswith(MAJORITY)]
    grants: dict[str, list[Op]] = defaultdict(list)
    for op in ops:
        if op.what == "claim" and op.outcome == "ok":
            grants[op.task].append(op)
    for task, got in grants.items():
        got.sort(key=lambda op: number_of(op.token))
        for place, op in enumerate(got):
            if not op.abandoned:
                continue
            later = got[place + 1] if place + 1 < len(got) else None
            if later is None:
                yield f"task {task} was abandoned as {op.token} and never given out again"
                continue
            meanwhile = sum(op.invoked <= fault.began <= later.returned for fault in faults)
            allowed = op.lease_s * (1 + meanwhile) + bound.ttl_s + bound.sweep_s
            allowed += bound.election_s * max(2, meanwhile)
            took = later.returned - op.returned
            took -= sum(
                max(0.0, min(later.returned, fault.ended) - max(op.returned, fault.began))
                for fault in without
            )
            if took > allowed:
                yield f"task {task}, abandoned as {op.token}, was free after {took:.1f} s of {allowed:.1f}"


def acknowledged_without_majority(ops: Iterable[Op], *, began: float, ended: float) -> list[str]:
    """Writes that were begun and acknowledged while no majority was there to hold them.

    Args:
        began, ended: from when, until when; monotonic seconds.
    """
    return [
        f"{op.what} {op.tag or op.task} by {op.client}, {op.returned - began:.2f} s after the majority went"
        for op in ops
        if op.outcome == "ok" and op.what in WRITES and op.invoked > began and op.returned < ended
    ]


def lost_by_part(ops: Iterable[Op], left: Iterable[Left]) -> dict[str, int]:
    """How many acknowledged tasks are gone, by the third of the run in which they were acknowledged.

    A lost suffix is an acknowledgement before its time; a lost prefix, a snapshot that lacked it; a lost
    middle, a leader that wrote beside another.
    """
    there = {task.task for task in left}
    acked = sorted((op.returned, op.task) for op in ops if op.what == "enqueue" and op.outcome == "ok")
    lost = {"prefix": 0, "middle": 0, "suffix": 0}
    for place, (_, task) in enumerate(acked):
        if task not in there:
            lost[list(lost)[3 * place // len(acked)]] += 1
    return lost
