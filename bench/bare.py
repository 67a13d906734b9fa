"""Baseline (a): what the same statements cost in a loop around apsw, with nothing else done.

The statements, the schema, the pragmas and the grouping are the server's own. What is left out is all that
makes it a server: threads, ids and tokens as text, results as objects, events, tallies' bookkeeping.
"""

from itertools import chain
from pathlib import Path
from typing import Any, Final

import msgspec

from tqnode import ids
from tqnode.sql import statement, statement_of_rows
from tqnode.store.connection import open_writer
from tqnode.store.migrations import migrate
from tqnode.store.tx import ROWS_MAX

QUEUE: Final = "default"
KIND: Final = "bench"
PAYLOAD: Final = b'{"user":12345,"template":"welcome","to":"someone@example.com"}'
LEASE_MS: Final = 30_000
MAX_ATTEMPTS: Final = 10
WORKER: Final = "bench"
NOW_MS: Final = 1_800_000_000_000
SECRET: Final = 1 << 62

_BEGIN = statement("begin")
_COMMIT = statement("commit")
_FIND_QUEUE = statement("find_queue_and_kinds")
_ADD_QUEUE = statement("add_queue")
_FIND_WORKER_STATE = statement("find_worker_state")
_FIND_CLAIMABLE = statement("find_claimable")
_CLAIM_ONE = statement("claim_task")
_CLAIM_MANY = statement("claim_tasks")
_COMPLETE_ONE = statement("complete_task")
_READ_RUNNING = statement("read_running")
_COMPLETE_MANY = statement("complete_tasks")
_CHANGE_TALLY = statement("change_tally")
_START_TALLY = statement("start_tally")

_BY_QUEUE: Final = {"queue": QUEUE}
Held = list[tuple[Any, ...]]


class BareQueue:
    """The operations as plain loops; each call is one transaction.

    Args:
        folder: where the database file goes.
    """

    def __init__(self, folder: Path) -> None:
        self._connection = open_writer(folder / f"{type(self).__name__}.db")
        migrate(self._connection)
        self._connection.execute(_ADD_QUEUE, {"queue": QUEUE, "now_ms": NOW_MS})
        self._seq = 0

    def close(self) -> None:
        self._connection.close()

    def enqueue(self, operations: int, size: int) -> None:
        """``operations`` enqueues of ``size`` tasks each, in one transaction."""
        execute = self._connection.execute
        execute(_BEGIN)
        left = operations * size
        while left:
            # As many rows in a statement as the core puts there.
            count = min(ROWS_MAX, left)
            numbers = range(self._seq + 1, self._seq + 1 + count)
            tasks = tuple(chain.from_iterable(self._row(seq) for seq in numbers))
            execute(statement_of_rows("insert_task", count), tasks)
            bodies = tuple(chain.from_iterable((seq, PAYLOAD, None, None, None) for seq in numbers))
            execute(statement_of_rows("insert_body", count), bodies)
            self._seq += count
            left -= count
        self._tally("ready", operations * size)
        execute(_COMMIT)

    def _row(self, seq: int) -> tuple[Any, ...]:
        packed = ids.pack(at_ms=NOW_MS, seq=seq, nonce=seq)
        return (
            *(seq, packed, QUEUE, KIND, "ready", 128, NOW_MS, NOW_MS, MAX_ATTEMPTS, LEASE_MS),
            *(None, None, None, None),
        )

    def claim(self, operations: int, size: int) -> list[Held]:
        """``operations`` claims of up to ``size`` tasks, in one transaction; the rows of each."""
        execute = self._connection.execute
        execute(_BEGIN)
        held: list[Held] = []
        for _ in range(operations):
            execute(_FIND_WORKER_STATE, {"id": WORKER}).fetchall()
            execute(_FIND_QUEUE, _BY_QUEUE).fetchall()
            params: dict[str, Any] = {
                "queue": QUEUE,
                "kind": KIND,
                "worker": WORKER,
                "secret": SECRET,
                "lease_ms": None,
                "min_priority": 0,
                "now_ms": NOW_MS,
                "max": size,
            }
            rows = execute(_FIND_CLAIMABLE, params).fetchall()
            if len(rows) == 1:
                params["seq"] = rows[0][0]
                execute(_CLAIM_ONE, params)
            else:
                params["seqs"] = _encode_seqs(rows)
                execute(_CLAIM_MANY, params)
            held.append(rows)
        claimed = sum(map(len, held))
        self._tally("ready", -claimed)
        self._tally("running", claimed)
        execute(_COMMIT)
        return held

    def complete(self, held: list[Held]) -> None:
        """Completes what was claimed, with an operation for each claim, in one transaction."""
        execute = self._connection.execute
        execute(_BEGIN)
        for rows in held:
            if len(rows) == 1:
                execute(
                    _COMPLETE_ONE,
                    {
                        "seq": rows[0][0],
                        "id": rows[0][1],
                        "grants": rows[0][5] + 1,
                        "secret": SECRET,
                        "now_ms": NOW_MS,
                        "receipt": None,
                    },
                ).fetchall()
            else:
                seqs = _encode_seqs(rows)
                execute(_READ_RUNNING, {"seqs": seqs}).fetchall()
                execute(_COMPLETE_MANY, {"seqs": seqs, "now_ms": NOW_MS})
        completed = sum(map(len, held))
        self._tally("running", -completed)
        self._tally("succeeded", completed)
        execute(_COMMIT)

    def _tally(self, state: str, tasks: int) -> None:
        row = {"queue": QUEUE, "state": state, "tasks": tasks}
        self._connection.execute(_CHANGE_TALLY, row)
        if not self._connection.changes():
            self._connection.execute(_START_TALLY, row)


def _encode_seqs(rows: Held) -> str:
    return msgspec.json.encode([row[0] for row in rows]).decode()
