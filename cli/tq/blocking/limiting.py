"""The calls on limits; the blocking client has them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TypeVar, Unpack

from tq import calls, wire
from tq.calls import limit_calls

T = TypeVar("T")


class Limiting(ABC):
    """The part of :class:`tq.Client` that is about limits."""

    @abstractmethod
    def _call(self, call: calls.Call[T]) -> T:
        """Makes a call."""

    def put_limit(self, name: str, **options: Unpack[limit_calls.LimitOptions]) -> wire.Limit:
        """Makes a limit on claims, or changes the one of that name; the next claim goes by it.

        Args:
            name: its name, in letters, digits and ``_ . : @ + -``.
            options: see :class:`tq.calls.limit_calls.LimitOptions`; ``queue`` or ``key`` is needed, and one
                of ``running``, ``rate`` and ``fair``.

        Raises:
            LimitExists: another limit is on the same tasks.
            TooManyLimits: there are as many as the node allows.
            InvalidField: something else is wrong with a field.
        """
        return self._call(limit_calls.put_limit(name, options))

    def limit(self, name: str) -> wire.Limit:
        """A limit.

        Raises:
            LimitNotFound: there is none of that name.
        """
        return self._call(limit_calls.limit(name))

    def limits(self) -> list[wire.Limit]:
        """All limits in the order of their names."""
        found: list[wire.Limit] = []
        cursor: str | None = None
        while True:
            page = self._call(limit_calls.limit_page(limit=None, cursor=cursor))
            found += page.limits
            cursor = page.next_cursor
            if cursor is None:
                return found

    def delete_limit(self, name: str) -> None:
        """Deletes a limit: nothing is held back by it any more.

        Raises:
            LimitNotFound: there is none of that name.
        """
        self._call(limit_calls.delete_limit(name))
