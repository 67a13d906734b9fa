"""The client for ordinary code: every call blocks until its answer is there."""

from __future__ import annotations

import builtins
from collections.abc import Iterable, Iterator, Sequence
from types import TracebackType
from typing import Any, TypeVar, Unpack

from msgspec import UNSET

from tq import calls, wire
from tq.blocking.batching import Batching
from tq.blocking.bulking import Bulking
from tq.blocking.explaining import Explaining
from tq.blocking.limiting import Limiting
from tq.blocking.steering import Steering
from tq.blocking.telling import Telling
from tq.blocking.waits import Waits
from tq.clock import Clock, SystemClock
from tq.config import settings
from tq.effects import Emit, Program
from tq.gates import ThreadGate
from tq.programs import Session
from tq.sse import Event
from tq.transport import SyncTransport

T = TypeVar("T")


class Client(Steering, Telling, Limiting, Batching, Explaining, Waits, Bulking):
    """Talks to a node. Safe to share between threads; keep one and use it for everything.

    Calls that can be repeated without harm are retried with growing random pauses: reads, enqueues
    (each carries a key by which the node knows it again), heartbeats, finishes, cancel and delete.
    Every method raises the classes of :mod:`tq.errors`.

    Args:
        url: the node's base URL, or those of a cluster's nodes, separated by commas (a list does as
            well): calls go to the one that leads, whichever is named first. Default: ``TQ_URL``,
            ``~/.config/tq/config.toml``, ``/etc/tq/config.toml``, ``http://127.0.0.1:7333``.
        token: sent as bearer token. Default: ``TQ_TOKEN`` or the same files; ``""`` sends none.
        timeout_s: seconds a call may take in all, its retries and pauses included.
        retries: how often a call is tried again at most. A cluster that has no leader just now is
            waited for as long as ``timeout_s`` allows, unless this is 0.
        clock: time and chance, for tests.

    Raises:
        ConfigError: the URL, the token or a configuration file is wrong.
    """

    def __init__(
        self,
        url: str | Sequence[str] | None = None,
        *,
        token: str | None = None,
        timeout_s: float = 30.0,
        retries: int = 5,
        clock: Clock | None = None,
    ) -> None:
        self._clock = clock or SystemClock()
        self._session = Session(
            settings(url, token), timeout_s=timeout_s, retries=retries, clock=self._clock, gate=ThreadGate
        )
        self._transport = SyncTransport(self._clock)

    @property
    def urls(self) -> builtins.list[str]:
        """The base URLs this client knows, in the order they are tried."""
        return self._session.urls

    @property
    def url(self) -> str:
        """The base URL of the node in use: the leader, once it has answered a call."""
        return self._session.url

    def close(self) -> None:
        """Closes the connections; the client is of no use afterwards."""
        self._transport.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def enqueue(
        self,
        kind: str,
        payload: Any = UNSET,
        *,
        idempotency_key: str | None = None,
        **options: Unpack[calls.TaskOptions],
    ) -> wire.Task:
        """Enqueues one task. Calls that come while another one is under way go together in one request.

        Args:
            kind: which handler is to run it.
            payload: anything JSON can hold; :class:`msgspec.Raw` is sent as it stands.
            idempotency_key: by which the node knows the call again; made up when absent, so give one
                only to repeat a call of your own (after a crash, say).
            options: see :class:`tq.calls.TaskOptions`.

        Returns:
            The task as stored; with ``duplicate`` set, the one that held the unique key.
        """
        task = calls.new_task(kind, payload, **options)
        return self.enqueue_task(task, idempotency_key=idempotency_key)

    def enqueue_task(self, task: wire.NewTask, *, idempotency_key: str | None = None) -> wire.Task:
        """Enqueues one task that :func:`tq.new_task` or a task function's ``new_task`` made."""
        return self._run(self._session.enqueue(task, key=idempotency_key))

    def enqueue_many(
        self, tasks: Iterable[wire.NewTask], *, partial: bool = False
    ) -> builtins.list[wire.Enqueued]:
        """Enqueues tasks in requests of at most 1000 tasks and 4 MiB; :func:`tq.new_task` makes them.

        Args:
            tasks: read as they are sent, so a generator need not fit in memory.
            partial: enqueue what can be; the others' results carry ``error``. Otherwise each request
                is all or nothing, and the first that fails ends the call; the exception's
                ``enqueued`` holds the results of those before.

        Returns:
            One result for each task, in order.
        """
        return self._run(self._session.enqueue_many(tasks, partial=partial))

    def enqueue_together(
        self, tasks: Iterable[wire.NewTask], *, idempotency_key: str | None = None
    ) -> builtins.list[wire.Enqueued]:
        """Enqueues tasks that may wait for each other: all of them or none, in one request.

        Args:
            tasks: as many as the node takes in a request; one with a ``ref`` can stand in the ``after``
                of others, earlier or later.
            idempotency_key: see :meth:`enqueue`.

        Returns:
            One result for each task, in order.
        """
        return self._run(self._session.enqueue_together(tasks, key=idempotency_key))

    def enqueue_rows(self, rows: Sequence[bytes], *, idempotency_key: str) -> builtins.list[wire.Enqueued]:
        """Enqueues tasks that are JSON already, all or none of them, in one request.

        Args:
            rows: each a task as ``POST /v1/tasks`` takes it; sent byte for byte.
            idempotency_key: by which the node knows the request again.

        Returns:
            One result for each task, in order.
        """
        return self._call(calls.enqueue_rows(rows, partial=False, key=idempotency_key))

    def get(self, task_id: str, *, at: calls.Moment | None = None, wait_s: float = 0.0) -> wire.Task:
        """The task with its payload, result and progress.

        Args:
            task_id: its id.
            at: a moment: the task as it was then, from the node's archive.
            wait_s: seconds for which the node is to hold its answer back until the task has ended, a minute
                at most; :meth:`wait` does so as often as it takes.
        """
        return self._call(calls.get(task_id, at=at, wait_s=wait_s))

    def graph(self, task_id: str, *, limit: int | None = None, at: calls.Moment | None = None) -> wire.Graph:
        """The task with all it waits or waited for and all that waits for it, near and far.

        Args:
            task_id: its id.
            limit: how many tasks at most.
            at: a moment: the graph as it was then, from the node's archive.
        """
        return self._call(calls.graph(task_id, limit=limit, at=at))

    def page(
        self, *, limit: int | None = None, cursor: str | None = None, **filters: Unpack[calls.Filters]
    ) -> wire.TaskPage:
        """One page of tasks, newest first.

        Args:
            limit: how many at most.
            cursor: ``next_cursor`` of the page before.
            filters: see :class:`tq.calls.Filters`.
        """
        return self._call(calls.page(filters, limit=limit, cursor=cursor))

    def list(self, *, limit: int | None = None, **filters: Unpack[calls.Filters]) -> Iterator[wire.Task]:
        """All tasks that match, newest first, fetched page by page as they are read.

        Args:
            limit: how many in all; ``None`` is without end.
            filters: see :class:`tq.calls.Filters`.
        """
        return self._iterate(self._session.list_tasks(filters, limit=limit))

    def cancel(self, task_id: str) -> wire.Task:
        """Cancels a waiting task, asks the worker of a running one to stop, leaves a final one alone."""
        return self._call(calls.cancel(task_id))

    def retry(self, task_id: str) -> wire.Task:
        """Makes a waiting or final task ready at once."""
        return self._call(calls.retry(task_id))

    def delete(self, task_id: str) -> None:
        """Deletes a task that is not running."""
        self._call(calls.delete(task_id))

    def claim(
        self,
        worker: str,
        *,
        queues: Sequence[str] = ("default",),
        kinds: Sequence[str] | None = None,
        max: int = 1,
        wait_s: float = 0.0,
        lease_s: float | None = None,
        min_priority: int = 0,
    ) -> builtins.list[wire.ClaimedTask]:
        """Claims ready tasks for a worker. Never repeated when its answer is lost.

        Args:
            worker: the worker's id, or any name.
            queues: drained in this order.
            kinds: only these.
            max: how many at most.
            wait_s: seconds to wait for the first one.
            lease_s: seconds until the first heartbeat must have come; default: each task's own.
            min_priority: only tasks of this priority or higher.

        Raises:
            OutcomeUnknown: the answer was lost. Tasks it may have claimed return when their lease runs
                out; claim again.
        """
        ask = wire.Claim(
            worker=worker,
            queues=[*queues],
            kinds=None if kinds is None else [*kinds],
            max=max,
            wait_s=wait_s,
            lease_s=lease_s,
            min_priority=min_priority,
        )
        return self._call(calls.claim(ask))

    def heartbeat(
        self, task_id: str, token: str, *, lease_s: float | None = None, progress: Any = UNSET
    ) -> wire.HeartbeatAnswer:
        """Resets a task's lease to now + ``lease_s`` seconds; that is its length from then on.

        Raises:
            LeaseLost: the token is not the task's current one.
        """
        return self._call(calls.heartbeat(task_id, token, lease_s=lease_s, progress=progress))

    def complete(
        self, task_id: str, token: str, *, result: Any = UNSET, then: Iterable[wire.NewTask] = ()
    ) -> wire.Finished:
        """Finishes a task as succeeded and enqueues ``then`` in the same transaction.

        Raises:
            LeaseLost: the token is not the task's current one.
        """
        return self._call(calls.complete(task_id, token, result=result, then=then))

    def fail(
        self,
        task_id: str,
        token: str,
        *,
        error: wire.Failure | BaseException | str | None = None,
        retry: bool = True,
        delay_s: float | None = None,
    ) -> wire.Finished:
        """Says that an attempt failed.

        Args:
            task_id: of the task.
            token: of the claim.
            error: what went wrong.
            retry: ``False`` makes the task dead whatever attempts remain.
            delay_s: seconds until the next attempt, instead of the task's retry policy.

        Raises:
            LeaseLost: the token is not the task's current one.
        """
        return self._call(calls.fail(task_id, token, error=error, retry=retry, delay_s=delay_s))

    def snooze(self, task_id: str, token: str, *, delay_s: float = 0.0) -> wire.Finished:
        """Gives a task back for ``delay_s`` seconds without spending the attempt.

        Raises:
            LeaseLost: the token is not the task's current one.
        """
        return self._call(calls.snooze(task_id, token, delay_s=delay_s))

    def outcomes(self, outcomes: Iterable[wire.Outcome]) -> builtins.list[wire.OutcomeAnswer]:
        """Finishes many tasks, each on its own; answers in order, a refused one with ``error``."""
        return self._run(self._session.outcomes(outcomes))

    def register_worker(self, worker: wire.NewWorker) -> wire.Registered:
        """Registers a worker process; never repeated when its answer is lost."""
        return self._call(calls.register_worker(worker))

    def worker_heartbeat(
        self, worker_id: str, leases: Iterable[wire.HeldLease] = ()
    ) -> wire.WorkerHeartbeatAnswer:
        """One heartbeat for a worker and all the leases it holds.

        Raises:
            WorkerNotFound: the node dropped it; register again.
        """
        return self._call(calls.worker_heartbeat(worker_id, leases))

    def events(
        self,
        *,
        last_event_id: str | None = None,
        queue: str | None = None,
        kind: str | None = None,
        ids: Iterable[str] | None = None,
    ) -> Iterator[Event]:
        """Changes of state as they happen, without end; reconnects where it left off.

        Args:
            last_event_id: go on after this event instead of from now.
            queue: only of this queue.
            kind: only of this kind.
            ids: only of these tasks.

        Yields:
            Events; one whose ``reset`` is true means that some were missed: list again.
        """
        return self._iterate(
            self._session.events(last_event_id=last_event_id, queue=queue, kind=kind, ids=ids)
        )

    def _call(self, call: calls.Call[T]) -> T:
        return self._run(self._session.exchange(call))

    def _run(self, program: Program[T]) -> T:
        """Carries out the effects a program asks for, until it returns."""
        try:
            with self._transport.performer() as performer:
                answer: Any = None
                while True:
                    try:
                        effect = program.send(answer)
                    except StopIteration as end:
                        result: T = end.value
                        return result
                    answer = performer.perform(effect)
        finally:
            # One that was stopped half-way lets go of what it holds at once, and not when it is collected.
            program.close()

    def _iterate(self, program: Program[None]) -> Iterator[Any]:
        """As :meth:`_run`, for a program that hands out items on its way."""
        with self._transport.performer() as performer:
            answer: Any = None
            while True:
                try:
                    effect = program.send(answer)
                except StopIteration:
                    return
                if isinstance(effect, Emit):
                    yield effect.item
                    answer = None
                else:
                    answer = performer.perform(effect)
