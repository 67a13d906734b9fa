"""How far an import came: a small file beside the imported one, so that a crash doubles nothing.

Before a batch is sent, the file says which lines it holds and under which idempotency key. After a
crash that very batch is sent again under that key, and the node knows whether it has it.
"""

import hashlib
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

import msgspec

from tq.clock import Clock
from tq.commands.ndjson import Line, raw_lines
from tq.ids import time_ordered_id
from tq.output import parse_stamp

FORMAT = 1


class Sending(msgspec.Struct, frozen=True):
    """A batch that may or may not have reached the node.

    Args:
        key: the idempotency key it goes under.
        end: offset of the byte after its last line; it begins where the import stands.
        without: numbers of lines within it that are left out.
        at: when it was first sent.
    """

    key: str
    end: int
    without: list[int]
    at: str


class Progress(msgspec.Struct):
    """What is kept between runs.

    Args:
        run: names this import; the batches' keys begin with it.
        urls: the node the tasks went to.
        offset: bytes of the file that are done with.
        lines: lines that are done with.
        imported: tasks enqueued.
        duplicates: tasks that the node already had under their unique key.
        skipped: lines left out.
        unsure: tasks that may or may not have been enqueued, and were not sent again.
        batches: how many keys were used.
        digest: SHA-256 of the lines done with: a file that was changed there is another file.
        sending: the batch on its way.
        done_at: when the end of the file was reached.
    """

    run: str
    urls: list[str]
    offset: int = 0
    lines: int = 0
    imported: int = 0
    duplicates: int = 0
    skipped: int = 0
    unsure: int = 0
    batches: int = 0
    digest: str = hashlib.sha256().hexdigest()
    sending: Sending | None = None
    done_at: str | None = None
    format: int = FORMAT


class Checkpoint:
    """The progress of one import and the file that keeps it.

    Args:
        path: of that file; None keeps nothing, for input that cannot be read twice.
        progress: where the import stands.
        clock: for times and keys.

    Attributes:
        next_number: of the line that the import goes on with.
    """

    def __init__(self, path: Path | None, progress: Progress, clock: Clock) -> None:
        self.path = path
        self.progress = progress
        self._clock = clock
        self._digest = hashlib.sha256()
        self.next_number = progress.lines + 1

    @classmethod
    def begin(cls, path: Path | None, urls: list[str], clock: Clock) -> "Checkpoint":
        """An import that starts at the beginning."""
        return cls(path, Progress(run=time_ordered_id(clock), urls=urls), clock)

    @classmethod
    def resume(cls, path: Path, clock: Clock) -> "Checkpoint | None":
        """The import that ``path`` tells of; None when there is none.

        Raises:
            ValueError: the file is not such a file.
        """
        try:
            kept = path.read_bytes()
        except FileNotFoundError:
            return None
        try:
            progress = msgspec.json.decode(kept, type=Progress)
        except msgspec.DecodeError as error:
            raise ValueError(f"{path} does not say how far an import came: {error}") from None
        if progress.format != FORMAT:
            raise ValueError(f"{path} was written by another version of tq (format {progress.format})")
        return cls(path, progress, clock)

    def matches(self, file: BinaryIO) -> bool:
        """Whether ``file`` still begins with the lines that are done with; it stands after them then."""
        file.seek(0)
        left = self.progress.offset
        digest = hashlib.sha256()
        self.next_number = self.progress.lines + 1
        for raw, size in raw_lines(file) if left else ():
            # The last one may have had no end yet; what was written after it belongs to the same line.
            digest.update(raw[:left])
            if size > left:
                self.next_number = self.progress.lines
            left -= min(size, left)
            if not left:
                break
        self._digest = digest
        file.seek(self.progress.offset)
        return left == 0 and digest.hexdigest() == self.progress.digest

    def sends(self, end: int, without: list[int]) -> Sending:
        """Keeps that the lines up to ``end`` are about to be sent; says under which key."""
        progress = self.progress
        progress.batches += 1
        key = f"tq-import-{progress.run}-{progress.offset}-{progress.batches}"
        progress.sending = Sending(key=key, end=end, without=without, at=self._stamp())
        self.save()
        return progress.sending

    def sent_not(self) -> None:
        """Keeps that the batch on its way was certainly not taken."""
        self.progress.sending = None
        self.save()

    def passes(self, line: Line) -> None:
        """Counts a line as done with. It is kept with the next batch, or by ``save``."""
        self._digest.update(line.raw)
        self.progress.offset = line.end
        self.progress.lines = line.number

    def finish(self) -> None:
        """Keeps that the end was reached."""
        self.progress.done_at = self._stamp()
        self.save()

    def sending_age_s(self) -> float:
        """Seconds since the batch on its way was first sent."""
        assert self.progress.sending is not None  # noqa: S101 - asked only when there is one
        sent = parse_stamp(self.progress.sending.at).timestamp()
        return self._clock.now_ms() / 1000 - sent

    def save(self) -> None:
        """Writes the file anew, on disk before this returns.

        Raises:
            OSError: it cannot be written.
        """
        if self.path is None:
            return
        self.progress.digest = self._digest.hexdigest()
        fresh = self.path.with_name(self.path.name + ".new")
        with fresh.open("wb") as file:
            file.write(msgspec.json.encode(self.progress) + b"\n")
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(self.path)
        folder = os.open(self.path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def _stamp(self) -> str:
        return datetime.fromtimestamp(self._clock.now_ms() / 1000, UTC).isoformat(timespec="milliseconds")
