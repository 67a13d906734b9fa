"""Batches from the SDK and the command line, with a real node and a real worker."""

import asyncio
import json
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

import tq
from tests.e2e.command_process import Tq
from tests.e2e.worker_bench import WorkerBench
from tests.waiting import eventually


def call(at_work: WorkerBench, kind: str, *args: object, **options: Any) -> tq.NewTask:
    return tq.new_task(kind, {"args": args, "kwargs": {}}, queue=at_work.queue, **options)


def come(at_work: WorkerBench, batch_id: str) -> tq.wire.Callback | None:
    """The callback of a success, once it has come."""
    callback = at_work.client.batch(batch_id).on_success
    return callback if callback is not None and callback.task is not None else None


def told_by(at_work: WorkerBench, callback: tq.wire.Callback | None) -> Any:
    """What the task of a callback has returned."""
    assert callback is not None
    assert callback.task is not None
    return at_work.value(at_work.ended(callback.task))


def test_a_batch_grows_from_within_and_its_callback_is_told_how_it_ended(at_work: WorkerBench) -> None:
    at_work.worker("-c", "4")
    made = at_work.client.enqueue_batch(
        [call(at_work, "split", 5), *[call(at_work, "add", 1, n) for n in range(10)]],
        name="growing",
        on_success=call(at_work, "tell_batch"),
        on_failure=call(at_work, "tell_batch"),
    )
    batch = at_work.client.wait_batch(made.id, timeout_s=60)
    assert (batch.state, batch.total, batch.succeeded, batch.name) == ("finished", 16, 16, "growing")
    about = told_by(at_work, eventually(lambda: come(at_work, made.id), within_s=20))
    expected = {"id": made.id, "event": "success", "name": "growing", "total": 16, "succeeded": 16}
    assert about == expected | {"pending": 0, "dead": 0, "cancelled": 0}
    alarm = at_work.client.batch(made.id).on_failure
    assert alarm is not None
    assert alarm.task is None
    assert len(list(at_work.client.list(batch=made.id))) == 16


def test_a_batch_that_is_too_large_for_one_request_goes_in_several(at_work: WorkerBench) -> None:
    with patch("tq.batch_programs.TASKS_MAX", 100):
        made = at_work.client.enqueue_batch(
            (call(at_work, "add", n, 1) for n in range(250)), idempotency_key="k"
        )
        again = at_work.client.enqueue_batch(
            (call(at_work, "add", n, 1) for n in range(250)), idempotency_key="k"
        )
    assert made == again
    assert len({row.id for row in made.results}) == 250
    batch = at_work.client.batch(made.id)
    assert (batch.state, batch.total) == ("running", 250)
    assert at_work.client.batches(limit=1) == [batch]
    assert at_work.client.cancel_batch(made.id).total == 250
    assert eventually(lambda: at_work.client.wait_batch(made.id, timeout_s=20)).cancelled == 250
    with pytest.raises(tq.errors.BatchCancelled):
        at_work.client.add_to_batch(made.id, [call(at_work, "add", 1, 1)])


def test_half_a_batch_is_cancelled_when_the_other_half_is_refused(at_work: WorkerBench) -> None:
    tasks = [call(at_work, "add", 1, 1), call(at_work, "add", 1, 1, after=tq.new_task("k", ref="nobody"))]
    with patch("tq.batch_programs.TASKS_MAX", 1), pytest.raises(tq.errors.UnknownRef):
        at_work.client.enqueue_batch(tasks, name="half")
    half = next(batch for batch in at_work.client.batches() if batch.name == "half")
    assert (half.state, half.cancelled) == ("finished", 1)


def test_waiting_for_a_batch_ends_in_time(at_work: WorkerBench) -> None:
    made = at_work.client.enqueue_batch(open=True)
    with pytest.raises(tq.errors.WaitTimeout, match="batch not final after"):
        at_work.client.wait_batch(made.id, timeout_s=0.1)


def test_the_async_client_does_the_same(at_work: WorkerBench) -> None:
    async def work() -> tq.wire.Batch:
        async with tq.AsyncClient(at_work.node.url) as client:
            made = await client.enqueue_batch([call(at_work, "add", 1, 1)], open=True)
            await client.add_to_batch(made.id, [call(at_work, "add", 1, 2)])
            await client.close_batch(made.id)
            return await client.wait_batch(made.id, timeout_s=30)

    at_work.worker()
    assert asyncio.run(work()).succeeded == 2


def test_the_command_makes_a_batch_of_a_file_and_ends_as_it_does(
    at_work: WorkerBench, tmp_path: Path
) -> None:
    def line(kind: str, *args: object) -> str:
        payload = {"args": args, "kwargs": {}}
        return (
            json.dumps({"kind": kind, "queue": at_work.queue, "payload": payload, "max_attempts": 1}) + "\n"
        )

    path = tmp_path / "tasks.ndjson"
    path.write_text("".join(line("add", n, 1) for n in range(999)) + line("fail", "so"))
    at_work.worker("-c", "8")
    command = Tq(at_work.node.url)
    done = command("batch", "create", str(path), "--on-failure", "alarm", "--wait", "--json", code=1)
    batch = json.loads(done.out)
    assert (batch["total"], batch["succeeded"], batch["dead"]) == (1_000, 999, 1)
    shown = command("batch", "get", batch["id"]).out
    assert "on failure  alarm in default: task " in shown
    assert batch["id"] in command("batch", "list").out


def test_waiting_on_a_terminal_shows_how_far_a_batch_is(at_work: WorkerBench) -> None:
    made = at_work.client.enqueue_batch([call(at_work, "add", 1, 1)] * 2, open=True)
    terminal = Tq(at_work.node.url).terminal("batch", "wait", made.id)
    try:
        eventually(lambda: "0/2  open: it waits for tq batch close" in terminal.text, within_s=30)
        at_work.client.cancel_batch(made.id)
        assert terminal.wait() == 3
        assert f"{made.id}  finished  2 cancelled of 2" in terminal.text
    finally:
        terminal.end()
