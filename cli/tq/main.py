"""The command ``tq``: finds the sub-command, runs it, turns how it ended into an exit code.

A sub-command's module is imported only when it is asked for by name, so that help, completion and
usage errors come at once.
"""

import errno
import os
import sys
from collections.abc import Sequence
from io import TextIOWrapper
from typing import Any, NamedTuple

import click

from tq.commands.base import EXIT_CODES, Command, ExitCode, at_option, complain, node_options, write_examples
from tq.interrupts import repeat_interrupts


class Entry(NamedTuple):
    """Where a command lives, and what it does in a few words (the first line of its own help)."""

    module: str
    attribute: str
    does: str


COMMANDS = {
    "enqueue": Entry("tq.commands.enqueue", "enqueue", "Enqueue one task."),
    "get": Entry("tq.commands.task", "get", "Show tasks in full."),
    "list": Entry("tq.commands.list", "list_tasks", "List tasks, newest first."),
    "count": Entry("tq.commands.bulk", "count", "Count tasks."),
    "graph": Entry("tq.commands.graph", "graph", "Show what a task waits for, and what waits for it."),
    "explain": Entry("tq.commands.explain", "explain", "Say why tasks run, or do not."),
    "wait": Entry("tq.commands.wait", "wait", "Wait until tasks have ended."),
    "logs": Entry("tq.commands.logs", "logs", "Show what a task's attempts have told."),
    "cancel": Entry("tq.commands.task", "cancel", "Cancel tasks that have not ended."),
    "retry": Entry("tq.commands.task", "retry", "Make ended tasks ready again."),
    "delete": Entry("tq.commands.task", "delete", "Delete tasks that are not running."),
    "bulk": Entry("tq.commands.bulk", "bulk", "Do one thing to all tasks that match, slice by slice."),
    "import": Entry("tq.commands.importing", "import_tasks", "Enqueue the tasks of a file, resumably."),
    "export": Entry("tq.commands.exporting", "export", "Write tasks as lines that import reads."),
    "worker": Entry("tq.commands.worker", "worker", "Run a worker."),
    "workers": Entry("tq.commands.workers", "workers", "List the workers, or steer them."),
    "queues": Entry("tq.commands.queue", "queues", "List the queues with their counts."),
    "queue": Entry("tq.commands.queue", "queue", "Pause, drain, resume, set up or purge a queue."),
    "limit": Entry(
        "tq.commands.limit",
        "limit",
        "Limit how many tasks run at a time, or begin in a time.",
    ),
    "pause": Entry("tq.commands.pausing", "pause", "Stop handing out tasks of any queue."),
    "resume": Entry("tq.commands.pausing", "resume", "End the pause of all queues."),
    "schedule": Entry(
        "tq.commands.schedule",
        "schedule",
        "Enqueue tasks by the clock: put, show, pause and delete schedules.",
    ),
    "webhook": Entry(
        "tq.commands.webhook", "webhook", "Try out webhooks: to whom the ends of tasks are told."
    ),
    "batch": Entry(
        "tq.commands.batch",
        "batch",
        "Enqueue tasks as one batch, watch it, and have a task run when it has ended.",
    ),
    "cluster": Entry(
        "tq.commands.cluster", "cluster", "Show the nodes of the cluster, or have another one lead."
    ),
    "stats": Entry("tq.commands.stats", "stats", "Show the node's totals."),
    "top": Entry("tq.commands.top", "top", "Watch queues and workers live."),
    "events": Entry("tq.commands.events", "events", "Follow what happens to tasks."),
    "completion": Entry("tq.commands.completion", "completion", "Print a shell's completion script."),
    "version": Entry("tq.commands.version", "version", "Print the versions of tq and of the node."),
}

EXAMPLES = (
    """tq enqueue resize '{"file": "a.png"}' --queue images --wait""",
    "tq list --state dead --ids | tq retry -",
    "tq worker --app shop.tasks:app -c 8",
    "TQ_URL=http://queue.example:7333 tq top",
)
# The variable by which a shell's script asks for completions, as click spells it.
COMPLETE_VARIABLE = "_TQ_COMPLETE"
PLACES = (
    ("TQ_URL, TQ_TOKEN", "where the node is and who asks; a cluster's nodes are separated by commas"),
    ("~/.config/tq/config.toml", 'the same, as url = "…" and token = "…"'),
    ("/etc/tq/config.toml", "for everybody on this host; else http://127.0.0.1:7333"),
    ("NO_COLOR", "set to anything: no colours"),
)


