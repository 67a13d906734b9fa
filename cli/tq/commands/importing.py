"""``tq import``."""

import fcntl
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import click

from tq.commands.base import ExitCode, Failed, command, connect, failure, json_option, note
from tq.commands.values import STDIN

if TYPE_CHECKING:
    from tq.client import Client
    from tq.commands.batches import Stopped
    from tq.commands.checkpoint import Checkpoint
    from tq.commands.importing_view import View

# The node remembers idempotency keys for an hour unless told otherwise; a little is for clocks that differ.
KEYS_KEPT_S = 3600 - 60
SUFFIX = ".tq-import"


@command(
    "import",
    examples=(
        "tq import tasks.ndjson",
        "tq import tasks.ndjson --skip-invalid 2> skipped.txt",
        "tq export --url http://old:7333 | tq import - --url http://new:7333",
    ),
)
@click.argument("file", metavar="FILE | -")
@click.option(
    "--skip-invalid", is_flag=True, help="Leave out lines that are no tasks; else stop at the first."
)
@click.option(
    "--checkpoint",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Where to keep how far it came (default: FILE.tq-import).",
)
@click.option(
    "--restart", is_flag=True, help="Begin again; what an earlier import enqueued comes a second time."
)
@click.option(
    "--unsure",
    type=click.Choice(("send", "skip")),
    help="For a batch that may or may not have been taken too long ago: send it again, or skip it.",
)
@json_option("the summary as JSON")
def import_tasks(
    file: str, skip_invalid: bool, checkpoint: Path | None, restart: bool, unsure: str | None, as_json: bool
) -> int:
    """Enqueue the tasks of a file, resumably.

    One task a line, as JSON in the form that "POST /v1/tasks" takes. How far it came is kept in a
    small file beside FILE: after a crash or an error, the same command goes on where it stopped and
    enqueues nothing twice. Lines appended later are imported by running it again. Standard input can
    be imported too, but not resumed.
    """
    with connect() as client:
        if file == STDIN:
            run = _streamed(client, sys.stdin.buffer, "standard input", checkpoint or restart or unsure)
            return run.to_the_end(skip_invalid=skip_invalid, unsure=unsure, as_json=as_json)
        path = Path(file)
        with path.open("rb") as opened:
            if not path.is_file():
                run = _streamed(client, opened, file, checkpoint or restart or unsure)
                return run.to_the_end(skip_invalid=skip_invalid, unsure=unsure, as_json=as_json)
            with _alone(opened, file):
                place = checkpoint or path.with_name(path.name + SUFFIX)
                kept = _begun(place, client, opened, restart=restart)
                run = Run(client, opened, kept, file, size=path.stat().st_size)
                return run.to_the_end(skip_invalid=skip_invalid, unsure=unsure, as_json=as_json)


def _streamed(client: "Client", opened: BinaryIO, name: str, resuming: object) -> "Run":
    """An import of what can be read but once."""
    from tq.clock import SystemClock
    from tq.commands.checkpoint import Checkpoint

    if resuming:
        raise click.UsageError(
            f"{name} cannot be resumed: --checkpoint, --restart and --unsure are for files"
        )
    return Run(client, opened, Checkpoint.begin(None, client.urls, SystemClock()), name, size=None)


@contextmanager
def _alone(opened: BinaryIO, name: str) -> Iterator[None]:
    """Makes sure that no other import works on the file: both would send the same batches."""
    try:
        fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise Failed(f"another import of {name} is running") from None
    yield


def _begun(place: Path, client: "Client", opened: BinaryIO, *, restart: bool) -> "Checkpoint":
    """The import that ``place`` tells of, checked against the file and the node; else a new one."""
    from tq.clock import SystemClock
    from tq.commands.checkpoint import Checkpoint

    try:
        kept = None if restart else Checkpoint.resume(place, SystemClock())
    except ValueError as error:
        raise Failed(str(error), hint="--restart begins again", code=ExitCode.USAGE) from None
    if kept is None:
        return Checkpoint.begin(place, client.urls, SystemClock())
    if sorted(kept.progress.urls) != sorted(client.urls):
        raise Failed(
            f"the import that {place} tells of went to {', '.join(kept.progress.urls)}",
            hint="go on with --url of that node, or --restart to import all of it here",
            code=ExitCode.USAGE,
        )
    if not kept.matches(opened):
        raise Failed(
            f"the first {kept.progress.lines} lines, which were imported, have changed since",
            hint=f"--restart imports the whole file; {place} says how far it came",
            code=ExitCode.USAGE,
        )
    return kept


