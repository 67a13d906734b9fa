"""The ticks of schedules, held to what local time is by definition."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from cronsim import CronSim
from hypothesis import given, settings
from hypothesis import strategies as st

from tqnode.errors import InvalidField
from tqnode.timing import CRON_CHARS_MAX, Cron, Every, Gap, Overlap, cron, following

# Half an hour, two hours, a whole day, at midnight, backwards in winter, never: what zones do.
ZONES = (
    "Europe/Berlin",
    "America/New_York",
    "Australia/Lord_Howe",
    "Antarctica/Troll",
    "Pacific/Apia",
    "America/Santiago",
    "Africa/Casablanca",
    "Europe/Dublin",
    "Asia/Kolkata",
    "UTC",
)
YEARS = (2011, 2024, 2026)
AROUND = timedelta(hours=30)
EXPRESSIONS = (
    "*/7 * * * *",
    "30 2 * * *",
    "0,30 1-3 * * *",
    "15 */2 * * *",
    "0 0 * * *",
    "59 23 * * *",
    "*/20 1-2 * * *",
    "0 30 2 * * 0",
    "*/600 30 * * * *",
    "0 12 1 * *",
)


def ms(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp() * 1000)


def text(at_ms: int | None) -> str | None:
    return None if at_ms is None else datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%m-%dT%H:%M:%S")


def times(timing: Cron | Every, start: str, count: int) -> list[str | None]:
    return [text(tick) for tick in following(timing, ms(start), count)]


def changes(zone: str, year: int) -> list[datetime]:
    """The moments, to the hour, at which a zone's offset changes in a year; midsummer if it never does."""
    hours = [datetime(year, 1, 1, tzinfo=UTC) + timedelta(hours=hour) for hour in range(366 * 24)]
    pairs = pairwise((hour, hour.astimezone(ZoneInfo(zone)).utcoffset()) for hour in hours)
    return [hour for (_, before), (hour, after) in pairs if before != after] or [hours[4400]]


CHANGES = [(zone, change) for zone in ZONES for year in YEARS for change in changes(zone, year)]


def comes(local: datetime, zone: ZoneInfo) -> bool:
    there = local.replace(tzinfo=zone).astimezone(UTC).astimezone(zone)
    return there.replace(tzinfo=None, fold=0) == local


def by_definition(timing: Cron, start: datetime, end: datetime) -> list[int]:
    """All ticks between two moments: each local time that matches, looked at on its own."""
    zone = ZoneInfo(timing.time_zone)
    found: set[datetime] = set()
    for local in CronSim(timing.expression, start.replace(tzinfo=None) - timedelta(days=2)):
        if local > end.replace(tzinfo=None) + timedelta(days=2):
            break
        if comes(local, zone):
            found.add(local.replace(tzinfo=zone).astimezone(UTC))
            if timing.dst_overlap == "twice":
                found.add(local.replace(tzinfo=zone, fold=1).astimezone(UTC))
        elif timing.dst_gap == "run":
            while not comes(local, zone):
                local = local.replace(second=0) + timedelta(minutes=1)
            found.add(local.replace(tzinfo=zone).astimezone(UTC))
    return sorted(round(tick.timestamp() * 1000) for tick in found if start < tick < end)


@given(
    change=st.sampled_from(CHANGES),
    expression=st.sampled_from(EXPRESSIONS),
    gap=st.sampled_from(("run", "skip")),
    overlap=st.sampled_from(("once", "twice")),
)
@settings(max_examples=150, deadline=None)
def test_ticks_across_a_change_of_the_clocks_are_those_the_policies_say_and_none_comes_twice(
    change: tuple[str, datetime], expression: str, gap: Gap, overlap: Overlap
) -> None:
    zone, moment = change
    timing = cron(expression, zone, dst_gap=gap, dst_overlap=overlap)
    start, end = moment - AROUND, moment + AROUND
    expected = by_definition(timing, start, end)
    start_ms, end_ms = (round(at.timestamp() * 1000) for at in (start, end))
    forwards: list[int] = []
    tick = timing.after(start_ms)
    while tick is not None and tick < end_ms and len(forwards) <= len(expected):
        forwards.append(tick)
        tick = timing.after(tick)
    assert forwards == expected
    assert all(one < other for one, other in pairwise(forwards))
    backwards: list[int] = []
    tick = timing.before(end_ms)
    while tick is not None and tick > start_ms and len(backwards) <= len(expected):
        backwards.append(tick)
        tick = timing.before(tick)
    assert backwards[::-1] == expected


