"""Calls on batches as values: what goes over the wire."""

from typing import Any

import msgspec
import pytest

import tq
from tq import wire
from tq.calls import Call, Repeat, batch_calls

ID = "018f0000-0000-7000-8000-000000000001"


def sent(call: Call[Any]) -> Any:
    assert call.body is not None
    return msgspec.json.decode(call.body)


def test_a_batch_is_sent_with_nothing_but_what_was_said() -> None:
    call = batch_calls.create_batch([b'{"kind":"k","payload":1.10}'], {"name": None}, key="i")
    assert (call.method, call.path, call.repeat) == ("POST", "/v1/batches", Repeat.SAFE)
    assert call.body == b'{"tasks":[{"kind":"k","payload":1.10}]}'
    assert call.idempotency_key == "i"


def test_every_option_of_a_batch_is_sent() -> None:
    done = tq.new_task("done", [1], queue="q", priority=1, max_attempts=2, tags=["t"], meta={"m": 1})
    call = batch_calls.create_batch(
        [],
        {
            "name": "n",
            "open": True,
            "on_success": done,
            "on_finished": wire.CallbackTask(kind="end", expires_s=5.0),
            "on_failure": tq.new_task("alarm"),
        },
        key="i",
    )
    assert sent(call) == {
        "tasks": [],
        "name": "n",
        "open": True,
        "on_success": {
            "kind": "done",
            "payload": [1],
            "queue": "q",
            "priority": 1,
            "max_attempts": 2,
            "tags": ["t"],
            "meta": {"m": 1},
        },
        "on_finished": {"kind": "end", "expires_s": 5.0},
        "on_failure": {"kind": "alarm"},
    }


@pytest.mark.parametrize("option", [{"delay_s": 1}, {"unique": "k"}, {"after": ID}, {"ref": "r"}])
def test_a_callback_has_nothing_that_contradicts_its_event(option: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"on_success: a callback has no {next(iter(option))}"):
        batch_calls.create_batch([], {"on_success": tq.new_task("k", **option)}, key="i")


def test_what_is_no_task_is_refused() -> None:
    with pytest.raises(TypeError, match="on_success"):
        batch_calls.create_batch([], {"on_success": "k"}, key="i")  # type: ignore[typeddict-item]  # on purpose


@pytest.mark.parametrize(
    ("webhook", "expected"),
    [
        ("https://example.com", {"url": "https://example.com", "on": ["failure", "finished", "success"]}),
        ("shop", "shop"),
        (
            wire.NewBatchWebhook(url="https://example.com", secret="s", on=["finished"]),
            {"url": "https://example.com", "secret": "s", "on": ["finished"]},
        ),
    ],
)
def test_a_webhook_is_a_name_or_a_url_or_all_that_one_can_have(webhook: Any, expected: Any) -> None:
    call = batch_calls.create_batch([], {"webhook": webhook}, key="i")
    assert sent(call) == {"tasks": [], "webhook": expected}


def test_a_batch_is_waited_for_as_long_as_was_said() -> None:
    assert batch_calls.batch("b").path == "/v1/batches/b"
    call = batch_calls.batch("b", wait_s=2.5)
    assert (call.path, call.wait_s, call.repeat) == ("/v1/batches/b?wait_s=2.5", 2.5, Repeat.READ)


@pytest.mark.parametrize("batch_id", ["", ".", ".."])
def test_an_id_that_would_name_the_collection_is_refused(batch_id: str) -> None:
    for call in (batch_calls.batch, batch_calls.close_batch, batch_calls.cancel_batch):
        with pytest.raises(ValueError, match="names nothing"):
            call(batch_id)