class Run:
    """One run of an import.

    Args:
        client: of the node.
        opened: what is read; a file stands where the import goes on.
        kept: how far it came before.
        name: what people call the input.
        size: of the file in bytes; None for a stream.
    """

    def __init__(
        self, client: "Client", opened: BinaryIO, kept: "Checkpoint", name: str, *, size: int | None
    ) -> None:
        self._client = client
        self._opened = opened
        self._kept = kept
        self._progress = kept.progress
        self._name = name
        self._size = size
        self._before = kept.progress.imported

    def to_the_end(self, *, skip_invalid: bool, unsure: str | None, as_json: bool) -> int:
        """Imports what is left and tells the sum.

        Raises:
            Failed: it stopped before the end.
        """
        from tq.commands.batches import Stopped
        from tq.commands.importing_view import View
        from tq.errors import IdempotencyMismatch, TqError

        if self._progress.lines:
            note(f"going on after line {self._progress.lines}")
        try:
            with View(self._name, self._size, self._progress) as view:
                self._import(view, skip_invalid=skip_invalid, unsure=unsure)
        except Stopped as stop:
            self._tell_sum(as_json=as_json)
            raise self._stopped(stop, skip_invalid=skip_invalid) from None
        except IdempotencyMismatch as error:
            raise Failed(
                f"lines after {self._progress.lines} were changed since they had been sent",
                hint="put them back, or decide with --unsure send or --unsure skip once an hour has passed",
                code=ExitCode.UNKNOWN,
            ) from error
        except ValueError as error:
            raise Failed(str(error), hint="put them back; --restart imports the whole file") from None
        except OSError as error:
            if error.filename is None:
                raise
            hint = "how far the import comes is kept there; --checkpoint names another place"
            raise Failed(f"{error.filename}: {error.strerror}", hint=hint, code=ExitCode.USAGE) from None
        except TqError as error:
            failed = failure(error)
            failed.hint = self._how_to_go_on()
            raise failed from error
        except KeyboardInterrupt:
            note(self._how_to_go_on())
            raise
        self._tell_sum(as_json=as_json)
        return ExitCode.OK

    def _import(self, view: "View", *, skip_invalid: bool, unsure: str | None) -> None:
        from tq.commands.batches import Importer
        from tq.commands.ndjson import read_lines

        importer = Importer(
            self._client, self._kept, skip_faults=skip_invalid, skipped=view.skipped, moved=view.moved
        )
        lines = read_lines(self._opened, number=self._kept.next_number, offset=self._progress.offset)
        if self._progress.sending is not None:
            importer.repeat(lines, send=self._sends_again(unsure))
        importer.run(lines)

    def _sends_again(self, unsure: str | None) -> bool:
        """Whether the batch that was on its way is sent again; while the node knows its key, always."""
        sending = self._progress.sending
        if sending is None or self._kept.sending_age_s() < KEYS_KEPT_S:
            return True
        if unsure is None:
            raise Failed(
                f"lines after {self._progress.lines} were sent at {sending.at}; whether the node took them"
                " is not known, and after an hour it does not know them again",
                hint="look with `tq list --created-after`, then decide: --unsure send or --unsure skip",
                code=ExitCode.UNKNOWN,
            )
        return unsure == "send"

    def _stopped(self, stop: "Stopped", *, skip_invalid: bool) -> Failed:
        if stop.line.cut_off and skip_invalid:
            hint = "the file ends within that line: run it again when it is complete"
        else:
            hint = "all lines before it are imported; put it right and run it again, or say --skip-invalid"
        return Failed(f"{self._name}: line {stop.line.number}: {stop.reason}", hint=hint, code=ExitCode.USAGE)

    def _how_to_go_on(self) -> str:
        if self._kept.path is None:
            return f"the first {self._progress.lines} lines are imported; a stream cannot be resumed"
        return f"lines to {self._progress.lines} are imported; the same command goes on from there"

    def _tell_sum(self, *, as_json: bool) -> None:
        progress = self._progress
        if as_json:
            from tq.output import write_json

            names = ("lines", "imported", "duplicates", "skipped", "unsure")
            write_json({name: getattr(progress, name) for name in names})
            return
        told = [f"imported {progress.imported - self._before} tasks"]
        if self._before:
            told[0] += f" ({progress.imported} in all)"
        if progress.duplicates:
            told.append(f"{progress.duplicates} were there already")
        if progress.skipped:
            told.append(f"skipped {progress.skipped} lines")
        if progress.unsure:
            told.append(f"{progress.unsure} may or may not have been imported")
        click.echo(", ".join(told))
