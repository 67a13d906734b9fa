"""A queue that an older version wrote goes on under this one."""

from pathlib import Path

import apsw
import pytest

from tests.tqnode.nodes import open_core
from tests.tqnode.queue.families import enqueue_child, succeed
from tqnode import ids
from tqnode.sql import migrations
from tqnode.task import TaskState

PACKED = ids.pack(at_ms=1_900_000_000_000, seq=7, nonce=7)


@pytest.fixture(params=[number for number, _ in migrations()])
def old(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """A file of an earlier schema, or of the newest, with one ready task."""
    path = tmp_path / "tq.db"
    connection = apsw.Connection(str(path))
    for _, script in migrations()[: request.param]:
        connection.execute(script)
    connection.pragma("user_version", request.param)
    connection.execute(
        "INSERT INTO task (seq, id, queue, kind, state, priority, run_at_ms, created_at_ms, max_attempts,"
        " lease_ms) VALUES (7, ?, 'default', 'k', 'ready', 128, 0, 0, 10, 30000)",
        (PACKED,),
    )
    connection.execute("INSERT INTO task_body (seq, payload) VALUES (7, x'7b7d')")
    connection.execute("INSERT INTO queue (name, created_at_ms) VALUES ('default', 0)")
    connection.execute("INSERT INTO tally (queue, state, tasks) VALUES ('default', 'ready', 1)")
    connection.close()
    return path


async def test_tasks_of_each_schema_are_there_and_can_be_waited_for(old: Path) -> None:
    async with open_core(old) as core:
        task = await core.task(ids.text(PACKED))
        assert (task.state, task.needs, task.pending, task.after) == (TaskState.READY, None, 0, ())
        child = await enqueue_child(core, task.id)
        assert await core.state(child) is TaskState.BLOCKED
        await succeed(core)
        assert await core.state(child) is TaskState.READY
        assert not await core.drift()
        ((found,),) = await core.rows("PRAGMA integrity_check")
        assert found == "ok"
