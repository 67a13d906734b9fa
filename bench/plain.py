"""Baseline (p): the loop around apsw that one writes first, with one statement for each task.

It stores the same rows under the same schema and pragmas as the core does. Tasks are inserted with
``executemany``, claimed by one ``UPDATE … RETURNING`` and then read one by one, completed one by one.
"""

from typing import Any

from bench.bare import KIND, NOW_MS, PAYLOAD, QUEUE, SECRET, WORKER, BareQueue, Held
from tqnode.sql import statement

_BEGIN = statement("begin")
_COMMIT = statement("commit")
_INSERT_TASK = statement("insert_task")
_INSERT_BODY = statement("insert_body")
_COMPLETE_ONE = statement("complete_task")
_READ_BODY = "SELECT payload, meta, tags FROM task_body WHERE seq = ?"
_CLAIM = """
UPDATE task SET state = 'running', attempt = attempt + 1, grants = grants + 1, secret = :secret,
    worker = :worker, receipt = NULL, started_at_ms = :now_ms, lease_expires_at_ms = :now_ms + lease_ms
WHERE seq IN (
    SELECT seq FROM task WHERE limit_key IS NULL AND state = 'ready' AND queue = :queue AND kind = :kind
    ORDER BY priority DESC, run_at_ms, seq LIMIT :max)
RETURNING seq, id, kind, priority, run_at_ms, grants, attempt, max_attempts, crashes, lease_ms, timeout_ms,
    created_at_ms
"""


class PlainQueue(BareQueue):
    """As :class:`~bench.bare.BareQueue`, written plainly."""

    def enqueue(self, operations: int, size: int) -> None:
        execute, many = self._connection.execute, self._connection.executemany
        execute(_BEGIN)
        for _ in range(operations):
            numbers = range(self._seq + 1, self._seq + 1 + size)
            self._seq += size
            many(_INSERT_TASK, [self._row(seq) for seq in numbers])
            many(_INSERT_BODY, [(seq, PAYLOAD, None, None, None) for seq in numbers])
        self._tally("ready", operations * size)
        execute(_COMMIT)

    def claim(self, operations: int, size: int) -> list[Held]:
        execute = self._connection.execute
        execute(_BEGIN)
        held: list[Held] = []
        params: dict[str, Any] = {
            "queue": QUEUE,
            "kind": KIND,
            "worker": WORKER,
            "secret": SECRET,
            "now_ms": NOW_MS,
            "max": size,
        }
        for _ in range(operations):
            rows = execute(_CLAIM, params).fetchall()
            for row in rows:
                execute(_READ_BODY, (row[0],)).fetchall()
            held.append(rows)
        claimed = sum(map(len, held))
        self._tally("ready", -claimed)
        self._tally("running", claimed)
        execute(_COMMIT)
        return held

    def complete(self, held: list[Held]) -> None:
        execute = self._connection.execute
        execute(_BEGIN)
        rows = [row for one in held for row in one]
        for row in rows:
            execute(
                _COMPLETE_ONE,
                {
                    "seq": row[0],
                    "id": row[1],
                    "grants": row[5],
                    "secret": SECRET,
                    "now_ms": NOW_MS,
                    "receipt": None,
                },
            ).fetchall()
        self._tally("running", -len(rows))
        self._tally("succeeded", len(rows))
        execute(_COMMIT)
