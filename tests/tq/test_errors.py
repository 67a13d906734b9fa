"""One class for each code of the API."""

import pickle
from typing import Any

import msgspec
import pytest

from tests.tq.driving import problem
from tq import errors, refusals
from tq.refusals import from_problem
from tq.wire import Problem
from tqnode.api.codes import CODES

ID = "018f0000-0000-7000-8000-000000000001"


def family(status: int) -> type[errors.TqError]:
    """What a handler of errors may expect of a status, whatever the code."""
    known = {
        307: errors.NotLeader,
        404: errors.NotFound,
        409: errors.Conflict,
        422: errors.InvalidField,
        429: errors.Busy,
        500: errors.ServerError,
        503: errors.Busy,
        504: errors.OutcomeUnknown,
    }
    return known.get(status, errors.BadRequest)


@pytest.mark.parametrize("code", CODES)
def test_every_code_of_the_api_has_a_class_of_its_statuss_family(code: str) -> None:
    assert issubclass(refusals.CODES[code], family(CODES[code].status))


def test_no_two_codes_share_a_class() -> None:
    assert len(set(refusals.CODES.values())) == len(refusals.CODES)


def read(status: int, code: str, **facts: Any) -> errors.TqError:
    body = problem(status, code, **facts).body
    return from_problem(msgspec.json.decode(body, type=Problem))


def test_an_unknown_code_is_an_api_error_with_its_facts() -> None:
    error = read(418, "teapot", request_id="r")
    assert type(error) is errors.ApiError
    assert (error.code, error.status, error.request_id) == ("teapot", 418, "r")


def test_an_unknown_outcome_keeps_its_status_and_request() -> None:
    error = read(504, "outcome_unknown", request_id="r", retry_after_s=1)
    assert type(error) is errors.OutcomeUnknown
    assert (error.code, error.status, error.request_id, error.retry_after_s) == (
        "outcome_unknown",
        504,
        "r",
        1.0,
    )


def test_an_error_says_which_field_or_which_request() -> None:
    assert str(read(422, "invalid_field", field="[3].priority")) == "so (field [3].priority)"
    assert str(read(500, "internal", request_id="r-7")) == "so [request r-7]"


@pytest.mark.parametrize(
    "error",
    [
        errors.TqUnavailable("away"),
        errors.WaitTimeout([ID, "b"], timeout_s=3),
        read(409, "lease_lost", task=ID),
        read(504, "outcome_unknown"),
    ],
)
def test_an_error_survives_its_way_out_of_a_child_process(error: errors.TqError) -> None:
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is type(error)
    assert (str(copy), copy.__dict__) == (str(error), error.__dict__)


def test_a_wait_that_ended_names_the_first_few() -> None:
    error = errors.WaitTimeout(["a", "b", "c", "d"], timeout_s=1.5)
    assert str(error) == "4 task(s) not final after 1.5 s: a, b, c, …"
