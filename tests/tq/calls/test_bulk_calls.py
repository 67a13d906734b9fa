"""Calls on many tasks as values: what goes over the wire."""

import datetime
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import msgspec
import pytest

from tq import calls
from tq.calls import Call, Repeat, bulk_calls

NOW = datetime.datetime(2026, 1, 31, 12, tzinfo=datetime.UTC)


def begin(criteria: dict[str, Any], action: Any = "cancel", **options: Any) -> Call[Any]:
    usual: dict[str, Any] = {
        "everything": False,
        "to": None,
        "priority": None,
        "dry_run": False,
        "wait_s": 5.0,
        "key": "k",
    }
    return bulk_calls.begin(action, criteria, **usual | options)


def sent(call: Call[Any]) -> Any:
    assert call.body is not None
    return {"wait_s": 5.0} | msgspec.json.decode(call.body)


def query(call: Call[Any]) -> list[tuple[str, str]]:
    return parse_qsl(urlsplit(call.path).query, keep_blank_values=True)


def test_a_bulk_operation_is_sent_with_nothing_but_what_was_said() -> None:
    call = begin({"queue": "a", "tag": None}, wait_s=2.0)
    assert (call.method, call.path, call.repeat, call.wait_s) == ("POST", "/v1/bulk", Repeat.SAFE, 2.0)
    assert call.idempotency_key == "k"
    assert sent(call) == {"action": "cancel", "filter": {"queue": "a"}, "wait_s": 2.0}
    everything = sent(begin({}, everything=True, dry_run=True))
    assert everything == {"action": "cancel", "all": True, "dry_run": True, "wait_s": 5.0}


def test_every_criterion_is_sent_by_its_name() -> None:
    criteria = {
        "queue": ("a", "b"),
        "state": ["dead"],
        "created_after": NOW,
        "finished_before": "2026-01-31T13:00:00Z",
        "payload_has": {"user.id": 1},
        "meta_has": {"t": None},
        "error_type": "E",
    }
    body = sent(begin(criteria, "move", to="c"))
    assert body == {
        "action": "move",
        "queue": "c",
        "wait_s": 5.0,
        "filter": {
            "queue": ["a", "b"],
            "state": ["dead"],
            "created_after": "2026-01-31T12:00:00+00:00",
            "finished_before": "2026-01-31T13:00:00Z",
            "payload": {"user.id": 1},
            "meta": {"t": None},
            "error_type": "E",
        },
    }


def test_a_criterion_that_does_not_exist_is_an_error() -> None:
    with pytest.raises(TypeError, match="colour"):
        begin({"colour": "red"})
    with pytest.raises(ValueError, match="no time zone"):
        begin({"created_after": NOW.replace(tzinfo=None)})


def test_conditions_in_a_query_say_which_json_value_they_mean() -> None:
    criteria = {
        "payload_has": {"a.b": "1", "n": 1, "x": None, "y": True},
        "meta_has": {"t": "a b"},
        "kind": "k",
    }
    expected = [
        ("kind", "k"),
        ("payload.a.b", '"1"'),
        ("payload.n", "1"),
        ("payload.x", "null"),
        ("payload.y", "true"),
        ("meta.t", '"a b"'),
    ]
    assert query(bulk_calls.count(criteria)) == expected
    assert query(calls.page(criteria)) == expected
