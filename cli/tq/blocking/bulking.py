"""The calls on many tasks at once; the blocking client has them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TypeVar, Unpack

from tq import calls, wire
from tq.calls import bulk_calls
from tq.clock import Clock
from tq.ids import time_ordered_id

T = TypeVar("T")


class Bulking(ABC):
    """The part of :class:`tq.Client` that is about all tasks that match."""

    _clock: Clock

    @abstractmethod
    def _call(self, call: calls.Call[T]) -> T:
        """Makes a call."""

    def count(self, **criteria: Unpack[calls.Criteria]) -> wire.TaskCount:
        """How many tasks match, in all and by state.

        Args:
            criteria: see :class:`tq.calls.Criteria`.

        Returns:
            With ``estimated`` set, where there are too many tasks to look at, numbers reckoned from samples.
        """
        return self._call(bulk_calls.count(criteria))

    def bulk(
        self,
        action: wire.BulkAction,
        *,
        all: bool = False,
        to: str | None = None,
        priority: int | None = None,
        dry_run: bool = False,
        wait_s: float = 5.0,
        idempotency_key: str | None = None,
        **criteria: Unpack[calls.Criteria],
    ) -> wire.Bulk:
        """Does to all tasks that match what the call of that name does to one.

        The node does it slice by slice, whatever becomes of this client; the answer says how it stands when
        it has ended, or after ``wait_s``: :meth:`bulk_operation` tells more.

        Args:
            action: ``cancel``, ``retry``, ``delete``, ``move`` to the queue ``to``, or ``reprioritize`` to
                ``priority``.
            all: needed to mean all tasks there are; else some of ``criteria`` are.
            to: the queue that a move goes to.
            priority: what is set by reprioritize.
            dry_run: count what it would be done to, and do nothing.
            wait_s: seconds to wait for the end, up to 60.
            idempotency_key: by which the node knows the call again; made up when absent.
            criteria: see :class:`tq.calls.Criteria`.

        Raises:
            FilterRequired: neither criteria nor ``all``.
            TooManyBulks: as many as allowed are under way.
            InvalidField: something else is wrong with a field.
        """
        call = bulk_calls.begin(
            action,
            criteria,
            everything=all,
            to=to,
            priority=priority,
            dry_run=dry_run,
            wait_s=wait_s,
            key=idempotency_key or time_ordered_id(self._clock),
        )
        return self._call(call)

    def bulk_operation(self, bulk_id: str) -> wire.Bulk:
        """How a bulk operation stands.

        Raises:
            BulkNotFound: there is none, or it was forgotten since it ended.
        """
        return self._call(bulk_calls.get(bulk_id))

    def bulk_operations(self) -> list[wire.Bulk]:
        """All bulk operations the node remembers, newest first."""
        found: list[wire.Bulk] = []
        cursor: str | None = None
        while True:
            page = self._call(bulk_calls.page(limit=None, cursor=cursor))
            found += page.bulks
            cursor = page.next_cursor
            if cursor is None:
                return found

    def cancel_bulk(self, bulk_id: str) -> wire.Bulk:
        """Ends a bulk operation where it stands; what was done stays done.

        Raises:
            BulkNotFound: there is none, or it was forgotten since it ended.
        """
        return self._call(bulk_calls.cancel(bulk_id))