@given(
    change=st.sampled_from(CHANGES),
    expression=st.sampled_from(EXPRESSIONS),
    gap=st.sampled_from(("run", "skip")),
    overlap=st.sampled_from(("once", "twice")),
    offset_ms=st.integers(-108_000_000, 108_000_000),
)
@settings(max_examples=200, deadline=None)
def test_from_any_moment_the_tick_before_and_the_tick_after_have_none_between_them(
    change: tuple[str, datetime], expression: str, gap: Gap, overlap: Overlap, offset_ms: int
) -> None:
    zone, moment = change
    timing = cron(expression, zone, dst_gap=gap, dst_overlap=overlap)
    at_ms = round(moment.timestamp() * 1000) + offset_ms
    before, after = timing.before(at_ms), timing.after(at_ms)
    assert before is not None
    assert after is not None
    assert before < at_ms < after
    following_one = timing.after(before)
    assert following_one in (at_ms, after)
    assert timing.before(after) in (at_ms, before)


BERLIN = "Europe/Berlin"
# In Berlin clocks go from 02:00 to 03:00 on 2026-03-29 at 01:00 UTC, from 03:00 to 02:00 on 2026-10-25.


def test_what_names_its_hour_runs_once_on_the_days_on_which_clocks_change() -> None:
    daily = cron("30 2 * * *", BERLIN, dst_gap=None, dst_overlap=None)
    assert (daily.dst_gap, daily.dst_overlap) == ("run", "once")
    assert times(daily, "2026-03-28T00:00Z", 3) == ["03-28T01:30:00", "03-29T01:00:00", "03-30T00:30:00"]
    assert times(daily, "2026-10-24T00:00Z", 3) == ["10-24T00:30:00", "10-25T00:30:00", "10-26T01:30:00"]


def test_what_runs_each_hour_keeps_its_distance_when_clocks_change() -> None:
    hourly = cron("7 * * * *", BERLIN, dst_gap=None, dst_overlap=None)
    assert (hourly.dst_gap, hourly.dst_overlap) == ("skip", "twice")
    for day in ("2026-03-29", "2026-10-25"):
        ticks = list(following(hourly, ms(f"{day}T00:00+00:00") - 7_200_000, 6))
        assert {other - one for one, other in pairwise(ticks)} == {3_600_000}


@pytest.mark.parametrize(
    ("expression", "wild"),
    [("*/5 2 * * *", True), ("0 */2 * * *", True), ("*/10 30 2 * * *", True), ("0 30 2 * * *", False)],
)
def test_a_star_in_the_hours_minutes_or_seconds_makes_an_interval_of_it(expression: str, wild: bool) -> None:
    timing = cron(expression, BERLIN, dst_gap=None, dst_overlap=None)
    assert (timing.dst_gap, timing.dst_overlap) == (("skip", "twice") if wild else ("run", "once"))


def test_the_sixth_field_is_the_second_and_comes_first() -> None:
    timing = cron("15 30 6 * * MON-FRI", "UTC", dst_gap=None, dst_overlap=None)
    assert times(timing, "2026-01-02T12:00Z", 2) == ["01-05T06:30:15", "01-06T06:30:15"]


@pytest.mark.parametrize(
    ("expression", "start", "expected"),
    [
        ("0 9 LW * *", "2026-01-01T00:00Z", ["01-30T09:00:00", "02-27T09:00:00"]),
        ("0 0 L * *", "2026-01-01T00:00Z", ["01-31T00:00:00", "02-28T00:00:00"]),
        ("0 0 * * FRI#2", "2026-01-01T00:00Z", ["01-09T00:00:00", "02-13T00:00:00"]),
        ("0 0 * * 5L", "2026-01-01T00:00Z", ["01-30T00:00:00", "02-27T00:00:00"]),
        ("0 0 13 * FRI", "2026-01-01T00:00Z", ["01-02T00:00:00", "01-09T00:00:00", "01-13T00:00:00"]),
        ("0 0 29 2 *", "2026-01-01T00:00Z", ["02-29T00:00:00"]),
    ],
)
def test_the_forms_of_fields_mean_what_the_page_says(
    expression: str, start: str, expected: list[str]
) -> None:
    timing = cron(f"  {expression.replace(' ', '   ')}\t", "UTC", dst_gap=None, dst_overlap=None)
    assert timing.expression == expression
    assert times(timing, start, len(expected)) == expected


