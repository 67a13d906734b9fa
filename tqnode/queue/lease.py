"""Keeps leases alive, and takes those away that ran out."""

from collections.abc import Sequence

import msgspec

from tqnode.config import Config
from tqnode.errors import LeaseLost, NotFound
from tqnode.metrics import Metrics
from tqnode.queue import token
from tqnode.queue.moves import Held, Movement
from tqnode.queue.rows import place
from tqnode.sql import statement
from tqnode.store.effects import TaskNews
from tqnode.store.tx import Tx
from tqnode.task import Lease, Reason, TaskError, TaskState

_EXTEND = statement("extend_lease")
_WRITE_PROGRESS = statement("write_progress")
_READ_HELD = statement("read_held")
_FIND_EXPIRED = statement("find_expired_leases")
_SHIFT = statement("shift_leases")
_SHORTEN = statement("shorten_leases")


class HeldLease(msgspec.Struct, frozen=True):
    """One lease a worker says it holds."""

    id: str
    token: str
    progress: bytes | None = None


class LeaseStatus(msgspec.Struct, frozen=True):
    """What became of one: ``ok``, ``cancel`` (ok, but please stop) or ``lost``."""

    id: str
    status: str
    lease_expires_at_ms: int | None = None


class Keeper:
    """The lease operations.

    Args:
        config: how many crashes in a row make a task dead.
        metrics: counts the fenced and the expired.
        movement: moves the tasks whose lease ran out.
    """

    def __init__(self, config: Config, *, metrics: Metrics, movement: Movement) -> None:
        self._crashes_max = config.crashes_max
        self._metrics = metrics
        self._movement = movement

    def heartbeat(
        self, tx: Tx, task_id: str, written: str, *, lease_ms: int | None, progress: bytes | None
    ) -> Lease:
        """Resets a lease to now + ``lease_ms``, its length from then on; by the length it has when None.

        Raises:
            LeaseLost: the token is not the task's current one.
            NotFound: there is no such task.
        """
        where = place(task_id)
        fence = token.read(written, task=task_id)
        params = where | {
            "grants": fence.grants,
            "secret": fence.secret,
            "now_ms": tx.now_ms,
            "lease_ms": lease_ms,
        }
        rows = tx.all(_EXTEND, params)
        if not rows:
            if tx.one(_READ_HELD, where) is None:
                raise NotFound("task", task_id)
            self._metrics.fenced.inc()
            raise LeaseLost("the token is not this task's current one", task=task_id)
        lease_expires_at_ms, cancel_requested_at_ms, queue, kind, attempt = rows[0]
        if progress is not None:
            tx.run(_WRITE_PROGRESS, {"seq": where["seq"], "progress": progress})
            tx.effects.news.append(TaskNews(where["id"], queue, kind, attempt, tx.now_ms, progress))
        return Lease(lease_expires_at_ms, cancel_requested_at_ms is not None)

    def heartbeat_all(self, tx: Tx, leases: Sequence[HeldLease]) -> list[LeaseStatus]:
        """Resets each lease; a lost one is said to be so."""
        answers = []
        for held in leases:
            try:
                lease = self.heartbeat(tx, held.id, held.token, lease_ms=None, progress=held.progress)
            except (LeaseLost, NotFound):
                answers.append(LeaseStatus(held.id, "lost"))
            else:
                status = "cancel" if lease.cancel else "ok"
                answers.append(LeaseStatus(held.id, status, lease.lease_expires_at_ms))
        return answers

    def reclaim(self, tx: Tx, limit: int, *, reachable_ms: int) -> int:
        """Takes tasks from workers whose lease ran out.

        Args:
            limit: how many at most.
            reachable_ms: for how long heartbeats have been able to reach the node; a lease longer than
                that is spared, for its worker had no chance yet.

        Returns:
            How many were taken.
        """
        rows = tx.all(_FIND_EXPIRED, {"now_ms": tx.now_ms, "reachable_ms": reachable_ms, "limit": limit})
        crashed = []
        for row in rows:
            held = Held(
                seq=row[0],
                packed=row[1],
                queue=row[2],
                kind=row[3],
                state=TaskState.RUNNING,
                priority=row[4],
                run_at_ms=row[5],
                attempt=row[6],
                crashes=row[8],
                worker=row[9],
                lane=row[11],
            )
            message = f"worker {held.worker} fell silent: the lease of attempt {held.attempt} ran out"
            error = TaskError("LeaseExpired", message, "", held.attempt, tx.now_ms)
            if not self._ended(tx, held, error, max_attempts=row[7], cancel=row[10] is not None):
                crashed.append((held, error))
        self._movement.put_back_crashed(tx, crashed)
        self._metrics.leases_expired.inc(len(rows))
        return len(rows)

    def _ended(self, tx: Tx, held: Held, error: TaskError, *, max_attempts: int, cancel: bool) -> bool:
        """Whether this was a task's last attempt; then it is ended."""
        crashes = held.crashes + 1
        if cancel:
            state, reason = TaskState.CANCELLED, Reason.REQUESTED
        elif crashes >= self._crashes_max:
            state, reason = TaskState.DEAD, Reason.CRASHED
        elif held.attempt >= max_attempts:
            state, reason = TaskState.DEAD, Reason.ATTEMPTS
        else:
            return False
        self._movement.note(tx, held.seq, error=error)
        self._movement.end(tx, held, state, reason, crashes=crashes, receipt=None)
        return True

    def shift(self, tx: Tx, *, by_ms: int) -> int:
        """Moves every lease's end by what the wall clock stepped, so that it still means what it meant."""
        return tx.run(_SHIFT, {"by_ms": by_ms})

    def shorten(self, tx: Tx) -> int:
        """Ends every lease no later than if it began now, whatever the clock said that it was counted by.

        A clock that was ahead leaves leases that would keep a dead worker's tasks until this one is there.
        """
        return tx.run(_SHORTEN, {"now_ms": tx.now_ms})
