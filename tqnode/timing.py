"""When a schedule is due: its ticks, from a cron expression in a time zone or from an interval. Pure.

A cron expression names local times. :mod:`cronsim` finds those that match; which moment each of them is, and
what becomes of those that a change of the clocks leaves out or has twice, is decided here: the library would
do so for expressions with five fields alone, and in one way alone.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import cache, lru_cache
from typing import Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

import msgspec
from cronsim import CronSim, CronSimError

from tqnode.errors import InvalidField

EVERY_MS_MIN = 1_000
CRON_CHARS_MAX = 500
"""Far longer than any sensible expression; what is parsed has to have an end."""

Gap = Literal["run", "skip"]
"""A local time that the clocks pass over: it ticks when they have, or not at all."""
Overlap = Literal["once", "twice"]
"""A local time that comes twice: it ticks the first time, or both times."""

_SECOND = timedelta(seconds=1)
_MILLISECOND = timedelta(milliseconds=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LAST = datetime(9990, 1, 1)  # noqa: DTZ001  # local time: beyond it, sums of years overflow
_FIRST = datetime(1900, 1, 1)  # noqa: DTZ001  # local time: no schedule looks back this far


class Cron(msgspec.Struct, frozen=True, kw_only=True):
    """The ticks of a cron expression. Made by :func:`cron`.

    Args:
        expression: minute, hour, day of month, month, day of week; before them, if there are six, the second.
        time_zone: an IANA name.
        dst_gap: what becomes of ticks that the clocks pass over.
        dst_overlap: what becomes of ticks whose local time comes twice.
    """

    expression: str
    time_zone: str
    dst_gap: Gap
    dst_overlap: Overlap

    def after(self, at_ms: int) -> int | None:
        """The first tick later than a moment; None if none comes."""
        at = _EPOCH + timedelta(milliseconds=at_ms)
        local = self._local(at.replace(microsecond=0))
        zone = _zone(self.time_zone)
        window = _twice(zone, local)
        if window is not None:
            # Clocks go back here: first the rest of the first pass, then of the second.
            begins, ends = window
            if not local.fold:
                found = self._next(local)
                if found is not None and found < ends:
                    return _ms(zone, found, fold=0)
            if self.dst_overlap == "twice":
                found = self._next(local if local.fold else begins - _SECOND)
                if found is not None and found < ends:
                    return _ms(zone, found, fold=1)
            local = ends - _SECOND
        found = self._next(local)
        while found is not None:
            gap = _gap(zone, found)
            if gap is None:
                return _ms(zone, found, fold=0)
            if self.dst_gap == "run":
                return _ms(zone, gap[1], fold=0)
            found = self._next(gap[1] - _SECOND)
        return None

    def before(self, at_ms: int) -> int | None:
        """The last tick earlier than a moment; None if none came."""
        at = _EPOCH + timedelta(milliseconds=at_ms) - _MILLISECOND
        # The first second that is not before the last tick's.
        local = self._local(at.replace(microsecond=0))
        zone = _zone(self.time_zone)
        found = self._last(local)
        window = _twice(zone, local)
        if window is not None and local.fold:
            begins, ends = window
            if self.dst_overlap == "twice" and found is not None and found >= begins:
                return _ms(zone, found, fold=1)
            found = self._last(ends - _SECOND)
        elif window is None and found is not None and self.dst_overlap == "twice" and _twice(zone, found):
            return _ms(zone, found, fold=1)
        while found is not None:
            gap = _gap(zone, found)
            if gap is None:
                return _ms(zone, found, fold=0)
            if self.dst_gap == "run":
                return _ms(zone, gap[1], fold=0)
            found = self._last(gap[0] - _SECOND)
        return None

    def _local(self, at: datetime) -> datetime:
        """What the clocks of the zone show, without the zone but with the pass."""
        return at.astimezone(_zone(self.time_zone)).replace(tzinfo=None)

    def _next(self, local: datetime) -> datetime | None:
        """The first matching local time later than one."""
        found = next(_matches(self.expression, local.replace(fold=0)), None)
        return found if found is not None and found < _LAST else None

    def _last(self, local: datetime) -> datetime | None:
        """The last matching local time not later than one."""
        found = next(_matches(self.expression, local.replace(fold=0) + _SECOND, reverse=True), None)
        return found if found is not None and found > _FIRST else None


class Every(msgspec.Struct, frozen=True, kw_only=True):
    """A tick each ``every_ms``, counted from ``anchor_ms``, which is none itself."""

    every_ms: int
    anchor_ms: int

    def after(self, at_ms: int) -> int | None:
        """The first tick later than a moment."""
        count = max(1, (at_ms - self.anchor_ms) // self.every_ms + 1)
        return self.anchor_ms + count * self.every_ms

    def before(self, at_ms: int) -> int | None:
        """The last tick earlier than a moment; None if none came."""
        count = (at_ms - 1 - self.anchor_ms) // self.every_ms
        return self.anchor_ms + count * self.every_ms if count >= 1 else None


Timing = Cron | Every


def cron(expression: str, time_zone: str, *, dst_gap: Gap | None, dst_overlap: Overlap | None) -> Cron:
    """The ticks of an expression.

    Args:
        expression: as for :class:`Cron`; what is between its fields does not matter.
        time_zone: an IANA name.
        dst_gap: None is ``skip`` where hours, minutes or seconds begin with a star, else ``run``: as Vixie's
            cron does it, so that what runs at intervals keeps them and what names its time runs once a day.
        dst_overlap: None is, likewise, ``twice`` or ``once``.

    Raises:
        InvalidField: ``invalid_cron`` or ``unknown_time_zone``.
    """
    _check_zone(time_zone)
    if len(expression) > CRON_CHARS_MAX:
        raise InvalidField(
            f"must be at most {CRON_CHARS_MAX} characters long", field="cron", limit=CRON_CHARS_MAX
        )
    fields = expression.split()
    _judge(" ".join(fields))
    wild = any(field.startswith("*") for field in fields[:-3])
    return Cron(
        expression=" ".join(fields),
        time_zone=time_zone,
        dst_gap=dst_gap or ("skip" if wild else "run"),
        dst_overlap=dst_overlap or ("twice" if wild else "once"),
    )


def _judge(expression: str) -> None:
    """
    Raises:
        InvalidField: it is no cron expression, or never comes true.
    """
    if next(_matches(expression, datetime(2000, 1, 1)), None) is None:  # noqa: DTZ001  # local time
        raise InvalidField("no day is like that", field="cron", code="invalid_cron")


def _matches(expression: str, local: datetime, *, reverse: bool = False) -> CronSim:
    """The local times that match, later than one or earlier.

    Raises:
        InvalidField: it is no cron expression.
    """
    try:
        return CronSim(expression, local, reverse)
    except CronSimError as error:
        why = str(error).lower().replace("bad ", "wrong ")
        raise InvalidField(
            f"is no cron expression: {why}; write minute, hour, day of month, month and day of week, "
            "with the seconds before them if there are six fields",
            field="cron",
            code="invalid_cron",
        ) from None


def _check_zone(time_zone: str) -> None:
    if time_zone not in _zones():
        raise _unknown_zone()


def _unknown_zone() -> InvalidField:
    return InvalidField(
        "is no time zone of the IANA database, such as Europe/Berlin or UTC",
        field="time_zone",
        code="unknown_time_zone",
    )


def _zone(time_zone: str) -> ZoneInfo:
    """
    Raises:
        InvalidField: this node does not have it, though the one that took it in did.
    """
    try:
        return ZoneInfo(time_zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise _unknown_zone() from None


def following(timing: Timing, at_ms: int, count: int) -> Iterator[int]:
    """Up to ``count`` ticks later than a moment, in order."""
    for _ in range(count):
        tick = timing.after(at_ms)
        if tick is None:
            return
        yield tick
        at_ms = tick


@cache
def _zones() -> frozenset[str]:
    # The host's own is another one on each node.
    return frozenset(available_timezones()) - {"localtime", "Factory"}


def _offset(zone: ZoneInfo, local: datetime, fold: int) -> timedelta:
    offset = local.replace(tzinfo=zone, fold=fold).utcoffset()
    assert offset is not None  # noqa: S101  # every zone has one
    return offset


def _ms(zone: ZoneInfo, local: datetime, *, fold: int) -> int:
    return (local.replace(tzinfo=zone, fold=fold) - _EPOCH) // _MILLISECOND


def _twice(zone: ZoneInfo, local: datetime) -> tuple[datetime, datetime] | None:
    """The local times that come twice around one that does: from, until; None if it comes once."""
    first, second = _offset(zone, local, 0), _offset(zone, local, 1)
    if first <= second:
        return None
    turn = _turn(zone, local - first, local - second)
    return turn + second, turn + first


def _gap(zone: ZoneInfo, local: datetime) -> tuple[datetime, datetime] | None:
    """The local times that don't come around one that doesn't: from, until; None if it comes."""
    before, after = _offset(zone, local, 0), _offset(zone, local, 1)
    if before >= after:
        return None
    turn = _turn(zone, local - after, local - before)
    return turn + before, turn + after


def _turn(zone: ZoneInfo, low: datetime, high: datetime) -> datetime:
    """The moment in (low, high], in UTC without saying so, at which the zone's offset changes."""

    def offset(seconds: int) -> timedelta | None:
        return (low + timedelta(seconds=seconds)).replace(tzinfo=UTC).astimezone(zone).utcoffset()

    before = offset(0)
    left, right = 0, round((high - low).total_seconds())
    while right - left > 1:
        middle = (left + right) // 2
        if offset(middle) == before:
            left = middle
        else:
            right = middle
    return low + timedelta(seconds=right)


@lru_cache(4096)
def stamp(at_ms: int) -> str:
    """A moment in RFC 3339, in UTC and with milliseconds.

    Remembered, since the tasks of a transaction share their moments.

    Args:
        at_ms: milliseconds since 1970, up to the year 9999.
    """
    at = _EPOCH + timedelta(milliseconds=at_ms)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
