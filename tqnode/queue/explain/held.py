"""What holds a task back that could run: the pause of its queue or of the node, and limits."""

from collections.abc import Iterator
from typing import Any

from tqnode.queue.controls import node_pause, pause_of
from tqnode.queue.explain.view import Cause, View, counted, cut, from_now
from tqnode.queue.limits.holding import Hold, held_by
from tqnode.settings import Pause
from tqnode.sql import statement
from tqnode.task import WAITING, TaskState

_READ_QUEUE = statement("read_queues")


def node_paused(view: View) -> Iterator[Cause]:
    """No queue gives out tasks."""
    pause = node_pause(view.reader)
    if view.task.state in WAITING and pause is not None and not pause.over(view.now_ms):
        end, facts = _end_of(pause, view.now_ms)
        yield Cause("node_paused", f"The whole node is paused: no worker gets tasks {end}.", facts)


def queue_paused(view: View) -> Iterator[Cause]:
    """Its queue gives out no tasks."""
    queue = view.task.queue
    if view.task.state not in WAITING:
        return
    row = view.reader.one(_READ_QUEUE, {"queue": queue})
    pause = None if row is None else pause_of(row)
    if pause is not None and not pause.over(view.now_ms):
        end, facts = _end_of(pause, view.now_ms)
        text = f"Its queue {queue} is paused: no worker gets tasks from it {end}."
        yield Cause("queue_paused", text, {"queue": queue} | facts)


def _end_of(pause: Pause, now_ms: int) -> tuple[str, dict[str, Any]]:
    told, facts = "until it is resumed", dict[str, Any]()
    if pause.until_ms is not None:
        told, facts["until_at_ms"] = f"until {from_now(pause.until_ms, now_ms)}", pause.until_ms
    if pause.reason:
        told, facts["reason"] = f"{told} ({cut(pause.reason)})", pause.reason
    return told, facts


def limited(view: View) -> Iterator[Cause]:
    """Limits let no more such tasks run just now."""
    task = view.task
    if task.state is not TaskState.READY:
        return
    for hold in held_by(view.reader, task.queue, task.limit_key, now_ms=view.now_ms):
        whose = f"the queue {task.queue}" if hold.key is None else f"the key {hold.key}"
        facts: dict[str, Any] = {"limit": hold.limit.name, "holders": list(hold.holders)}
        if hold.key is not None:
            facts["limit_key"] = hold.key
        why = [*_slots(hold, facts), *_tokens(hold, facts, view.now_ms)]
        yield Cause(
            "limited", f"The limit {hold.limit.name} on {whose} holds it back: {'; '.join(why)}.", facts
        )


def _slots(hold: Hold, facts: dict[str, Any]) -> Iterator[str]:
    if hold.running is None:
        return
    facts["running_max"] = hold.limit.running
    told = f"{counted(hold.limit.running or 0, 'task')} may run at a time"
    if hold.holders:
        more = ", …" if hold.running > len(hold.holders) else ""
        told += f", and {'does' if hold.running == 1 else 'do'}: {', '.join(hold.holders)}{more}"
    yield told


def _tokens(hold: Hold, facts: dict[str, Any], now_ms: int) -> Iterator[str]:
    if hold.next_token_ms is None:
        return
    facts["next_token_at_ms"] = hold.next_token_ms
    facts["rate"], facts["per_ms"] = hold.limit.rate, hold.limit.per_ms
    yield f"its rate is used up until {from_now(hold.next_token_ms, now_ms)}"
