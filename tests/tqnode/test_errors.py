from collections.abc import Iterator

import pytest

from tqnode import errors
from tqnode.errors import (
    BadRequest,
    Conflict,
    DiskFull,
    Draining,
    IdempotencyMismatch,
    InvalidCursor,
    InvalidField,
    LeaseLost,
    NotFound,
    Overloaded,
    QueueFull,
    TqnodeError,
    UniqueConflict,
    WrongState,
)


def every_class(base: type[TqnodeError] = TqnodeError) -> Iterator[type[TqnodeError]]:
    yield base
    for child in base.__subclasses__():
        yield from every_class(child)


def test_every_error_has_a_code_of_its_own() -> None:
    codes = [found.code for found in every_class()]
    assert len(codes) == len(set(codes))
    assert len(codes) > 15


def test_the_tree_drawn_in_the_documentation_names_every_error() -> None:
    drawn = errors.__doc__ or ""
    assert not [found.__name__ for found in every_class() if found.__name__ not in drawn]


def test_a_bad_request_carries_the_field_the_limit_and_a_finer_code() -> None:
    error = InvalidField("priority is 300", field="tasks[3].priority", limit=255, code="out_of_range")
    assert (error.field, error.limit, error.code) == ("tasks[3].priority", 255, "out_of_range")
    assert error.detail == str(error) == "priority is 300"
    assert InvalidField.code == "invalid_field", "the class's own code must not change with an instance"


def test_a_bad_request_without_a_finer_code_has_the_one_of_its_class() -> None:
    assert InvalidCursor("no such cursor").code == "invalid_cursor"
    assert BadRequest("no").field is None


def test_what_was_not_found_is_in_the_code_and_in_the_text() -> None:
    error = NotFound("worker", "w-17")
    assert error.code == "worker_not_found"
    assert error.detail == "no worker w-17"


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (LeaseLost, "lease_lost"),
        (UniqueConflict, "unique_conflict"),
        (WrongState, "wrong_state"),
        (IdempotencyMismatch, "idempotency_mismatch"),
    ],
)
def test_a_conflict_names_the_task_it_is_about(kind: type[Conflict], code: str) -> None:
    error = kind("no", task="t-1")
    assert (error.code, error.task) == (code, "t-1")


@pytest.mark.parametrize("kind", [Overloaded, Draining, QueueFull, DiskFull])
def test_a_busy_node_says_when_a_retry_makes_sense(kind: type[errors.Busy]) -> None:
    assert kind("later").retry_after_s > 0
    assert kind("later", retry_after_s=7.5).retry_after_s == 7.5
