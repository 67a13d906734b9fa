"""One line per notable event on standard error, as text or as JSON.

An event is a short fixed sentence and its facts as named fields, so that both people and programs
can search for it: ``log.info("lease lost", extra=facts(task=id))``.
"""

import logging
import sys
from datetime import UTC, datetime
from typing import Any, TextIO

import msgspec

LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}

_FACTS = "tq_facts"


def logger() -> logging.Logger:
    """The worker's own logger; handlers' programs may use any other."""
    return logging.getLogger("tq.worker")


def facts(**fields: object) -> dict[str, Any]:
    """What ``extra=`` takes: the named facts of one event. None means unknown and is left out."""
    return {_FACTS: {name: value for name, value in fields.items() if value is not None}}


def set_up(*, level: str, style: str, stream: TextIO | None = None) -> None:
    """Sends the worker's events, and what handlers log, to ``stream`` (standard error).

    Args:
        level: one of ``LEVELS``.
        style: ``text`` or ``json``.
        stream: where to write.
    """
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonLines() if style == "json" else TextLines())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    # A handler's libraries (HTTP clients above all) tell every step at INFO; that is theirs to turn on.
    root.setLevel(max(LEVELS[level], logging.WARNING))
    logger().setLevel(LEVELS[level])


def _moment(record: logging.LogRecord) -> str:
    at = datetime.fromtimestamp(record.created, UTC)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


class TextLines(logging.Formatter):
    """``2026-01-31T12:00:00.000Z WARNING lease lost task=… kind=…``"""

    def format(self, record: logging.LogRecord) -> str:
        fields: dict[str, object] = getattr(record, _FACTS, {})
        line = " ".join(
            [
                _moment(record),
                record.levelname,
                record.getMessage(),
                *(f"{name}={_plain(value)}" for name, value in fields.items()),
            ]
        )
        if record.exc_info:
            line += "\n" + self.formatException(record.exc_info)
        return line


class JsonLines(logging.Formatter):
    """One JSON object a line: ``at``, ``level``, ``event``, then the facts."""

    def format(self, record: logging.LogRecord) -> str:
        fields: dict[str, object] = dict(getattr(record, _FACTS, {}))
        line: dict[str, object] = {
            "at": _moment(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": record.getMessage(),
            **fields,
        }
        if record.exc_info:
            line["trace"] = self.formatException(record.exc_info)
        return msgspec.json.encode(line, enc_hook=str).decode()


def _plain(value: object) -> str:
    text = f"{value:.3f}" if isinstance(value, float) else str(value)
    return repr(text) if not text or any(char.isspace() for char in text) else text