@pytest.mark.parametrize(
    "expression",
    ["", "* * * *", "* * * * * * *", "60 * * * *", "* 24 * * *", "x * * * *", "@daily", "*/0 * * * *"],
)
def test_what_is_no_cron_expression_is_refused_and_told_how_it_is_written(expression: str) -> None:
    with pytest.raises(InvalidField, match="minute, hour, day of month") as refused:
        cron(expression, "UTC", dst_gap=None, dst_overlap=None)
    assert (refused.value.field, refused.value.code) == ("cron", "invalid_cron")


@pytest.mark.parametrize("expression", ["0 0 30 2 *", "0 0 31 4,6 *", "0 0 */40 * MON#2"])
def test_a_day_that_never_comes_is_refused(expression: str) -> None:
    with pytest.raises(InvalidField) as refused:
        cron(expression, "UTC", dst_gap=None, dst_overlap=None)
    assert (refused.value.field, refused.value.code) == ("cron", "invalid_cron")


def test_an_expression_longer_than_any_sensible_one_is_refused() -> None:
    with pytest.raises(InvalidField) as refused:
        cron("0," * CRON_CHARS_MAX + "0 * * * *", "UTC", dst_gap=None, dst_overlap=None)
    assert (refused.value.field, refused.value.limit) == ("cron", CRON_CHARS_MAX)


@pytest.mark.parametrize(
    "zone", ["", "Mars/Olympus", "europe/berlin", "localtime", "posix/UTC", "../UTC", "/etc/passwd", "Europe"]
)
def test_an_unknown_time_zone_is_refused(zone: str) -> None:
    with pytest.raises(InvalidField) as refused:
        cron("0 0 * * *", zone, dst_gap=None, dst_overlap=None)
    assert (refused.value.field, refused.value.code) == ("time_zone", "unknown_time_zone")


def test_a_time_zone_that_this_node_lacks_is_told_when_the_ticks_are_reckoned() -> None:
    timing = Cron(expression="0 0 * * *", time_zone="Mars/Olympus", dst_gap="run", dst_overlap="once")
    for reckon in (timing.after, timing.before):
        with pytest.raises(InvalidField, match="no time zone"):
            reckon(0)


def test_at_the_ends_of_time_there_is_no_tick() -> None:
    timing = cron("0 0 29 2 *", "UTC", dst_gap=None, dst_overlap=None)
    assert timing.after(ms("9988-03-01T00:00Z")) is None
    assert list(following(timing, ms("9983-03-01T00:00Z"), 5)) == [
        ms("9984-02-29T00:00Z"),
        ms("9988-02-29T00:00Z"),
    ]
    assert timing.before(ms("1903-01-01T00:00Z")) is None


@given(
    every_ms=st.integers(1_000, 10**9),
    anchor_ms=st.integers(0, 2 * 10**12),
    at_ms=st.integers(-(10**12), 4 * 10**12),
)
def test_an_interval_ticks_at_its_multiples_after_the_moment_it_counts_from(
    every_ms: int, anchor_ms: int, at_ms: int
) -> None:
    timing = Every(every_ms=every_ms, anchor_ms=anchor_ms)
    after, before = timing.after(at_ms), timing.before(at_ms)
    assert after is not None
    assert after > max(at_ms, anchor_ms)
    assert (after - anchor_ms) % every_ms == 0
    assert after - every_ms <= max(at_ms, anchor_ms)
    if before is None:
        assert at_ms <= anchor_ms + every_ms
    else:
        assert anchor_ms < before < at_ms
        assert timing.after(before) in (at_ms, after)
