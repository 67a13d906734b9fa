"""What all commands share: how they are declared, reach the node, fail, and what their exit code says."""

import re
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import IO, TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from datetime import datetime

    from click.shell_completion import CompletionItem

    from tq.client import Client
    from tq.errors import TqError

# Completion must not keep a person waiting for a node that is away.
COMPLETION_TIMEOUT_S = 1.0


class ExitCode(IntEnum):
    """How a command ended; documented in ``tq --help`` and the reference."""

    OK = 0
    FAILED = 1
    USAGE = 2
    CANCELLED = 3
    TIMED_OUT = 4
    UNAVAILABLE = 5
    NOT_FOUND = 6
    UNKNOWN = 7
    INTERRUPTED = 130
    BROKEN_PIPE = 141


EXIT_CODES = (
    (ExitCode.OK, "it worked; for wait: every task succeeded"),
    (ExitCode.FAILED, "the node refused, or a task waited for is dead"),
    (ExitCode.USAGE, "the command line or a file given is wrong"),
    (
        ExitCode.CANCELLED,
        "a task waited for (none is dead), or the bulk, was cancelled",
    ),
    (ExitCode.TIMED_OUT, "waiting took longer than --timeout"),
    (ExitCode.UNAVAILABLE, "no node answered, or it was too busy: try again later"),
    (ExitCode.NOT_FOUND, "no such task, queue, worker, schedule, limit, batch, bulk or node"),
    (ExitCode.UNKNOWN, "the node may or may not have done it: look before you repeat"),
    (ExitCode.INTERRUPTED, "interrupted (Ctrl-C)"),
    (ExitCode.BROKEN_PIPE, "the reader of the output went away"),
)


class Failed(click.ClickException):
    """An expected failure, told in one line and a second that says what to do.

    Args:
        message: what is wrong.
        hint: what to do next.
        code: the exit code.
    """

    def __init__(self, message: str, *, hint: str = "", code: ExitCode = ExitCode.FAILED) -> None:
        super().__init__(message)
        self.hint = hint
        self.code = code

    def show(self, file: IO[Any] | None = None) -> None:
        complain(self.message, self.hint)


def complain(message: str, hint: str = "") -> None:
    """Writes an error to standard error, safe for a terminal whatever the node or the user put in it."""
    from tq.output import safe

    prefix = click.style("tq:", fg="red", bold=True) if colours_wanted() else "tq:"
    lines = " ".join(safe(message).split())
    click.echo(f"{prefix} {lines}", err=True)
    if hint:
        click.echo(f"    {safe(hint)}", err=True)


def note(text: str) -> None:
    """Tells a person something beside the output proper, on standard error."""
    from tq.output import safe

    click.echo(safe(text), err=True)


def colours_wanted() -> bool:
    """Whether standard error may be coloured."""
    from tq.output import coloured

    return coloured(sys.stderr)


@dataclass(slots=True)
class Settings:
    """Where the node is and of which moment it is asked, as far as the command line says."""

    url: str | None = None
    token: str | None = None
    at: "datetime | None" = None


def settings() -> Settings:
    """The settings of the running command."""
    return click.get_current_context().ensure_object(Settings)


def _remember(ctx: click.Context, param: click.Parameter, value: Any) -> None:
    if value is not None:
        setattr(ctx.ensure_object(Settings), str(param.name), value)


def _remember_urls(ctx: click.Context, param: click.Parameter, value: tuple[str, ...]) -> None:
    if value:
        ctx.ensure_object(Settings).url = ",".join(value)


def node_options() -> list[click.Option]:
    """``--url`` and ``--token``, taken before the command's name or after it."""
    return [
        click.Option(
            ["--url"],
            metavar="URL",
            multiple=True,
            expose_value=False,
            callback=_remember_urls,
            help="The node, instead of TQ_URL or the config files; repeat it for a cluster's nodes.",
        ),
        click.Option(
            ["--token"],
            metavar="TOKEN",
            expose_value=False,
            callback=_remember,
            help="Instead of TQ_TOKEN or the config files; others on this host can see arguments.",
        ),
    ]


class _Moment(click.ParamType["datetime"]):
    """A moment, read by what reads all of them; imported only when one is given."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> "datetime":
        from tq.commands.values import Moment

        return Moment(ago=True).convert(value, param, ctx)


def at_option() -> click.Option:
    """``--at``, taken before the command's name or after it."""
    return click.Option(
        ["--at"],
        metavar="TIME",
        type=_Moment(),
        expose_value=False,
        callback=_remember,
        help="Read the queue as it was then, or so long ago: list, get, graph, export, stats.",
    )


