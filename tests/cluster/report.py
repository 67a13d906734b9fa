"""The figures of a run: what was done to the cluster, what it acknowledged, and how long it did not."""

import json
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from tests.cluster.checker import WRITES, lost_by_part
from tests.cluster.records import FaultRecord, Op
from tests.e2e.history import Left

OUTAGE_S = 0.5
"""A pause between two acknowledged writes that is longer than this counts as unavailability."""


def percentiles(values: Iterable[float]) -> dict[str, float]:
    """Count, p50, p90, p99 and the largest; empty for none."""
    ranked = sorted(values)
    if not ranked:
        return {"count": 0}
    at = {
        f"p{share}": round(ranked[min(len(ranked) - 1, len(ranked) * share // 100)], 3)
        for share in (50, 90, 99)
    }
    return {"count": len(ranked), **at, "max": round(ranked[-1], 3)}


def outages(ops: Iterable[Op]) -> list[tuple[float, float]]:
    """From when to when no write was acknowledged, for longer than :data:`OUTAGE_S`."""
    acks = sorted(op.returned for op in ops if op.outcome == "ok" and op.what in WRITES)
    return [(before, after) for before, after in pairwise(acks) if after - before > OUTAGE_S]


def reelections(ops: Iterable[Op], faults: Iterable[FaultRecord]) -> list[float]:
    """Seconds from a fault that hit the leader to the first write that another node acknowledged.

    A fault during which the leader kept leading is none of them.
    """
    acks = sorted(
        (op.returned, op.node) for op in ops if op.outcome == "ok" and op.what in WRITES and op.node
    )
    times = [at for at, _ in acks]
    found = []
    for fault in faults:
        if fault.leader not in fault.victims:
            continue
        first = bisect_right(times, fault.began)
        if not first:
            continue
        led_by = acks[first - 1][1]
        for at, node in acks[first : bisect_right(times, fault.ended)]:
            if node != led_by:
                found.append(at - fault.began)
                break
    return found


@dataclass(slots=True, kw_only=True)
class Report:
    """All of a run.

    Args:
        seed: of its choices.
        nodes: how many there were.
        seconds: from the first request to the end of the clients.
        faults: how many, by kind; ``leader`` counts those that hit the leader.
        ops: how many, by what and outcome.
        acks: writes that were acknowledged.
        tasks: tasks that were there at the end.
        losses: acknowledged tasks that were not, by the third of the run.
        duplicates: tasks that were given out more than once.
        unknowns: requests whose outcome the client never learned from them, by the reason.
        outage_s: how long writes were not acknowledged, in percentiles of the pauses.
        unavailable_share: of the whole time.
        reelection_s: from a fault on the leader to the next acknowledged write elsewhere.
        wait_s: for the answer of acknowledged writes.
        recovery_s: from the beginning of a fault until all nodes counted, by kind.
        violations: each broken promise.
    """

    seed: str
    nodes: int
    seconds: float
    faults: dict[str, int]
    ops: dict[str, int]
    acks: int
    tasks: int
    losses: dict[str, int]
    duplicates: int
    unknowns: dict[str, int]
    outage_s: dict[str, float]
    unavailable_share: float
    reelection_s: dict[str, float]
    wait_s: dict[str, float]
    recovery_s: dict[str, dict[str, float]]
    violations: list[str] = field(default_factory=list)

    def write(self, file: Path) -> None:
        file.write_text(json.dumps(asdict(self), indent=1) + "\n")

    def lines(self) -> list[str]:
        """For people."""
        facts: dict[str, Any] = asdict(self)
        told = [
            f"{name:18} {value}" for name, value in facts.items() if name not in ("violations", "recovery_s")
        ]
        told += [f"{'recovery_s':18} {kind}: {figures}" for kind, figures in self.recovery_s.items()]
        return [*told, *self.violations[:50], f"{len(self.violations)} violations"]


def summed_up(
    ops: Sequence[Op],
    left: Sequence[Left],
    faults: Sequence[FaultRecord],
    *,
    seed: str,
    nodes: int,
    clients_ended: float,
    violations: list[str],
) -> Report:
    """The report of a run.

    Args:
        ops: all that was asked, in the order it was.
        left: all tasks at the end.
        faults: what was done meanwhile.
        seed: of the run.
        nodes: how many there were.
        clients_ended: after that only the drain wrote, which waits for leases.
        violations: what the checker found.
    """
    grants = Counter(op.task for op in ops if op.what == "claim" and op.outcome == "ok")
    acked = [op for op in ops if op.outcome == "ok" and op.what in WRITES]
    seconds = clients_ended - ops[0].invoked
    pauses = [after - before for before, after in outages(acked) if after < clients_ended]
    recovery: dict[str, list[float]] = defaultdict(list)
    kinds: Counter[str] = Counter()
    for fault in faults:
        recovery[fault.kind].append(fault.ended - fault.began)
        kinds[fault.kind] += 1
        kinds["leader"] += fault.leader in fault.victims
    return Report(
        seed=seed,
        nodes=nodes,
        seconds=round(seconds, 1),
        faults=dict(sorted(kinds.items())),
        ops=dict(sorted(Counter(f"{op.what} {op.outcome}" for op in ops).items())),
        acks=len(acked),
        tasks=len(left),
        losses=lost_by_part(ops, left),
        duplicates=sum(count > 1 for count in grants.values()),
        unknowns=dict(Counter(op.code for op in ops if op.outcome == "info")),
        outage_s=percentiles(pauses),
        unavailable_share=round(sum(pauses) / seconds, 4),
        reelection_s=percentiles(reelections(ops, faults)),
        wait_s=percentiles(op.returned - op.invoked for op in acked if op.what == "enqueue"),
        recovery_s={kind: percentiles(took) for kind, took in sorted(recovery.items())},
        violations=violations,
    )
