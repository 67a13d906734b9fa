"""Log lines: one event a line, for people or for machines, with the journal's severity when it listens.

Facts that belong to an event are given as ``extra={"task": ..., "request_id": ...}`` and are written
as ``key=value``, or as members of the JSON object. Payloads, results and tokens are never logged.
"""

import json
import logging
import os
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final, TextIO

_OWN_FIELDS: Final = frozenset(
    {*vars(logging.LogRecord("", 0, "", 0, "", None, None)), "message", "asctime", "taskName"}
)
# syslog's severities, which journald reads from "<n>" at the start of a line.
_SEVERITIES: Final = ((logging.CRITICAL, 2), (logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6))
_DEBUG_SEVERITY: Final = 7
_SECRET: Final = ("token", "secret", "password", "authorization")
_HIDDEN: Final = "[hidden]"


def severity(level: int) -> int:
    """The syslog severity of a logging level."""
    return next((number for least, number in _SEVERITIES if level >= least), _DEBUG_SEVERITY)


def facts(record: logging.LogRecord) -> dict[str, Any]:
    """What was given as ``extra``, without the values of keys that name secrets."""
    return {
        key: _HIDDEN if any(word in key.lower() for word in _SECRET) else value
        for key, value in vars(record).items()
        if key not in _OWN_FIELDS
    }


def _stamp(record: logging.LogRecord) -> str:
    moment = datetime.fromtimestamp(record.created, UTC)
    return moment.isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"


def _one_line(text: str) -> str:
    """Escapes what could forge a second line or drive a terminal."""
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode()
        for character in text
    )


class TextFormatter(logging.Formatter):
    """``2026-01-31T12:00:00.000Z INFO tqnode.node: listening on ... key=value``, a trace indented below.

    Args:
        journal: the journal adds time and severity itself: each line gets ``<n>`` instead of both.
    """

    def __init__(self, *, journal: bool) -> None:
        super().__init__()
        self._journal = journal

    def format(self, record: logging.LogRecord) -> str:
        head = "" if self._journal else f"{_stamp(record)} {record.levelname} "
        lines = [_one_line(f"{head}{record.name}: {record.getMessage()}")]
        for key, value in facts(record).items():
            lines[0] += f" {key}={_one_line(str(value))}"
        if record.exc_info:
            lines += ["    " + line for line in self.formatException(record.exc_info).splitlines()]
        if record.stack_info:
            lines += ["    " + line for line in record.stack_info.splitlines()]
        if self._journal:
            lines = [f"<{severity(record.levelno)}>{line}" for line in lines]
        return "\n".join(lines)


class JsonFormatter(logging.Formatter):
    """One object a line: ``time``, ``level``, ``logger``, ``message``, the facts, ``trace``.

    Args:
        journal: put the journal's ``<n>`` before the object.
    """

    def __init__(self, *, journal: bool) -> None:
        super().__init__()
        self._journal = journal

    def format(self, record: logging.LogRecord) -> str:
        event = facts(record) | {
            "time": _stamp(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            event["trace"] = self.formatException(record.exc_info)
        line = json.dumps(event, default=str)
        return f"<{severity(record.levelno)}>{line}" if self._journal else line


def goes_to_journal(stream: TextIO, environ: Mapping[str, str]) -> bool:
    """Whether ``stream`` is the socket that systemd connected to the journal.

    Args:
        stream: usually standard error.
        environ: the environment; systemd names the socket in JOURNAL_STREAM.
    """
    named = environ.get("JOURNAL_STREAM")
    if not named:
        return False
    try:
        status = os.fstat(stream.fileno())
    except (OSError, ValueError):  # not a file at all, or closed
        return False
    return named == f"{status.st_dev}:{status.st_ino}"


def set_up(*, level: str, form: str, environ: Mapping[str, str], stream: TextIO | None = None) -> None:
    """Sends the log of the whole process to ``stream``.

    Args:
        level: ``debug``, ``info``, ``warning`` or ``error``.
        form: ``text`` or ``json``.
        environ: the environment, to find out about the journal.
        stream: standard error when absent.
    """
    stream = stream or sys.stderr
    journal = goes_to_journal(stream, environ)
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter(journal=journal) if form == "json" else TextFormatter(journal=journal))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    # A client that sends rubbish must not be able to fill the disk with warnings about it.
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
    logging.getLogger("asyncio").setLevel(max(root.level, logging.INFO))
    # uvicorn decides by this logger's handlers whether it writes a line for each request.
    access = logging.getLogger("uvicorn.access")
    access.handlers[:] = []
    access.propagate = False