class Command(click.Command):
    """A command that shows examples, and whose failures come out as messages and exit codes.

    Args:
        examples: command lines for the help.
        node: whether it talks to a node, and so takes ``--url`` and ``--token``.
        past: whether it can read the queue as it was, and so takes ``--at``.
    """

    def __init__(
        self,
        *args: Any,
        examples: Sequence[str] = (),
        node: bool = True,
        past: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.examples = tuple(examples)
        self.node = node
        self.past = past
        if past:
            self.params.append(at_option())
        if node:
            self.params.extend(node_options())

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        write_examples(self.examples, formatter)
        super().format_epilog(ctx, formatter)

    def invoke(self, ctx: click.Context) -> Any:
        if settings().at is not None and not self.past:
            raise click.UsageError(
                "--at is for list, get, graph, export and stats: only the present can be changed", ctx
            )
        return _invoke(ctx, super().invoke)


class Group(click.Group):
    """A group of commands with examples of its own."""

    command_class = Command

    def __init__(self, *args: Any, examples: Sequence[str] = (), **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.examples = tuple(examples)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        write_examples(self.examples, formatter)
        super().format_epilog(ctx, formatter)

    def invoke(self, ctx: click.Context) -> Any:
        """As a group does; what it does itself without a sub-command fails as a command would."""
        return _invoke(ctx, super().invoke)


def _invoke(ctx: click.Context, invoke: Callable[[click.Context], Any]) -> Any:
    """Runs a command; what goes wrong with the node becomes a message, an advice and an exit code."""
    from tq.errors import TqError

    try:
        return invoke(ctx)
    except click.UsageError as error:
        if error.ctx is None:
            error.ctx = ctx
        raise
    except TqError as error:
        raise failure(error) from error


def write_examples(examples: Iterable[str], formatter: click.HelpFormatter) -> None:
    """Writes the examples section, unwrapped so that lines can be copied."""
    examples = list(examples)
    if examples:
        with formatter.section("Examples"):
            for example in examples:
                formatter.write(f"{'':>{formatter.current_indent}}{example}\n")


def command(
    name: str, *, examples: Sequence[str], node: bool = True, past: bool = False
) -> Callable[[Callable[..., Any]], Command]:
    """Declares a command; its docstring is its help.

    Args:
        name: as it is typed.
        examples: command lines for the help.
        node: whether it talks to a node.
        past: whether it takes ``--at``.
    """
    return click.command(name, cls=Command, examples=examples, node=node, past=past)


def json_option(what: str = "JSON lines, as the API has them") -> Callable[[Any], Any]:
    """``--json``."""
    return click.option("--json", "as_json", is_flag=True, help=f"Print {what}.")


def connect() -> "Client":
    """A client for the node that the command line, the environment or the config files name.

    Raises:
        tq.errors.ConfigError: one of them is wrong.
    """
    from tq.client import Client

    chosen = settings()
    return Client(chosen.url, token=chosen.token)


def complete_queues(ctx: click.Context, param: click.Parameter, incomplete: str) -> "list[CompletionItem]":
    """The names of the node's queues; none when it does not answer at once."""

    from click.shell_completion import CompletionItem

    from tq.client import Client
    from tq.errors import TqError

    chosen = ctx.find_object(Settings) or Settings()
    try:
        with Client(chosen.url, token=chosen.token, timeout_s=COMPLETION_TIMEOUT_S, retries=0) as client:
            names = [info.queue for info in client.queues()]
    except TqError:
        # Nowhere to tell it: what a completion writes lands in the middle of a typed line.
        return []
    return [CompletionItem(name) for name in names if name.startswith(incomplete)]


def each_of(names: Iterable[str], act: "Callable[[Client, str], None]", *, doing: str) -> ExitCode:
    """Does ``act`` for each name; one that is not there is told, and the rest go on.

    Args:
        names: of what it is done to.
        act: gets the client and a name.
        doing: the command in two words, such as ``limit delete``.
    """
    from tq.errors import NotFound

    code = ExitCode.OK
    with connect() as client:
        for name in dict.fromkeys(names):
            try:
                act(client, name)
            except NotFound as error:
                complain(f"{doing}: {failure(error).message}")
                code = ExitCode.NOT_FOUND
    return code


def failure(error: "TqError") -> Failed:
    """The message, the advice and the exit code for what went wrong with the node."""
    from tq import errors

    told = f"{error.field}: {error.detail}" if error.field else str(error)
    match error:
        case errors.ConfigError():
            return Failed(told, code=ExitCode.USAGE)
        case errors.TqUnavailable():
            # Its own advice is for programs as well; the hint has what is for people.
            why = re.sub(r"\[Errno \d+\] ", "", told.partition("; ")[0])
            return Failed(why, hint=REACH_HINT, code=ExitCode.UNAVAILABLE)
        case errors.OutcomeUnknown():
            return Failed(told, hint="it may have been done: look before you repeat", code=ExitCode.UNKNOWN)
        case errors.NoLeader():
            return Failed(told, hint="`tq cluster` shows what the nodes lack", code=ExitCode.UNAVAILABLE)
        case errors.HandoverFailed():
            return Failed(told, hint="`tq cluster` shows how far each node is")
        case errors.Busy():
            wait = f" in {error.retry_after_s:g} s" if error.retry_after_s else " later"
            return Failed(told, hint=f"try again{wait}", code=ExitCode.UNAVAILABLE)
        case errors.RouteNotFound():
            return Failed(told, hint="is the URL that of a tqnode, of this version?")
        case errors.NotFound():
            return Failed(told, code=ExitCode.NOT_FOUND)
        case errors.Unauthorized():
            return Failed(told, hint="give a token: --token, TQ_TOKEN or the config file")
        case errors.UniqueConflict() if error.task:
            return Failed(told, hint=f"see it: tq get {error.task}")
    return Failed(told)


REACH_HINT = "start one with `tqnode run`, or name one with --url, TQ_URL or ~/.config/tq/config.toml"
