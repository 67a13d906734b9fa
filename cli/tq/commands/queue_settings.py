"""The commands queue set and queue show: what a queue has of its own."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from tq.commands.base import command, complete_queues, connect, json_option
from tq.commands.values import RETRY_FORMS, Duration, Retry

if TYPE_CHECKING:
    from tq.wire import QueueInfo

DEFAULT = "default"
EVER = "ever"
_LIMIT = click.IntRange(1)


class _OrDefault(click.ParamType[Any]):
    """A value, or the word that gives back to the node's.

    Args:
        kind: of the value.
    """

    def __init__(self, kind: "click.ParamType[Any]") -> None:
        self._kind = kind
        self.name = kind.name

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        return DEFAULT if value == DEFAULT else self._kind.convert(value, param, ctx)


class _Kept(click.ParamType[int]):
    """A duration in whole seconds, or for ever."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if value == EVER:
            return -1
        return int(value) if isinstance(value, int) else round(Duration().convert(value, param, ctx))


@command(
    "set",
    examples=(
        "tq queue set images --lease 60s --max-attempts 3 --depth-max 1000",
        "tq queue set images --keep-succeeded 1h --keep-dead ever",
        "tq queue set images --age-per-minute 0.5",
        "tq queue set images --lease default",
    ),
)
@click.argument("name", shell_complete=complete_queues)
@click.option("--priority", "-p", type=_OrDefault(click.IntRange(0, 255)), help="0 to 255, higher first.")
@click.option("--max-attempts", type=_OrDefault(click.IntRange(1, 1000)), help="How often a task is tried.")
@click.option("--lease", "lease_s", type=_OrDefault(Duration()), help="How long a worker may be silent.")
@click.option("--retry", type=_OrDefault(Retry()), help=f"Waits between attempts: {RETRY_FORMS}.")
@click.option("--timeout", "timeout_s", type=_OrDefault(Duration()), help="How long one attempt may take.")
@click.option(
    "--keep-succeeded", "keep_succeeded_s", type=_OrDefault(_Kept()), help="How long to keep what succeeded."
)
@click.option(
    "--keep-cancelled",
    "keep_cancelled_s",
    type=_OrDefault(_Kept()),
    help="How long to keep the cancelled.",
)
@click.option("--keep-dead", "keep_dead_s", type=_OrDefault(_Kept()), help="How long to keep what is dead.")
@click.option("--depth-max", type=_OrDefault(_LIMIT), help="Most waiting tasks.")
@click.option(
    "--bytes-max", type=_OrDefault(_LIMIT), help="Most bytes of payload and meta, waiting and running."
)
@click.option(
    "--age-per-minute",
    type=_OrDefault(click.FloatRange(0.001, 255)),
    help="How much priority a minute of waiting gives.",
)
@json_option("the queue as JSON")
def set_queue(name: str, as_json: bool, **options: Any) -> None:
    """Change a queue's own settings.

    A task that leaves one of them open has its queue's, when it is enqueued. What is not said here stays
    as it is; "default" gives back to the node's, and "ever" keeps tasks for ever. A queue that is not
    there is made.
    """
    chosen = {key: value for key, value in options.items() if value is not None}
    if not chosen:
        raise click.UsageError('say what to set; "tq queue show" tells what is set')
    fields: Any = {key: None if value == DEFAULT else value for key, value in chosen.items()}
    if fields.get("retry") is not None:
        fields["retry"] = _policy(fields["retry"])
    with connect() as client:
        _show(client.set_queue(name, **fields), as_json=as_json)


def _policy(policy: dict[str, Any]) -> Any:
    import msgspec

    from tq.wire import RetryPolicy

    try:
        return msgspec.convert(policy, RetryPolicy)
    except msgspec.ValidationError as error:
        raise click.UsageError(f"--retry: {error}") from None


@command("show", examples=("tq queue show images",))
@click.argument("name", shell_complete=complete_queues)
@json_option("the queue as JSON")
def show(name: str, as_json: bool) -> None:
    """Show a queue in full: its counts, what it was told, and its own settings."""
    with connect() as client:
        _show(client.queue(name), as_json=as_json)


def _show(info: "QueueInfo", *, as_json: bool) -> None:
    from tq.output import write_json

    if as_json:
        write_json(info)
    else:
        from tq.commands.detail import write_facts

        write_facts(_facts(info))


def _facts(info: "QueueInfo") -> Iterator[tuple[str, str]]:
    from tq.commands.detail import policy_words
    from tq.commands.queue import standing
    from tq.output import size, span

    yield "queue", info.queue
    if words := standing(info):
        yield "state", words
    yield "tasks", ", ".join(f"{count} {state}" for state, count in info.counts.items()) or "none"
    if info.bytes is not None:
        yield "bytes", size(info.bytes)
    own = info.settings
    if own is None:
        yield "settings", "the node's"
        return
    for label, number in (("priority", own.priority), ("attempts", own.max_attempts)):
        if number is not None:
            yield label, str(number)
    for label, seconds in (("lease", own.lease_s), ("timeout", own.timeout_s)):
        if seconds is not None:
            yield label, span(seconds)
    if own.retry is not None:
        yield "retry", policy_words(own.retry)
    for state in ("succeeded", "cancelled", "dead"):
        kept_s = getattr(own, f"keep_{state}_s")
        if kept_s is not None:
            yield f"keep {state}", "for ever" if kept_s < 0 else span(kept_s)
    if own.depth_max is not None:
        yield "depth max", str(own.depth_max)
    if own.bytes_max is not None:
        yield "bytes max", f"{own.bytes_max} ({size(own.bytes_max)})"
    if own.age_per_minute is not None:
        yield "ageing", f"+{own.age_per_minute:g} priority per minute"
