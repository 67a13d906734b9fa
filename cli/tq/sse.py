"""Server-sent events: bytes in, events out."""

from __future__ import annotations

import msgspec

from tq.wire import TaskEvent

LINE_BYTES_MAX = 1 << 20


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """A change of a task's state, or the news that some were missed.

    Attributes:
        id: for ``last_event_id``, to go on after this one.
        task: what happened; ``None`` when ``reset``.
        reset: events were missed; what was known must be read again.
    """

    id: str | None
    task: TaskEvent | None = None
    reset: bool = False


class StreamBroken(Exception):
    """What came is not a stream of events."""


class Parser:
    """Cuts a stream into events; names it does not know are passed over.

    Args:
        last_event_id: what the stream was asked to go on after.
    """

    def __init__(self, last_event_id: str | None = None) -> None:
        self.last_event_id = last_event_id
        self._id = last_event_id
        self._rest = b""
        self._name = ""
        self._data: list[bytes] = []
        self._size = 0
        self._decoder = msgspec.json.Decoder(TaskEvent)

    def feed(self, data: bytes) -> list[Event]:
        """The events that are complete with ``data``.

        Raises:
            StreamBroken: a line or event is longer than 1 MiB, or its data is not an event's.
        """
        # A lone CR at the end may be the first half of CRLF: it waits for what follows.
        text = self._rest + data
        held = b"\r" if text.endswith(b"\r") else b""
        lines = text[: len(text) - len(held)].replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
        self._rest = lines.pop() + held
        if len(self._rest) > LINE_BYTES_MAX:
            raise StreamBroken(f"a line is longer than {LINE_BYTES_MAX} bytes")
        events = []
        for line in lines:
            event = self._line(line)
            if event is not None:
                events.append(event)
        return events

    def _line(self, line: bytes) -> Event | None:
        if not line:
            return self._dispatch()
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if field == b"data":
            self._size += len(value)
            if self._size > LINE_BYTES_MAX:
                raise StreamBroken(f"an event is longer than {LINE_BYTES_MAX} bytes")
            self._data.append(value)
        elif field == b"event":
            self._name = value.decode(errors="replace")
        elif field == b"id" and b"\0" not in value:
            self._id = value.decode(errors="replace")
        return None

    def _dispatch(self) -> Event | None:
        name, data = self._name, b"\n".join(self._data)
        self._name, self._data, self._size = "", [], 0
        # Only now: after a cut in the middle of an event, that event is still to come.
        self.last_event_id = self._id
        if name == "reset":
            return Event(id=self.last_event_id, reset=True)
        if name != "task" or not data:
            return None
        try:
            return Event(id=self.last_event_id, task=self._decoder.decode(data))
        except msgspec.DecodeError as error:
            raise StreamBroken(f"an event is not as it should be: {error}") from error