class LazyGroup(click.Group):
    """A group that imports a sub-command when it is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        entry = COMMANDS.get(cmd_name)
        if entry is None:
            return None
        from importlib import import_module

        command = getattr(import_module(entry.module), entry.attribute)
        assert isinstance(command, click.Command)  # noqa: S101 - the table above is ours
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if name not in COMMANDS and not name.startswith("-") and not ctx.resilient_parsing:
            from difflib import get_close_matches

            close = get_close_matches(name, COMMANDS, n=2, cutoff=0.5)
            meant = f"; did you mean {' or '.join(close)}?" if close else ""
            raise click.UsageError(f"no such command {name!r}{meant}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.does) for name, entry in COMMANDS.items()])

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        write_examples(EXAMPLES, formatter)
        with formatter.section("Environment and files"):
            formatter.write_dl(list(PLACES))
        with formatter.section("Exit codes"):
            formatter.write_dl([(str(int(code)), meaning) for code, meaning in EXIT_CODES])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[Any]:
        from click.shell_completion import CompletionItem

        named = [
            CompletionItem(name, help=entry.does)
            for name, entry in COMMANDS.items()
            if name.startswith(incomplete)
        ]
        return [*named, *Command.shell_complete(self, ctx, incomplete)]


def _print_version(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        from tq.version import VERSION

        click.echo(f"tq {VERSION}")
        ctx.exit()


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_version,
    help="Print the version of tq.",
)
def cli() -> None:
    """Work with a tqnode: enqueue tasks, watch them, run workers."""


cli.params.extend([at_option(), *node_options()])


def main(argv: Sequence[str] | None = None) -> None:
    """Runs the command line and ends the process with its exit code.

    Args:
        argv: the arguments, without the program's name; those of the process when None.
    """
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            # Closed by whoever started us: what is written goes nowhere, as asked.
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115  # open until the process ends
        elif isinstance(stream, TextIOWrapper):
            # Where the locale knows no such character, an escape is better than no answer.
            stream.reconfigure(errors="backslashreplace")
    repeat_interrupts()
    code = _run(list(sys.argv[1:] if argv is None else argv))
    sys.exit(_flushed(code))


def _run(argv: list[str]) -> int:
    try:
        if COMPLETE_VARIABLE in os.environ:
            # Ends the process itself.
            cli.main(argv, prog_name="tq", complete_var=COMPLETE_VARIABLE)
        with cli.make_context("tq", argv) as ctx:
            result = cli.invoke(ctx)
    except click.exceptions.Exit as end:
        return end.exit_code
    except click.UsageError as error:
        return _tell_usage(error)
    except click.ClickException as error:
        error.show()
        return int(getattr(error, "code", error.exit_code))
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED
    except click.Abort:
        # A question was not answered, by Ctrl-C or by the end of the input.
        return ExitCode.INTERRUPTED
    except BrokenPipeError:
        return ExitCode.BROKEN_PIPE
    except OSError as error:
        return _tell_os_error(error)
    return result if isinstance(result, int) else ExitCode.OK


def _tell_usage(error: click.UsageError) -> int:
    path = error.ctx.command_path if error.ctx is not None else "tq"
    told = error.format_message().rstrip(".")
    complain(told if path == "tq" else f"{path.removeprefix('tq ')}: {told}", f"see: {path} --help")
    return ExitCode.USAGE


def _tell_os_error(error: OSError) -> int:
    """A file that cannot be read or written; any other is a fault of ours, and comes with its trace."""
    if error.filename is not None:
        complain(f"{error.filename}: {error.strerror}")
        return ExitCode.USAGE
    if error.errno in (errno.ENOSPC, errno.EIO, errno.EDQUOT):
        complain(f"cannot write: {error.strerror}")
        return ExitCode.FAILED
    raise error


def _flushed(code: int) -> int:
    """Flushes standard output while a failure can still be told from success."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        code = ExitCode.BROKEN_PIPE
    except OSError as error:
        # A command that has failed has told why, most likely of this very output.
        code = code or _tell_os_error(error)
    else:
        if code != ExitCode.BROKEN_PIPE:
            return code
    # What is left in the buffer has nowhere to go: the interpreter's own flush at exit would complain.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return code
