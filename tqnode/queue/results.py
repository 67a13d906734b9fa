"""A task's result: waited for, and deleted when its own time is over while the task stays."""

import asyncio
from collections.abc import Sequence
from functools import partial

from tqnode.clock import Clock
from tqnode.errors import NotFound, Overloaded
from tqnode.queue.onlookers import Onlookers
from tqnode.queue.rows import place, read_task
from tqnode.sql import statement
from tqnode.store import Reader, Store, Tx
from tqnode.task import FINAL, Task

_INSERT_TIME = "insert_result_time"
_FIND_DUE = statement("find_results_due")
_PUT_OFF = statement("put_look_off")
_END_TIME = statement("end_result_time")
_DROP = statement("drop_result")
_RENEW = statement("renew_result_time")
_FORGET = statement("forget_result_times")

READ_MAX = 32
"""Tasks read together; each may have a result of megabytes."""
LATENESS = 10
"""A result goes late by at most a tenth of what its task took: so seldom is an unfinished task looked at."""


class Together:
    """Reads tasks for several who ask in the same turn of the event loop, each task once: many end together.

    Args:
        store: where they are.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._wanted: dict[str, asyncio.Future[Task]] = {}

    async def read(self, task_id: str) -> Task:
        """The task as it stands after this call.

        Raises:
            NotFound: there is none.
        """
        future = self._wanted.get(task_id)
        if future is None:
            if not self._wanted or len(self._wanted) >= READ_MAX:
                # Those of the turn before are on their way: what they read may be too old for who asks now.
                self._wanted = {}
                asyncio.get_running_loop().call_soon(self._begin, self._wanted)
            future = self._wanted[task_id] = asyncio.get_running_loop().create_future()
        # Shielded, since others may wait for the same one.
        return await asyncio.shield(future)

    def _begin(self, wanted: dict[str, "asyncio.Future[Task]"]) -> None:
        if wanted is self._wanted:
            self._wanted = {}
        reading = asyncio.ensure_future(self._store.read(partial(_read_all, list(wanted))))
        reading.add_done_callback(partial(_hand_out, wanted))


def _read_all(task_ids: Sequence[str], reader: Reader) -> list[Task | NotFound]:
    found: list[Task | NotFound] = []
    for task_id in task_ids:
        try:
            found.append(read_task(reader, task_id))
        except NotFound as error:
            found.append(error)
    return found


def _hand_out(
    wanted: dict[str, "asyncio.Future[Task]"], reading: "asyncio.Future[list[Task | NotFound]]"
) -> None:
    error = asyncio.CancelledError() if reading.cancelled() else reading.exception()
    answers = [error] * len(wanted) if error is not None else reading.result()
    for future, answer in zip(wanted.values(), answers, strict=True):
        if isinstance(answer, Task):
            future.set_result(answer)
        else:
            future.set_exception(answer)
            future.exception()  # who asked may be gone: then nobody is to be told


class Results:
    """The operations on results.

    Args:
        store: where they are.
        clock: the node's clock.
        onlookers: where clients wait.
    """

    def __init__(self, store: Store, clock: Clock, onlookers: Onlookers) -> None:
        self._clock = clock
        self._onlookers = onlookers
        self._together = Together(store)

    async def wait(self, task_id: str, *, wait_s: float) -> Task:
        """The task once it is final, or as it stands after ``wait_s`` seconds or when the node drains.

        Raises:
            NotFound: there is none, or it was deleted meanwhile.
            Overloaded: too many wait already, and the task is not final.
        """
        packed = place(task_id)["id"]
        deadline = self._clock.monotonic() + wait_s
        try:
            onlooker = self._onlookers.join(packed)
        except Overloaded:
            task = await self._together.read(task_id)
            if task.state in FINAL:
                return task
            raise
        try:
            task = await self._together.read(task_id)
            while task.state not in FINAL:
                left_s = deadline - self._clock.monotonic()
                there_is_more = left_s > 0 and await self._onlookers.news(onlooker, within_s=left_s)
                task = await self._together.read(task_id)
                if not there_is_more:
                    break
            return task
        finally:
            self._onlookers.leave(onlooker)


def note_times(tx: Tx, times: Sequence[tuple[int, int]]) -> None:
    """Notes for how long the results of new tasks are kept.

    Args:
        tx: the transaction that makes them.
        times: the row number and the milliseconds of each.
    """
    tx.insert(_INSERT_TIME, [(seq, ttl_ms, tx.now_ms + ttl_ms) for seq, ttl_ms in times])


def replace_time(tx: Tx, seq: int, ttl_ms: int | None) -> None:
    """The same of a task that becomes another one."""
    tx.run(_FORGET, {"seqs": f"[{seq}]"})
    if ttl_ms is not None:
        note_times(tx, [(seq, ttl_ms)])


def renew_time(tx: Tx, seq: int) -> None:
    """The task runs again: its next result has its time anew."""
    tx.run(_RENEW, {"seq": seq, "now_ms": tx.now_ms})


def delete_expired_results(tx: Tx, limit: int) -> int:
    """Results whose time is over; how many tasks were looked at.

    A completion need not know of these times: a task that is found unfinished is looked at again when its
    result's time could be over at the earliest.
    """
    rows = tx.all(_FIND_DUE, {"now_ms": tx.now_ms, "limit": limit})
    off: list[tuple[int, int]] = []
    over: list[tuple[int, int]] = []
    for seq, ttl_ms, created_at_ms, finished_at_ms, has_result in rows:
        if finished_at_ms is None:
            age_ms = tx.now_ms - created_at_ms
            off.append((tx.now_ms + max(ttl_ms, age_ms // LATENESS), seq))
        elif finished_at_ms + ttl_ms > tx.now_ms:
            off.append((finished_at_ms + ttl_ms, seq))
        else:
            over.append((has_result, seq))
    if off:
        tx.many(_PUT_OFF, off)
    if over:
        tx.many(_DROP, [(seq,) for has_result, seq in over if has_result])
        tx.many(_END_TIME, over)
    return len(rows)
