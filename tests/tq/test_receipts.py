"""The whole answer to one of many tasks."""

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

import tq
from tests.tq.driving import task_row
from tq import wire
from tq.receipts import Terms, as_read, told

ID = "018f0000-0000-7000-8000-000000000001"
ROW = wire.Enqueued(id=ID, state="ready")


def read(**options: Any) -> wire.NewTask:
    task = as_read(msgspec.json.encode(tq.new_task("k", **options)))
    assert task is not None
    return task


def test_an_answer_has_the_moment_in_its_id_and_what_was_sent() -> None:
    new = read(queue="q", priority=1, tags=["b", "a", "b"], timeout_s=0.0001, max_attempts=3, lease_s=2)
    task = told(new, ROW, Terms())
    assert task.id == ID
    assert (task.queue, task.kind, task.priority, task.state) == ("q", "k", 1, "ready")
    assert task.created_at == task.run_at == "2024-04-21T09:32:31.104Z"
    assert task.tags == ["b", "a"]
    assert (task.timeout_s, task.max_attempts, task.lease_s) == (0.001, 3, 2.0)


def test_what_a_task_leaves_open_is_as_the_node_gave_it_before() -> None:
    whole = msgspec.convert(task_row(ID) | {"max_attempts": 4, "lease_s": 7.5}, wire.Task)
    terms = Terms().heard(read(max_attempts=4), whole)
    assert terms == Terms(lease_s=7.5)
    assert not terms.cover(read())
    assert terms.cover(read(max_attempts=1))
    terms = terms.heard(read(lease_s=1), whole)
    assert terms == Terms(max_attempts=4, lease_s=7.5)
    task = told(read(), ROW, terms)
    assert (task.max_attempts, task.lease_s, task.priority) == (4, 7.5, 128)


def test_what_a_queue_gave_is_told_and_is_not_taken_for_the_nodes() -> None:
    given = wire.Given(lease_s=60.0, priority=7, timeout_s=3.0, retry=tq.Fixed(delay_s=1))
    whole = msgspec.convert(task_row(ID) | {"max_attempts": 4, "lease_s": 60.0}, wire.Task)
    whole.given = given
    terms = Terms().heard(read(), whole)
    assert terms == Terms(max_attempts=4)
    terms = Terms(max_attempts=4, lease_s=30.0)
    row = wire.Enqueued(id=ID, state="ready", given=given)
    task = told(read(), row, terms)
    assert (task.max_attempts, task.lease_s, task.priority, task.timeout_s) == (4, 60.0, 7, 3.0)
    assert (task.retry, task.given) == (tq.Fixed(delay_s=1), given)
    plain = told(read(), ROW, terms)
    assert (plain.lease_s, plain.priority, plain.given) == (30.0, 128, None)
    own = told(read(lease_s=2, priority=128), wire.Enqueued(id=ID, state="ready"), terms)
    assert (own.lease_s, own.priority) == (2.0, 128)


@pytest.mark.parametrize("row", [b"{}", b'{"kind":"k","priority":256}', b"[", b'{"kind":"k","unknown":1}'])
def test_what_no_node_takes_is_not_read(row: bytes) -> None:
    assert as_read(row) is None


@pytest.mark.parametrize(
    "option",
    [
        {"unique": "u"},
        {"delay_s": 0.0},
        {"run_at": datetime(2026, 1, 1, tzinfo=UTC)},
        {"expires_at": datetime(2026, 1, 1, tzinfo=UTC)},
        {"ref": "r"},
        {"after": [ID]},
    ],
)
def test_what_only_the_node_can_answer_is_not_read(option: dict[str, Any]) -> None:
    assert as_read(msgspec.json.encode(tq.new_task("k", **option))) is None
