"""Waiting for a condition with a bound: what tests do instead of sleeping.

The only place in the tests that may sleep; everything else asks for the state it needs.
"""

import asyncio
import inspect
import time
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")

WITHIN_S = 10.0  # generous: a loaded machine must not turn into a failed test
EVERY_S = 0.01


class _Attempts:
    """Remembers why the condition has not held yet, so that a time-out can say it."""

    def __init__(self, check: object, within_s: float, ignoring: tuple[type[Exception], ...]) -> None:
        self._name = getattr(check, "__name__", repr(check))
        self._within_s = within_s
        self._until = time.monotonic() + within_s
        self.ignored: tuple[type[Exception], ...] = (AssertionError, *ignoring)
        self.last: object = None

    def give_up_if_late(self) -> None:
        if time.monotonic() < self._until:
            return
        cause = self.last if isinstance(self.last, Exception) else None
        detail = f"{self._name} did not hold within {self._within_s} s; last: {self.last!r}"
        raise AssertionError(detail) from cause


def eventually(
    check: Callable[[], T],
    *,
    within_s: float = WITHIN_S,
    every_s: float = EVERY_S,
    ignoring: tuple[type[Exception], ...] = (),
) -> T:
    """Calls ``check`` until it returns something true, and returns that.

    Args:
        check: the condition; an ``AssertionError`` in it means "not yet".
        within_s: seconds after which it fails.
        every_s: seconds between two calls.
        ignoring: further exceptions that mean "not yet", such as ``ConnectionError``.

    Raises:
        AssertionError: the condition did not hold in time; it shows the last value or exception.
    """
    attempts = _Attempts(check, within_s, ignoring)
    while True:
        try:
            if value := check():
                return value
            attempts.last = value
        except attempts.ignored as error:
            attempts.last = error
        attempts.give_up_if_late()
        time.sleep(every_s)


async def eventually_async(
    check: Callable[[], object],
    *,
    within_s: float = WITHIN_S,
    every_s: float = EVERY_S,
    ignoring: tuple[type[Exception], ...] = (),
) -> Any:
    """The same on an event loop: ``check`` may be a coroutine function, and the loop runs meanwhile."""
    attempts = _Attempts(check, within_s, ignoring)
    while True:
        try:
            value = check()
            if inspect.isawaitable(value):
                value = await value
            if value:
                return value
            attempts.last = value
        except attempts.ignored as error:
            attempts.last = error
        attempts.give_up_if_late()
        await asyncio.sleep(every_s)
