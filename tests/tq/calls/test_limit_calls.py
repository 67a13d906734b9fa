"""Calls on limits as values: what goes over the wire."""

import msgspec
import pytest

from tq.calls import Repeat, limit_calls


def test_a_limit_is_sent_with_nothing_but_what_was_said() -> None:
    call = limit_calls.put_limit("a b", {"key": "c:*", "running": 0, "queue": None})
    assert (call.method, call.path, call.repeat) == ("PUT", "/v1/limits/a%20b", Repeat.SAFE)
    assert msgspec.json.decode(call.body or b"") == {"key": "c:*", "running": 0}


def test_every_option_of_a_limit_is_sent() -> None:
    options: limit_calls.LimitOptions = {
        "queue": "q",
        "running": 1,
        "rate": 2,
        "per_s": 3.0,
        "burst": 4,
        "fair": True,
    }
    assert msgspec.json.decode(limit_calls.put_limit("n", options).body or b"") == options


def test_an_option_that_does_not_exist_is_an_error() -> None:
    with pytest.raises(TypeError, match="bursts"):
        limit_calls.put_limit("n", {"bursts": 1})  # type: ignore[typeddict-unknown-key]  # that is the test
