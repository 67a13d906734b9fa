"""What clients asked of a node and what it answered, and whether a queue that keeps its word can have.

An answer that never came is no answer: such a request may have been carried out or not, and only what
contradicts both is a violation.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Literal

SLACK_MS = 50
"""How far the millisecond stamps of an answer and of this process may be apart."""

What = Literal["heartbeat", "complete", "fail", "bury", "snooze"]
Outcome = Literal["ok", "refused", "unknown"]
PUTS_BACK = ("fail", "snooze")
ENDS = ("complete", "bury")
FINAL = {"complete": "succeeded", "bury": "dead"}


@dataclass(frozen=True, slots=True)
class Enqueue:
    """One request's wish for one task; ``task`` is None when no answer came.

    Args:
        tag: names the wish; it is in the payload, and a retry has the same.
        keyed: whether the request carried an idempotency key.
    """

    tag: str
    keyed: bool
    task: str | None


@dataclass(frozen=True, slots=True)
class Grant:
    """A claim that gave out a task. Monotonic seconds, wall milliseconds."""

    task: str
    token: str
    attempt: int
    invoked: float
    returned: float
    returned_ms: int
    lease_expires_ms: int


@dataclass(frozen=True, slots=True)
class Said:
    """A finish or heartbeat; ``state`` is where an ok finish took the task."""

    task: str
    token: str
    what: What
    outcome: Outcome
    invoked: float
    returned: float
    state: str | None = None
    lease_expires_ms: int = 0


@dataclass(frozen=True, slots=True)
class Left:
    """A task as it is at the end. ``completed_by`` is the token in its result."""

    task: str
    tag: str
    state: str
    reason: str | None
    completed_by: str | None


@dataclass(slots=True)
class History:
    """All that happened, in the order it was noted."""

    enqueues: list[Enqueue] = field(default_factory=list)
    grants: list[Grant] = field(default_factory=list)
    said: list[Said] = field(default_factory=list)


def violations(history: History, left: Iterable[Left]) -> list[str]:
    """Each way in which the answers and what is left contradict each other; empty for an honest queue."""
    tasks = {one.task: one for one in left}
    checks: list[Callable[[History, dict[str, Left]], Iterable[str]]] = [
        nothing_is_lost,
        nothing_is_made_up,
        no_task_ends_twice,
        no_end_is_undone,
        every_end_was_asked_for,
        tokens_increase,
        no_old_token_is_obeyed,
        no_lease_is_cut_short,
    ]
    return [f"{check.__name__}: {what}" for check in checks for what in check(history, tasks)]


def number_of(token: str) -> int:
    """The number of the claim in a token."""
    return int(token.partition("-")[0])


def nothing_is_lost(history: History, tasks: dict[str, Left]) -> Iterable[str]:
    """C1: each acknowledged task is there, as it was sent."""
    for one in history.enqueues:
        if one.task is None:
            continue
        if one.task not in tasks:
            yield f"task {one.task} ({one.tag}) was acknowledged and is gone"
        elif tasks[one.task].tag != one.tag:
            yield f"task {one.task} is {tasks[one.task].tag}, acknowledged as {one.tag}"


def nothing_is_made_up(history: History, tasks: dict[str, Left]) -> Iterable[str]:
    """C1: nothing is there that nobody sent, and no wish became more tasks than it may have."""
    wishes: dict[str, list[Enqueue]] = defaultdict(list)
    for one in history.enqueues:
        wishes[one.tag].append(one)
    made: dict[str, list[str]] = defaultdict(list)
    for task in tasks.values():
        made[task.tag].append(task.task)
    for tag, ids in made.items():
        if tag not in wishes:
            yield f"nobody sent {tag}, which is there"
            continue
        most = 1 if wishes[tag][0].keyed else len(wishes[tag])
        if len(ids) > most:
            yield f"{tag} is there {len(ids)} times, sent to be there at most {most} times"
    for tag, sent in wishes.items():
        answered = {one.task for one in sent if one.task is not None}
        if sent[0].keyed and len(answered) > 1:
            yield f"the retries of {tag} were answered with different tasks"


def no_task_ends_twice(history: History, tasks: dict[str, Left]) -> Iterable[str]:
    """C2: one token at most finishes a task, and a token's repeated finish gets its first answer again."""
    ended: dict[str, set[str]] = defaultdict(set)
    answers: dict[tuple[str, str], set[tuple[str, str | None]]] = defaultdict(set)
    for one in history.said:
        if one.outcome == "ok" and one.what != "heartbeat":
            answers[one.task, one.token].add((one.what, one.state))
            if one.state in FINAL.values():
                ended[one.task].add(one.token)
    for task, tokens in ended.items():
        if len(tokens) > 1:
            yield f"task {task} was finished under {len(tokens)} tokens: {sorted(tokens)}"
    for (task, token), different in answers.items():
        if len(different) > 1:
            yield f"task {task} gave token {token} different answers: {sorted(map(str, different))}"


