"""The stream of events: open, read, and open again where it broke off."""

from __future__ import annotations

from tq import calls, errors
from tq.backoff import pause_s
from tq.clock import Clock
from tq.effects import Emit, Lost, Open, Pause, Program, Receive, Reply
from tq.exchange import Exchange, Heard
from tq.sse import Event, Parser, StreamBroken

RETRY_AFTER_S_MAX = 60.0


class EventStream:
    """Emits events without end.

    Args:
        exchange: knows the nodes.
        clock: time and chance.
    """

    def __init__(self, exchange: Exchange, clock: Clock) -> None:
        self._exchange = exchange
        self._clock = clock

    def run(self, path: str, *, last_event_id: str | None) -> Program[None]:
        """Reads the stream at ``path``, after ``last_event_id`` if given.

        Raises:
            TqError: the node refused, closed the stream at once ``retries`` times in a row, or could not be
                reached as often before the stream was open for the first time.
        """
        last_id, failures, opened_before = last_event_id, 0, False
        while True:
            heard = yield from self._open(path, last_id)
            reply, base = heard.reply, heard.base
            away = False
            if isinstance(reply, Reply) and _is_stream(reply):
                if opened_before and last_id is None:
                    # Nothing had come by which to go on: what happened meanwhile is unknown.
                    yield Emit(Event(id=None, reset=True))
                opened_before = True
                parser = Parser(last_id)
                received = yield from self._relay(parser)
                last_id = parser.last_event_id
                failures = 0 if received else failures
                error: errors.TqError = errors.TqUnavailable(f"{base} closes the stream of events at once")
            else:
                trouble = self._exchange.trouble(heard)
                if not trouble.repeatable:
                    raise trouble.error
                self._exchange.targets.failed(base)
                error = trouble.error
                # A node that was there comes back, and what follows it has nothing else to do.
                away = opened_before
            failures += 1
            if failures > self._exchange.retries and not away:
                raise error
            wait_s = pause_s(failures, fraction=self._clock.fraction())
            yield Pause(max(wait_s, min(error.retry_after_s or 0.0, RETRY_AFTER_S_MAX)))

    def _relay(self, parser: Parser) -> Program[bool]:
        """Emits what comes until the stream ends; answers whether anything came."""
        received = False
        while True:
            data: bytes | Lost = yield Receive()
            if isinstance(data, Lost) or not data:
                return received
            received = True
            try:
                events = parser.feed(data)
            except StreamBroken as error:
                raise errors.ApiError(f"the stream of events broke: {error}", status=200) from error
            for event in events:
                yield Emit(event)

    def _open(self, path: str, last_id: str | None) -> Program[Heard]:
        headers = calls.events_headers(last_id)
        until = self._exchange.until()
        return self._exchange.attempt(Open, path, method="GET", headers=headers, body=None, until=until)


def _is_stream(reply: Reply) -> bool:
    return reply.status == 200 and reply.headers.get("content-type", "").startswith("text/event-stream")
