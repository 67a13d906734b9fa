"""Finds a task's row, and reads it into a :class:`~tqnode.task.Task`."""

from collections.abc import Sequence
from typing import Any, Protocol

import msgspec

from tqnode import ids
from tqnode.errors import NotFound
from tqnode.sql import statement
from tqnode.store.tx import Params, Row
from tqnode.task import Needs, Task, TaskError, TaskState, Webhook

_READ = statement("read_task")

_texts = msgspec.json.Decoder(tuple[str, ...])
_errors = msgspec.json.Decoder(tuple[TaskError, ...])
_webhook = msgspec.json.Decoder(Webhook)


class Reads(Protocol):
    """Both the writer's transaction and a reader's snapshot."""

    def one(self, sql: str, params: Params | None = None) -> Row | None: ...

    def all(self, sql: str, params: Params | None = None) -> list[Row]: ...


def listed(seqs: Sequence[int]) -> str:
    """Row numbers as the one parameter of a statement for many rows: ``json_each`` reads them."""
    return msgspec.json.encode(seqs).decode()


def place(task_id: str) -> dict[str, Any]:
    """The parameters that find the task: its row number, and the whole id to compare.

    Raises:
        NotFound: it is no task's id.
    """
    try:
        packed = ids.parse(task_id)
    except ValueError:
        raise NotFound("task", task_id) from None
    return {"seq": ids.seq_of(packed), "id": packed}


def read_task(reader: Reads, task_id: str) -> Task:
    """The whole task.

    Raises:
        NotFound: there is none.
    """
    row = reader.one(_READ, place(task_id))
    if row is None:
        raise NotFound("task", task_id)
    return task_of(row)


def texts_of(stored: bytes | str | None) -> tuple[str, ...]:
    """A stored JSON array of strings."""
    return _texts.decode(stored) if stored else ()


def errors_of(stored: bytes | None) -> tuple[TaskError, ...]:
    """A stored JSON array of errors."""
    return _errors.decode(stored) if stored else ()


def task_of(row: Row) -> Task:
    """The task in a row of ``read_task`` or ``list_tasks``."""
    earlier = texts_of(row[28])
    worker = row[18]
    return Task(
        id=ids.text(row[0]),
        queue=row[1],
        kind=row[2],
        state=TaskState(row[3]),
        reason=row[4],
        priority=row[5],
        created_at_ms=row[6],
        run_at_ms=row[7],
        started_at_ms=row[8],
        finished_at_ms=row[9],
        expires_at_ms=row[10],
        lease_expires_at_ms=row[11],
        cancel_requested_at_ms=row[12],
        attempt=row[13],
        max_attempts=row[14],
        crashes=row[15],
        lease_ms=row[16],
        timeout_ms=row[17],
        worker=worker,
        attempted_by=earlier if worker is None else (*earlier, worker),
        unique_key=row[19],
        tags=texts_of(row[23]),
        payload=row[21],
        meta=row[22],
        retry=row[24],
        result=row[25],
        progress=row[26],
        errors=errors_of(row[27]),
        needs=Needs(row[29]) if row[29] else None,
        pending=row[30],
        after=tuple(ids.texts([bytes.fromhex(one) for one in texts_of(row[31])])) if row[31] else (),
        webhook=_webhook.decode(row[32]) if row[32] else None,
        limit_key=row[33],
        batch=ids.text(row[34]) if row[34] else None,
        result_ttl_ms=row[35],
        result_expired=bool(row[36]),
    )
