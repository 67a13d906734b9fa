"""Sends the lines of a file to the node in batches, each all or nothing, and finds the ones it refuses."""

import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

from tq.commands.checkpoint import Checkpoint, Sending
from tq.commands.ndjson import Line
from tq.errors import (
    ApiError,
    BodyTooLarge,
    Busy,
    IdempotencyMismatch,
    InvalidField,
    InvalidJson,
    TqError,
    TqUnavailable,
    UniqueConflict,
)
from tq.wire import Enqueued

TASKS_MAX = 1000
# Blank lines and those left out are counted as well: a batch is kept in memory.
LINES_MAX = 10 * TASKS_MAX
BYTES_MAX = 4 * 1024 * 1024
_ROW = re.compile(r"\A\[(\d+)\]\.?")
# Refusals for what a line says; any other would meet every line.
LINE_FAULTS = (InvalidField, InvalidJson, BodyTooLarge, UniqueConflict)


class Stopped(Exception):
    """A line cannot be imported, and lines are not to be skipped.

    Args:
        line: which.
        reason: why.
    """

    def __init__(self, line: Line, reason: str) -> None:
        super().__init__(f"line {line.number}: {reason}")
        self.line = line
        self.reason = reason


class Sends(Protocol):
    """What enqueues: a client."""

    def enqueue_rows(self, rows: list[bytes], *, idempotency_key: str) -> list[Enqueued]:
        """Enqueues tasks that are JSON already, all or none."""
        ...


class Importer:
    """Takes lines in order; each is enqueued, or skipped, or stops it.

    Args:
        client: enqueues.
        checkpoint: kept up to date so that another run can go on.
        skip_faults: whether a line that cannot be imported is left out; else it stops the import.
        skipped: told each line left out and why.
        moved: called when lines are done with.
    """

    def __init__(
        self,
        client: Sends,
        checkpoint: Checkpoint,
        *,
        skip_faults: bool,
        skipped: Callable[[Line, str], None],
        moved: Callable[[], None],
    ) -> None:
        self._client = client
        self._checkpoint = checkpoint
        self._skip_faults = skip_faults
        self._skipped = skipped
        self._moved = moved

    def run(self, lines: Iterator[Line]) -> None:
        """Imports ``lines`` to the last.

        Raises:
            Stopped: at a line that cannot be imported; all before it are.
            TqError: the node is away or refuses everything.
            OSError: how far it came cannot be kept.
        """
        for batch in batches(lines, stop_at_fault=not self._skip_faults):
            self._import(batch)
        self._checkpoint.finish()

    def repeat(self, lines: Iterator[Line], *, send: bool = True) -> None:
        """Deals with the batch that was on its way when an earlier run ended.

        Args:
            lines: of the file, from where that batch begins; read up to its end.
            send: whether it is sent again, exactly as it was, under its key; else it is passed over.

        Raises:
            ValueError: the file ends within that batch.
            TqError: as for ``run``; IdempotencyMismatch when lines of it were changed since.
        """
        sending = self._checkpoint.progress.sending
        assert sending is not None  # noqa: S101 - asked only when there is one
        batch: list[Line] = []
        while not batch or batch[-1].end < sending.end:
            line = next(lines, None)
            if line is None:
                raise ValueError("the lines that were sent last are no longer in the file")
            batch.append(line)
        without = set(sending.without)
        batch = [
            line._replace(fault=(line.fault or "refused before") if line.number in without else None)
            for line in batch
        ]
        if send:
            self._import(batch, again=sending)
        else:
            self._checkpoint.progress.unsure += len(_tasks(batch))
            self._settle(batch, [], whole=True)

    def _import(self, batch: list[Line], *, again: Sending | None = None) -> None:
        """Imports one batch, cutting it down around the lines that the node refuses."""
        waiting = deque([batch])
        while waiting:
            piece = waiting.popleft()
            tasks = _tasks(piece)
            if not tasks:
                self._settle(piece, [])
                continue
            without = [line.number for line in piece if line.fault]
            sending = again or self._checkpoint.sends(piece[-1].end, without)
            try:
                rows = [line.task for line in tasks]
                results = self._client.enqueue_rows(rows, idempotency_key=sending.key)
            except LINE_FAULTS as error:
                self._checkpoint.progress.sending = None
                waiting.extendleft(reversed(cut(piece, tasks, error)))
            except TqError as error:
                # Of a repeated batch nothing is certain: the time before, it may have been taken.
                if again is None and certainly_not_taken(error):
                    self._checkpoint.sent_not()
                raise
            else:
                self._settle(piece, results, whole=True)
            again = None

    def _settle(self, piece: list[Line], results: list[Enqueued], *, whole: bool = False) -> None:
        """Counts the lines of a batch as done with.

        Args:
            piece: the lines.
            results: what the node made of the tasks among them.
            whole: the batch was sent, so the import cannot stop within it.
        """
        progress = self._checkpoint.progress
        progress.sending = None
        duplicates = sum(result.duplicate for result in results)
        progress.duplicates += duplicates
        progress.imported += len(results) - duplicates
        for line in piece:
            if line.fault is not None:
                if not whole and (line.cut_off or not self._skip_faults):
                    self._checkpoint.save()
                    raise Stopped(line, line.fault)
                progress.skipped += 1
                self._skipped(line, line.fault)
            self._checkpoint.passes(line)
        self._moved()


def _tasks(piece: Iterable[Line]) -> list[Line]:
    return [line for line in piece if line.fault is None and not line.blank]


def certainly_not_taken(error: TqError) -> bool:
    """Whether a batch that met ``error`` may be sent again under another key."""
    if isinstance(error, TqUnavailable | Busy):
        return True
    if not isinstance(error, ApiError) or isinstance(error, IdempotencyMismatch):
        return False
    return error.status is not None and error.status < 500


def batches(lines: Iterable[Line], *, stop_at_fault: bool) -> Iterator[list[Line]]:
    """Lines in requests' worth; a line with a fault comes alone when it is to stop the import."""
    batch: list[Line] = []
    tasks = size = 0
    for line in lines:
        alone = line.fault is not None and (stop_at_fault or line.cut_off)
        full = tasks >= TASKS_MAX or (tasks and size + len(line.raw) > BYTES_MAX) or len(batch) >= LINES_MAX
        if batch and (alone or full):
            yield batch
            batch, tasks, size = [], 0, 0
        if alone:
            yield [line]
            continue
        batch.append(line)
        tasks += line.fault is None and not line.blank
        size += len(line.raw)
    if batch:
        yield batch


def cut(piece: list[Line], tasks: list[Line], error: ApiError) -> list[list[Line]]:
    """The pieces to try instead of one that the node refused.

    The line at fault is marked when the refusal names it or it is the only one; else halves are tried.
    """
    row = _ROW.match(error.field or "")
    if row is not None and int(row[1]) < len(tasks):
        culprit = tasks[int(row[1])]
    elif len(tasks) == 1:
        culprit = tasks[0]
    else:
        middle = piece.index(tasks[len(tasks) // 2])
        return [piece[:middle], piece[middle:]]
    at = piece.index(culprit)
    marked = culprit._replace(fault=reason_of(error))
    return [part for part in (piece[:at], [marked], piece[at + 1 :]) if part]


def reason_of(error: ApiError) -> str:
    """Why the node refused a line, with the field as it is named in that line."""
    field = _ROW.sub("", error.field or "", count=1)
    return f"{field}: {error.detail}" if field else error.detail
