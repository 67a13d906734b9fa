"""From a payload back to the arguments of a function."""

import dataclasses
import datetime
import decimal
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

import tq

if TYPE_CHECKING:
    from collections.abc import Callable

    from somewhere import Nowhere  # type: ignore[import-not-found]  # only annotations know it


@dataclasses.dataclass
class Image:
    path: str
    width: int = 0


class Session:
    """Something JSON knows nothing of."""


def resize(  # type: ignore[no-untyped-def]  # `plain` is not annotated: nothing is known of it
    image: Image,
    at: datetime.datetime,
    ratio: float = 1.0,
    *more: decimal.Decimal,
    session: "Session | None" = None,
    anything: Any = None,
    plain=None,
    **rest: datetime.date,
) -> None: ...


NOW = datetime.datetime(2026, 1, 31, 12, tzinfo=datetime.UTC)


def travel(
    function: "Callable[..., Any]", *args: Any, **kwargs: Any
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments after their way through a payload."""
    task = tq.App().task(function)
    return task.arguments(task.new_task(*args, **kwargs).payload)


def test_arguments_become_what_the_annotations_say() -> None:
    args, kwargs = travel(
        resize,
        Image("a.png", 3),
        NOW,
        2,
        decimal.Decimal("1.10"),
        anything={"a": 1},
        plain=[1],
        day=NOW.date(),
    )
    assert args == (Image("a.png", 3), NOW, 2.0, decimal.Decimal("1.10"))
    assert isinstance(args[2], float)
    assert kwargs == {"anything": {"a": 1}, "plain": [1], "day": NOW.date()}


def test_arguments_given_by_name_arrive_too() -> None:
    args, kwargs = travel(resize, at=NOW, image=Image("a.png"))
    assert (args, kwargs) == ((Image("a.png"), NOW), {})


def payload(text: str) -> msgspec.Raw:
    return msgspec.Raw(text.encode())


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"args": ["x", "2026-01-31T12:00:00Z"]}', "resize: argument image: Expected `object`, got `str`"),
        ('{"args": [{"path": "a"}, "soon"]}', "resize: argument at: Invalid RFC3339"),
        ('{"args": [{"path": "a", "width": "w"}, "2026-01-31T12:00:00Z"]}', r"argument image: .*\$.width"),
        ('{"to": "me"}', "unknown field `to`"),
        ("[1, 2]", "a task that is a function has a payload"),
        ("null", "a task that is a function has a payload"),
    ],
)
def test_a_payload_that_is_not_as_annotated_says_what_is_wrong(text: str, words: str) -> None:
    task = tq.App().task(resize)
    with pytest.raises(ValueError, match=words):
        task.arguments(payload(text))


def test_a_payload_for_other_arguments_is_a_type_error() -> None:
    task = tq.App().task(resize)
    with pytest.raises(TypeError, match="resize: missing a required argument"):
        task.arguments(payload('{"args": []}'))


def test_no_payload_means_no_arguments() -> None:
    task = tq.App().task(lambda: None)
    assert task.arguments(tq.UNSET) == ((), {})


def test_annotations_that_only_the_type_checker_knows_leave_the_values_as_they_are() -> None:
    def handle(thing: "Nowhere", at: datetime.datetime) -> None: ...

    args, _ = travel(handle, {"a": 1}, NOW)
    assert args == ({"a": 1}, "2026-01-31T12:00:00Z")


def test_a_type_that_json_knows_nothing_of_leaves_the_value_as_it_is() -> None:
    def handle(one: "Image | Other") -> None: ...

    @dataclasses.dataclass
    class Other:
        name: str

    handle.__annotations__["one"] = Image | Other
    args, _ = travel(handle, Image("a"))
    assert args == ({"path": "a", "width": 0},)
