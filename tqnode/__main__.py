"""The server's command line: run, restore, backup verify, config check, demo.

Imports of what a command needs stand in the command, so that ``--help`` answers at once.
"""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

if TYPE_CHECKING:
    from tqnode.config import ConfigError, Effective

EXIT_MISCONFIGURED = 2
OWNER_ONLY = 0o077
"""What is taken from everybody else: a queue holds what its owners gave it."""


class ConfiguredCommand(click.Command):
    """A command that takes a flag for each configuration key, made from the keys' one declaration."""

    _flags: list[click.Parameter] | None = None

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        if self._flags is None:
            self._flags = _flags()
        return [*self.params, *self._flags, *super().get_params(ctx)[len(self.params) :]]


def _flags() -> list[click.Parameter]:
    from tqnode.config import LATER, SETTINGS

    flags: list[click.Parameter] = []
    for setting in SETTINGS.values():
        facts = "; ".join(filter(None, (setting.unit, setting.bounds, f"default {setting.default}")))
        flags.append(
            click.Option(
                [setting.flag], metavar=setting.type.__name__.upper(), help=f"{setting.help} [{facts}]"
            )
        )
    # Refused with a sentence of their own, rather than as flags that do not exist.
    flags.extend(click.Option(["--" + key.replace("_", "-")], hidden=True) for key in LATER)
    return flags


def _load(file: Path | None, flags: dict[str, Any]) -> "Effective":
    from tqnode.config import load

    given = {key: text for key, text in flags.items() if text is not None}
    return load(file=file, environ=os.environ, flags=given)


def _misconfigured(error: "ConfigError") -> NoReturn:
    click.echo("tqnode: the configuration has mistakes:", err=True)
    for mistake in error.mistakes:
        click.echo(f"  {mistake}", err=True)
    sys.exit(EXIT_MISCONFIGURED)


_file_option = click.option(
    "--config",
    "file",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="TOML file [default: TQNODE_CONFIG, else /etc/tqnode/tqnode.toml if it is there].",
)


def _print_version(ctx: click.Context, _param: click.Parameter, wanted: bool) -> None:
    if wanted and not ctx.resilient_parsing:
        from tq.version import VERSION

        click.echo(f"tqnode {VERSION}")
        ctx.exit()


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.option(
    "--version",
    is_flag=True,
    expose_value=False,
    is_eager=True,
    callback=_print_version,
    help="Show the version.",
)
def main() -> None:
    """A task queue for bare servers: one process, one SQLite file, durable before it answers.

    Every configuration key can be given in a TOML file, as TQNODE_<KEY>, or as a flag; later ones win.
    """


@main.command(cls=ConfiguredCommand)
@_file_option
@click.option(
    "--bootstrap",
    is_flag=True,
    help="Begin a new cluster of all the nodes in peers, which must be there and new. Once in its life.",
)
def run(file: Path | None, bootstrap: bool, **flags: str | None) -> None:
    """Run a node until it is told to stop (SIGTERM or Ctrl-C; twice to hurry)."""
    from tqnode.config import ConfigError

    try:
        effective = _load(file, flags)
    except ConfigError as error:
        _misconfigured(error)
    if bootstrap and not effective.config.peers:
        raise click.UsageError("--bootstrap begins a cluster: name its nodes in peers, or leave it out")
    from tqnode.node import run_node

    sys.exit(run_node(effective.config, os.environ, bootstrap=bootstrap))


class Moment(click.ParamType[int]):
    """A moment of wall time, as ms since 1970."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        from datetime import datetime

        try:
            # Without an offset it is this machine's local time.
            return round(datetime.fromisoformat(value.strip()).timestamp() * 1000)
        except ValueError:
            self.fail(f"{value!r} is no moment such as 2026-01-31T12:00:00Z", param, ctx)


@main.command(cls=ConfiguredCommand)
@_file_option
@click.option(
    "--at", "at_ms", type=Moment(), metavar="TIME", help="The moment; local time without an offset."
)
@click.option("--latest", is_flag=True, help="The newest state instead of a moment's.")
@click.option(
    "--to",
    required=True,
    metavar="DIR",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder that gets tq.db: a data_dir for a node. Nothing in it is overwritten.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def restore(
    file: Path | None, at_ms: int | None, latest: bool, to: Path, as_json: bool, **flags: str | None
) -> None:
    """Restore the queue out of the archive, as it is now or was at a moment.

    Exit code 0 when it is restored and sound, 3 when the archive does not have the moment, 1 for all else.
    """
    from tqnode.clock import SystemClock
    from tqnode.config import ConfigError
    from tqnode.restore_command import run_restore

    if latest == (at_ms is not None):
        raise click.UsageError("say either --at TIME or --latest")
    try:
        effective = _load(file, flags)
    except ConfigError as error:
        _misconfigured(error)
    os.umask(OWNER_ONLY)
    sys.exit(
        run_restore(
            effective.config, environ=os.environ, clock=SystemClock(), to=to, at_ms=at_ms, as_json=as_json
        )
    )


@main.group()
def backup() -> None:
    """Look after the archive."""


@backup.command(cls=ConfiguredCommand)
@_file_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def verify(file: Path | None, as_json: bool, **flags: str | None) -> None:
    """Restore the newest state and compare it with the running node's queue, row by row.

    Exit code 0 when the archive gives what the queue has. A node does this by itself every
    backup_verify_every_s.
    """
    from tqnode.backup_command import run_verify
    from tqnode.clock import SystemClock
    from tqnode.config import ConfigError

    try:
        effective = _load(file, flags)
    except ConfigError as error:
        _misconfigured(error)
    os.umask(OWNER_ONLY)
    sys.exit(run_verify(effective.config, environ=os.environ, clock=SystemClock(), as_json=as_json))


@main.group()
def config() -> None:
    """Look at the configuration."""


@config.command(cls=ConfiguredCommand)
@_file_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def check(file: Path | None, as_json: bool, **flags: str | None) -> None:
    """Print every key's value and where it came from, or every mistake (exit code 2)."""
    from tqnode.config import ConfigError, report

    try:
        effective = _load(file, flags)
    except ConfigError as error:
        if as_json:
            click.echo(report.mistakes_as_json(error))
            sys.exit(EXIT_MISCONFIGURED)
        _misconfigured(error)
    click.echo(report.as_json(effective) if as_json else report.as_toml(effective))


@config.command()
def keys() -> None:
    """Print what each key means, with its default, unit and bounds, as a Markdown table."""
    from tqnode.config.report import as_markdown

    click.echo(as_markdown())


@main.command()
@click.option("--listen", default="127.0.0.1:7333", show_default=True, help="Address of the demo's node.")
@click.option("--once", is_flag=True, help="Stop when the tasks are done: exit code 0, or 1 if any is not.")
def demo(listen: str, once: bool) -> None:
    """Start a node and a worker, and watch a few hundred real tasks being done."""
    from tqnode.demo import run_demo

    sys.exit(run_demo(listen=listen, once=once, environ=os.environ))


if __name__ == "__main__":
    main(prog_name="tqnode")