def no_end_is_undone(history: History, tasks: dict[str, Left]) -> Iterable[str]:
    """An acknowledged end stays: its state, its result, and no claim gets the task afterwards."""
    ended: dict[str, Said] = {}
    for one in history.said:
        if one.outcome == "ok" and one.state in FINAL.values():
            first = ended.setdefault(one.task, one)
            ended[one.task] = min(first, one, key=lambda said: said.returned)
    for task_id, end in ended.items():
        task = tasks.get(task_id)
        if task is None:
            yield f"task {task_id} was acknowledged as {end.state} and is gone"
        elif task.state != end.state:
            yield f"task {task_id} was acknowledged as {end.state} and is {task.state}"
        elif end.state == "succeeded" and task.completed_by != end.token:
            yield f"task {task_id} was completed under {end.token}; its result is {task.completed_by}'s"
    for grant in history.grants:
        last = ended.get(grant.task)
        if last is not None and grant.invoked > last.returned:
            yield f"task {grant.task} was given out as {grant.token} after it was {last.state}"


def every_end_was_asked_for(history: History, tasks: dict[str, Left]) -> Iterable[str]:
    """C2: what has succeeded was completed by a holder of it; what failed for good was buried by one."""
    granted = {(grant.task, grant.token) for grant in history.grants}
    asked: dict[tuple[str, str], set[str]] = defaultdict(set)
    for one in history.said:
        if one.outcome != "refused":
            asked[one.task, one.what].add(one.token)
    for task in tasks.values():
        if task.state == "succeeded":
            by = task.completed_by
            if by is None or by not in asked[task.task, "complete"] or (task.task, by) not in granted:
                yield f"task {task.task} has succeeded by {by}, who did not complete it"
        elif task.reason == "failed_for_good" and not asked[task.task, "bury"]:
            yield f"task {task.task} failed for good, and nobody said so"


def tokens_increase(history: History, tasks: dict[str, Left]) -> Iterable[str]:
    """C4: no two claims of a task have one number, and a later claim has a higher one."""
    by_task: dict[str, list[Grant]] = defaultdict(list)
    for grant in history.grants:
        by_task[grant.task].append(grant)
    for task, grants in by_task.items():
        grants.sort(key=lambda grant: number_of(grant.token))
        for earlier, later in pairwise(grants):
            if number_of(earlier.token) == number_of(later.token):
                yield f"task {task} was given out twice under number {number_of(later.token)}"
            elif earlier.invoked > later.returned:
                yield f"task {task} was given out as {later.token} before it was as {earlier.token}"


def no_old_token_is_obeyed(history: History, tasks: dict[str, Left]) -> Iterable[str]:
    """C4: a token is refused as soon as a newer claim has been answered."""
    newest: dict[str, list[Grant]] = defaultdict(list)
    for grant in history.grants:
        newest[grant.task].append(grant)
    for one in history.said:
        if one.outcome != "ok":
            continue
        for grant in newest[one.task]:
            newer = number_of(grant.token) > number_of(one.token)
            if newer and grant.returned < one.invoked:
                yield f"task {one.task} obeyed {one.token} ({one.what}) while {grant.token} held it"


def no_lease_is_cut_short(history: History, tasks: dict[str, Left]) -> Iterable[str]:
    """Whoever got a task keeps it for the lease's time, unless a holder may have given it back."""
    by_task: dict[str, list[Grant]] = defaultdict(list)
    for grant in history.grants:
        by_task[grant.task].append(grant)
    kept_until: dict[tuple[str, str], int] = {}
    given_back: dict[tuple[str, str], float] = {}
    for one in history.said:
        key = one.task, one.token
        if one.what == "heartbeat" and one.outcome == "ok":
            kept_until[key] = max(kept_until.get(key, 0), one.lease_expires_ms)
        elif one.what in PUTS_BACK and one.outcome != "refused":
            given_back[key] = min(given_back.get(key, one.invoked), one.invoked)
    for task, grants in by_task.items():
        grants.sort(key=lambda grant: number_of(grant.token))
        for earlier, later in pairwise(grants):
            # Only neighbours: a claim whose answer was lost in between had its own time and its own end.
            if number_of(later.token) != number_of(earlier.token) + 1:
                continue
            key = task, earlier.token
            if given_back.get(key, later.returned) < later.returned:
                continue
            until_ms = max(earlier.lease_expires_ms, kept_until.get(key, 0))
            if later.returned_ms < until_ms - SLACK_MS:
                yield f"task {task} went to {later.token} {until_ms - later.returned_ms} ms too early"


def out_of_order(enqueued: list[tuple[str, int]], claimed: list[str]) -> list[str]:
    """C6: where claims left the order of a queue that nobody else touched.

    Args:
        enqueued: (task, priority) in the order they were acknowledged.
        claimed: the tasks in the order they were given out.
    """
    due = [task for task, _ in sorted(enqueued, key=lambda pair: -pair[1])]  # stable: FIFO within
    if len(due) != len(claimed):
        return [f"{len(due)} tasks were enqueued, {len(claimed)} given out"]
    return [
        f"place {place}: {got}, where {want} was due"
        for place, (want, got) in enumerate(zip(due, claimed, strict=True))
        if want != got
    ]
