"""``tq export``."""

import sys
import tempfile
from array import array
from collections.abc import Iterator
from typing import IO, TYPE_CHECKING, Any

from tq.commands.base import command, connect, note
from tq.commands.filters import filter_options, given

if TYPE_CHECKING:
    from tq.wire import NewTask, Task, TaskWebhook, Webhook

WAITING = ("blocked", "scheduled", "ready")
# Deliveries of webhooks: the node makes them itself.
NODES_OWN = "tqnode.webhooks"


@command(
    "export",
    examples=(
        "tq export > waiting.ndjson",
        "tq export --state dead --kind resize > again.ndjson",
        "tq export --url http://old:7333 | tq import - --url http://new:7333",
        "tq --at 2h export --queue images > lost.ndjson",
    ),
    past=True,
)
@filter_options
def export(**filters: Any) -> None:
    """Write tasks as lines that import reads.

    Each line is what is needed to enqueue the task anew: payload and meta byte for byte, options, and
    for a scheduled task its time; not what became of it ("tq list --json --payload" has that). Oldest
    first, so that an import keeps the order. Without --state: the tasks that wait.
    """
    from tq.commands.list import each_task
    from tq.output import json_line

    chosen = given(filters)
    chosen.setdefault("state", list(WAITING))
    with connect() as client, tempfile.TemporaryFile() as spool:
        ends = array("Q")
        # The node lists the newest first.
        for task in each_task(client, chosen, payload=True):
            if task.queue == NODES_OWN:
                continue
            spool.write(json_line(new_task(task)) + b"\n")
            ends.append(spool.tell())
        out = sys.stdout.buffer
        for line in _last_first(spool, ends):
            out.write(line)
        out.flush()
    if sys.stderr.isatty() or not ends:
        note(f"exported {len(ends)} tasks ({', '.join(chosen['state'])})")


def _last_first(spool: IO[bytes], ends: "array[int]") -> Iterator[bytes]:
    for index in range(len(ends) - 1, -1, -1):
        start = ends[index - 1] if index else 0
        spool.seek(start)
        yield spool.read(ends[index] - start)


def new_task(task: "Task") -> "NewTask":
    """What enqueues ``task`` anew."""
    from tq.output import parse_stamp
    from tq.wire import NewTask, Unique

    return NewTask(
        kind=task.kind,
        queue=task.queue,
        payload=task.payload,
        priority=task.priority,
        run_at=parse_stamp(task.run_at) if task.state == "scheduled" else None,
        max_attempts=task.max_attempts,
        retry=task.retry,
        lease_s=task.lease_s,
        timeout_s=task.timeout_s,
        result_ttl_s=task.result_ttl_s,
        expires_at=parse_stamp(task.expires_at) if task.expires_at is not None else None,
        tags=task.tags,
        meta=task.meta,
        unique=None if task.unique_key is None else Unique(key=task.unique_key),
        webhook=None if task.webhook is None else _webhook(task.webhook),
        limit_key=task.limit_key,
    )


def _webhook(told: "TaskWebhook") -> "Webhook | str":
    from tq.wire import Webhook

    if told.url is None:
        return str(told.endpoint)
    return Webhook(
        url=told.url,
        secret=told.secret,
        on=told.on,
        max_attempts=told.max_attempts,
        retry=told.retry,
    )
