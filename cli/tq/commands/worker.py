"""``tq worker``."""

import os
from typing import TYPE_CHECKING, Any

import click

from tq.commands.base import ExitCode, Failed, command, complete_queues, settings
from tq.commands.values import Duration

if TYPE_CHECKING:
    from tq.app import App
    from tq.worker.options import Options

KINDS_MAX = 500
QUEUES_MAX = 100


@command(
    "worker",
    examples=(
        "tq worker --app shop.tasks:app -q mail -q images -c 8",
        "tq worker --app shop.tasks --processes --grace 2m",
        "tq worker --exec ./resize -q images -c 4 --env S3_BUCKET -- --quality 80",
    ),
)
@click.argument("arguments", metavar="[-- ARGUMENT...]", nargs=-1, type=click.UNPROCESSED)
@click.option("--app", "target", metavar="MODULE[:APP]", help="Run tasks with the functions of this app.")
@click.option(
    "--exec", "program", metavar="PROGRAM", help="Run each task with this program, no shell between."
)
@click.option(
    "--queue",
    "-q",
    "queues",
    multiple=True,
    shell_complete=complete_queues,
    help="A queue to claim from; repeat it for more, drained in that order (default: default).",
)
@click.option("--kind", "kinds", multiple=True, help="Only tasks of this kind; may be repeated.")
@click.option(
    "--concurrency",
    "-c",
    "slots",
    type=click.IntRange(1, 5000),
    help="Tasks run at once (default: one for each processor).",
)
@click.option("--processes", is_flag=True, help="Run functions that are not async in processes.")
@click.option(
    "--prefetch",
    type=click.IntRange(0, 1000),
    default=0,
    help="Tasks to claim beyond free slots (default: 0).",
)
@click.option(
    "--lease",
    "lease_s",
    type=Duration(),
    help="How long this worker may be silent (default: as the task says).",
)
@click.option(
    "--grace", "grace_s", type=Duration(), default="30s", help="For running tasks at a stop (default: 30s)."
)
@click.option(
    "--kill-after",
    "kill_after_s",
    type=Duration(),
    default="5s",
    help="Between SIGTERM and SIGKILL for a process or program (default: 5s).",
)
@click.option(
    "--env", "pass_on", multiple=True, metavar="NAME", help="A variable to hand to --exec; may be repeated."
)
@click.option(
    "--logs/--no-logs",
    default=True,
    help="Whether what --exec writes to standard error is the task's log (default: it is).",
)
@click.option("--name", help="What people call this worker (default: host and process id).")
@click.option("--log-format", type=click.Choice(("text", "json")), default="text", help="How to log.")
@click.option(
    "--log-level",
    type=click.Choice(("debug", "info", "warning", "error")),
    default="info",
    help="What to log; debug tells of each task (default: info).",
)
def worker(log_format: str, log_level: str, **given: Any) -> int:
    """Run a worker.

    It claims tasks, runs them with the functions of --app or the program of --exec, and reports how
    they ended. SIGTERM or Ctrl-C lets running tasks finish for --grace, then gives them back; a second
    one does so at once.

    A program gets the payload on standard input and TQ_* variables; what it prints is the result, what
    it writes to standard error is the task's log. Exit code 0: succeeded, 75: try again later, 100:
    failed for good, any other: failed.
    """
    from tq.clock import SystemClock
    from tq.worker.log import set_up
    from tq.worker.worker import Worker

    options, app = _options(given)
    set_up(level=log_level, style=log_format)
    running = Worker(options, app, SystemClock())
    code = running.run()
    if running.abandoned:
        import logging
        import sys

        logging.shutdown()
        sys.stdout.flush()
        # Threads that go on for ever would keep the interpreter from ending by itself.
        os._exit(code)
    return code


def _options(given: dict[str, Any]) -> "tuple[Options, App | None]":
    from tq import config
    from tq.worker.options import Options

    _check(given)
    app = None if given["target"] is None else _load(given["target"])
    kinds = _kinds(given["kinds"], app)
    chosen = settings()
    options = Options(
        settings=config.settings(chosen.url, chosen.token),
        name=given["name"] or _default_name(),
        queues=list(dict.fromkeys(given["queues"])) or ["default"],
        slots=given["slots"] or os.cpu_count() or 1,
        target=given["target"],
        program=None if given["program"] is None else [_find(given["program"]), *given["arguments"]],
        kinds=kinds,
        processes=given["processes"],
        prefetch=given["prefetch"],
        lease_s=given["lease_s"],
        grace_s=given["grace_s"],
        kill_after_s=given["kill_after_s"],
        pass_on=given["pass_on"],
        logs=given["logs"],
        environment=dict(os.environ),
    )
    return options, app


def _check(given: dict[str, Any]) -> None:
    if (given["target"] is None) == (given["program"] is None):
        raise click.UsageError("give either --app MODULE[:APP] or --exec PROGRAM")
    if given["program"] is None:
        for name, option in (("arguments", "arguments after --"), ("pass_on", "--env")):
            if given[name]:
                raise click.UsageError(f"{option} are for --exec")
        if not given["logs"]:
            raise click.UsageError("--no-logs is for --exec; what functions log is theirs to say")
    elif given["processes"]:
        raise click.UsageError("--processes is for --app; a program of --exec is a process anyway")
    if given["lease_s"] is not None and given["lease_s"] <= 0:
        raise click.UsageError("--lease must be more than nothing")
    if len(set(given["queues"])) > QUEUES_MAX:
        raise click.UsageError(f"a worker serves at most {QUEUES_MAX} queues")


def _load(target: str) -> "App":
    import traceback

    from tq.app import load_app

    try:
        return load_app(target)
    except ValueError as error:
        raise Failed(f"--app {target}: {error}", code=ExitCode.USAGE) from error
    except Exception as error:  # a module may raise anything while it is imported
        click.echo(traceback.format_exc(), err=True, nl=False)
        raise Failed(
            f"--app {target} could not be imported: {type(error).__name__}: {error}", code=ExitCode.USAGE
        ) from error


def _kinds(chosen: "tuple[str, ...]", app: "App | None") -> list[str] | None:
    kinds = list(dict.fromkeys(chosen))
    if app is not None:
        unknown = [kind for kind in kinds if kind not in app.tasks]
        if unknown:
            raise click.UsageError(
                f"--kind: the app has no {', '.join(unknown)}; it has {', '.join(app.tasks)}"
            )
    count = len(kinds) if kinds or app is None else len(app.tasks)
    if count > KINDS_MAX:
        raise click.UsageError(
            f"{count} kinds; a worker asks for at most {KINDS_MAX}: choose some with --kind"
        )
    return kinds or None


def _find(program: str) -> str:
    import shutil

    found = shutil.which(program)
    if found is None:
        raise Failed(f"--exec {program}: no such program, or not executable", code=ExitCode.USAGE)
    return os.path.abspath(found)


def _default_name() -> str:
    import socket

    return f"{socket.gethostname()}-{os.getpid()}"
