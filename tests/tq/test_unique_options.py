"""What callers say of unique keys."""

from typing import Any

import pytest

import tq
from tq import wire
from tq.unique_options import with_unique

app = tq.App()


def unique_of(**options: Any) -> wire.Unique | None:
    return tq.new_task("k", **options).unique


def test_a_text_is_a_key_and_parts_make_the_whole() -> None:
    assert unique_of(unique="u") == wire.Unique(key="u")
    assert unique_of(unique_key="u", on_conflict="reject") == wire.Unique(key="u", on_conflict="reject")
    whole = wire.Unique(fields=["a", "b.c"], period_s=60, on_conflict="debounce")
    assert unique_of(unique_fields=("a", "b.c"), unique_period_s=60, on_conflict="debounce") == whole
    assert unique_of(unique_fields="a") == wire.Unique(fields=["a"])


def test_parts_are_added_to_what_is_said_already() -> None:
    base = wire.Unique(key="u", on_conflict="replace")
    assert unique_of(unique=base, unique_period_s=5) == wire.Unique(
        key="u", on_conflict="replace", period_s=5
    )
    assert base.period_s is None
    assert unique_of(unique="u", on_conflict="reject") == wire.Unique(key="u", on_conflict="reject")
    assert unique_of(unique_key=None, unique=None) is None


@pytest.mark.parametrize(
    "options", [{"on_conflict": "skip"}, {"unique_period_s": 5}, {"unique_key": "u", "unique_fields": ["a"]}]
)
def test_parts_without_a_key_or_with_two_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="either a key or fields"):
        unique_of(**options)


def test_other_options_stay_as_they_are() -> None:
    assert with_unique({"queue": "q", "unique_key": "u"}) == {"queue": "q", "unique": wire.Unique(key="u")}


# -- task functions --------------------------------------------------------------------------------


@app.task(unique_fields=["user_id", "order.id"])
def report(user_id: int, order: dict[str, int], fmt: str = "pdf") -> None: ...


def parts(task: wire.NewTask) -> tuple[bytes, list[str] | None]:
    assert task.unique is not None
    return bytes(task.payload), task.unique.fields  # type: ignore[arg-type]  # it is set


def test_equal_calls_have_equal_keys_however_their_arguments_are_passed() -> None:
    by_place = report.new_task(7, {"id": 1})
    assert parts(by_place) == (
        b'{"args":[],"kwargs":{"user_id":7,"order":{"id":1}}}',
        ["kwargs.user_id", "kwargs.order.id"],
    )
    assert parts(report.new_task(order={"id": 1}, user_id=7))[1] == parts(by_place)[1]


def test_a_default_that_counts_is_written_out() -> None:
    function = report.options(unique_fields=["fmt"])
    assert parts(function.new_task(7, {})) == parts(function.new_task(7, {}, "pdf"))
    assert b'"fmt":"pdf"' in parts(function.new_task(7, {}))[0]


def test_places_in_the_payload_are_left_as_they_are() -> None:
    function = report.options(unique_fields=["args.0", ".", "/kwargs/x"])
    assert parts(function.new_task(7, {})) == (b'{"args":[7,{}],"kwargs":{}}', ["args.0", ".", "/kwargs/x"])


def test_parameters_that_have_no_name_outside_are_found_by_their_place() -> None:
    @app.task(unique=tq.Unique(fields=["b"]), queue="q")
    def placed(a: int = 0, b: int = 1, /, **rest: int) -> None: ...

    assert parts(placed.new_task(5, z=3)) == (b'{"args":[5,1],"kwargs":{"z":3}}', ["args.1"])
    assert placed.new_task().queue == "q"


def test_a_function_of_any_number_of_arguments_cannot_name_them() -> None:
    @app.task(unique_fields=["a"])
    def many(a: int, *rest: int) -> None: ...

    with pytest.raises(TypeError, match="many: unique fields"):
        many.new_task(1, 2)
