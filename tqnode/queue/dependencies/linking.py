"""Ties new tasks to those they are enqueued after; called by the enqueue for requests that have such."""

from collections.abc import Sequence

import msgspec

from tqnode import ids
from tqnode.errors import InvalidField
from tqnode.queue.dependencies.circles import check_acyclic
from tqnode.queue.dependencies.followers import Follower, cancel, ended, release
from tqnode.queue.rows import listed
from tqnode.sql import statement
from tqnode.store.tx import Tx
from tqnode.task import FINAL, REPLACING, Enqueued, Needs, TaskSpec, TaskState

_FIND_PARENTS = statement("find_parents")
_FIND_BLOCKED = statement("find_blocked")
_READ_STATES = statement("read_states")
_COUNT_OFF = statement("count_parents_off")
_MARK_AWAITED = statement("mark_awaited")
_INSERT = "insert_dependency"

States = dict[int, TaskState]


def find_parents(tx: Tx, specs: Sequence[TaskSpec]) -> States:
    """The states, by row number, of the stored tasks that new ones are to wait for.

    Raises:
        InvalidField: one of them is not there; ``field`` says which, counted from the request's first task.
    """
    wanted = {parent for spec in specs for parent in spec.after if isinstance(parent, bytes)}
    if not wanted:
        return {}
    rows = tx.all(_FIND_PARENTS, {"seqs": listed([ids.seq_of(packed) for packed in wanted])})
    missing = wanted - {row[1] for row in rows}
    for index, spec in enumerate(specs if missing else ()):
        for place, parent in enumerate(spec.after):
            if parent in missing:
                raise InvalidField(
                    f"there is no task {ids.text(bytes(parent))}",
                    field=f"[{index}].after[{place}]",
                    code="unknown_parent",
                )
    return {seq: TaskState(state) for seq, _, state in rows}


def link(tx: Tx, specs: Sequence[TaskSpec], made: Sequence[Enqueued], stored: States) -> list[Enqueued]:
    """Notes whom each new task waits for; what has ended already counts at once.

    Args:
        specs: all of the request; those that wait were made ``blocked``, each parent counted as pending.
        made: what became of each.
        stored: from :func:`find_parents`.

    Returns:
        ``made``, with the states that the tasks have now.

    Raises:
        InvalidField: with those that were found instead of made, tasks wait for each other in a circle.
    """
    seqs = ids.seqs_of([ids.parse(one.id) for one in made])
    replaced = _judge_duplicates(specs, made, seqs)
    edges: list[tuple[int, int, int]] = []
    fewer: list[tuple[int, int]] = []
    settled: dict[int, tuple[int, bool]] = {}
    for index, spec in enumerate(specs):
        if not spec.after or made[index].duplicate or seqs[index] in replaced:
            continue
        parents: States = {}
        for parent in spec.after:
            if isinstance(parent, int):
                parents[seqs[parent]] = made[parent].state
            else:
                seq = ids.seq_of(parent)
                parents[seq] = stored[seq]
        edges += [(parent, int(state not in FINAL), seqs[index]) for parent, state in parents.items()]
        left = sum(state not in FINAL for state in parents.values())
        failed = any(state in FINAL and state is not TaskState.SUCCEEDED for state in parents.values())
        off = len(spec.after) - left
        if not left or (failed and spec.needs is Needs.SUCCEEDED):
            settled[seqs[index]] = off, failed
        elif off:
            fewer.append((off, seqs[index]))
    tx.insert(_INSERT, edges)
    tx.many(_MARK_AWAITED, [(parent,) for parent in {edge[0] for edge in edges if edge[1]}])
    if fewer:
        tx.many(_COUNT_OFF, fewer)
    if not settled:
        return list(made)
    _settle(tx, settled)
    return _as_they_are(tx, specs, made, seqs)


def _judge_duplicates(specs: Sequence[TaskSpec], made: Sequence[Enqueued], seqs: Sequence[int]) -> set[int]:
    """The row numbers of the tasks that a later one of the request replaced: they wait for nobody any more.

    Raises:
        InvalidField: as :func:`link`.
    """
    fresh = {seq: index for index, seq in enumerate(seqs) if not made[index].duplicate}
    twins = [index for index, one in enumerate(made) if one.duplicate and seqs[index] in fresh]
    if not twins:
        return set()
    # A name of the request may stand for a task of another name: that can close a circle.
    merged = [
        msgspec.structs.replace(
            spec,
            after=tuple(
                fresh.get(seqs[parent], parent) if isinstance(parent, int) else parent
                for parent in spec.after
            ),
        )
        for spec in specs
    ]
    check_acyclic(merged)
    return {seqs[index] for index in twins if specs[index].unique_mode in REPLACING}


def _settle(tx: Tx, settled: dict[int, tuple[int, bool]]) -> None:
    """Releases or cancels the new tasks whose parents have decided that already."""
    free: list[Follower] = []
    doomed: list[Follower] = []
    for row in tx.all(_FIND_BLOCKED, {"seqs": listed(list(settled))}):
        off, failed = settled[row[0]]
        follower = Follower(*row)
        follower.ended, follower.failed = off, failed
        (doomed if failed and follower.needs == Needs.SUCCEEDED else free).append(follower)
    release(tx, free)
    ended(tx, dict.fromkeys(cancel(tx, doomed), False))


def _as_they_are(
    tx: Tx, specs: Sequence[TaskSpec], made: Sequence[Enqueued], seqs: Sequence[int]
) -> list[Enqueued]:
    linked = [seq for spec, seq in zip(specs, seqs, strict=True) if spec.after]
    states: dict[int, str] = dict(tx.all(_READ_STATES, {"seqs": listed(linked)}))
    return [
        msgspec.structs.replace(one, state=TaskState(states.get(seq, one.state)))
        for one, seq in zip(made, seqs, strict=True)
    ]
