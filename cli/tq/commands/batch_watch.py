"""Waits for a batch, and shows on a terminal how far it is."""

import contextlib
import sys
from typing import TYPE_CHECKING, Any

from tq.commands.base import failure, note
from tq.commands.wait import HELD_S, PAUSE_FIRST_S, PAUSE_GROWTH, PAUSE_MAX_S

if TYPE_CHECKING:
    from rich.live import Live
    from rich.text import Text

    from tq.client import Client
    from tq.clock import Clock
    from tq.wire import Batch


def watch(
    client: "Client", batch_id: str, *, timeout_s: float | None, clock: "Clock | None" = None
) -> "Batch":
    """Asks about a batch until it has ended or the time is over; how it stands then.

    Progress goes to standard error when that is a terminal.

    Args:
        client: of the node that has it.
        batch_id: its id.
        timeout_s: seconds to wait; None is without end.
        clock: time, and pauses between questions.

    Raises:
        tq.errors.TqError: the first question was not answered. Later on, a node that is away is waited for.
    """
    from tq.clock import SystemClock
    from tq.endings import batch_ended
    from tq.errors import Busy, TqUnavailable

    clock = clock or SystemClock()
    began = clock.monotonic()
    until = None if timeout_s is None else began + timeout_s
    pause = PAUSE_FIRST_S
    found: Batch | None = None
    with _Screen() as screen:
        while True:
            trouble = ""
            try:
                found = client.batch(batch_id)
            except (TqUnavailable, Busy) as error:
                if found is None:
                    raise
                trouble = failure(error).message
            left = None if until is None else until - clock.monotonic()
            if (not trouble and batch_ended(found)) or (left is not None and left <= 0):
                return found
            screen.show(found, clock.monotonic() - began, trouble)
            if not trouble:
                rest_s = pause if screen.shown else HELD_S
                rest_s = rest_s if left is None else min(rest_s, left)
                _rest(client, batch_id, rest_s, pause_s=pause, clock=clock)
            else:
                clock.pause(pause if left is None else min(pause, left))
            pause = min(pause * PAUSE_GROWTH, PAUSE_MAX_S)


def _rest(client: "Client", batch_id: str, wait_s: float, *, pause_s: float, clock: "Clock") -> None:
    """Lets time pass; the end of the batch cuts it short."""
    from tq.endings import batch_ended
    from tq.errors import TqError

    until = clock.monotonic() + wait_s
    # The next question tells what is wrong.
    with contextlib.suppress(TqError):
        if batch_ended(client.batch(batch_id, wait_s=wait_s)):
            return
    # A node that answers early, or is away, is not asked at once again.
    clock.pause(max(0.0, min(until - clock.monotonic(), pause_s)))


class _Screen:
    """The line that is drawn anew, and what is said where there is none."""

    def __init__(self) -> None:
        self._live: Live | None = None
        self._troubled = False
        self.shown = sys.stderr.isatty()
        """Whether somebody sees how far the batch is, and not its end alone."""

    def __enter__(self) -> "_Screen":
        if self.shown:
            from rich.live import Live

            from tq.output import console

            self._live = Live(
                console=console(stderr=True),
                transient=True,
                auto_refresh=False,
                redirect_stdout=False,
                redirect_stderr=False,
            )
            self._live.start()
        return self

    def __exit__(self, *_: Any) -> None:
        if self._live is not None:
            self._live.stop()

    def show(self, found: "Batch", elapsed_s: float, trouble: str) -> None:
        if self._live is not None:
            self._live.update(_progress(found, elapsed_s, trouble), refresh=True)
        elif trouble and not self._troubled:
            note(f"{trouble}; still waiting")
        self._troubled = bool(trouble)


def _progress(found: "Batch", elapsed_s: float, trouble: str) -> "Text":
    from rich.text import Text

    from tq.commands.waiting_view import bar
    from tq.output import COLOURS, safe, span

    ended = found.total - found.pending
    text = Text(f"{bar(ended / found.total if found.total else 0.0)} {ended}/{found.total}")
    for state in ("succeeded", "dead", "cancelled"):
        if count := getattr(found, state):
            text.append(f"  {count} {state}", style=COLOURS.get(state, ""))
    if found.state == "open":
        text.append("  open: it waits for tq batch close")
    text.append(f"  waited {span(elapsed_s)}", style="dim")
    if trouble:
        text.append(f"  {safe(trouble, one_line=True)}", style="red")
    return text
