"""The webhooks' secrets and endpoints, read once from the file that ``webhooks_file`` names.

Nothing here shows a secret: not the errors, not the representations.
"""

import os
import re
import stat
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from tqnode.delivery.signature import read_secret
from tqnode.delivery.target import BadUrl, parse
from tqnode.queue.membership import BatchEvent
from tqnode.task import FINAL, TaskState

DEFAULT: Final = "default"
"""The name of the secret that signs what does not say one."""
FILE_BYTES_MAX: Final = 1024 * 1024
ENTRIES_MAX: Final = 1000
SECRETS_MAX: Final = 4
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:@+-]{0,199}", re.ASCII)
_KEYS: Final = ("secret", "secret_file", "url", "on", "on_batch", "queues")
_EVENTS: Final = tuple(event.value for event in BatchEvent)


class EndpointsError(Exception):
    """The file can't be used; the text says why and what to do."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A secret by its name, and perhaps where what it signs is sent.

    Args:
        name: its own.
        secrets: the keys; the first one is the newest.
        url: None for a secret alone.
        on: the ends of tasks that are told of.
        on_batch: the same of what batches come to.
        queues: those whose tasks tell of their ends here without saying so.
    """

    name: str
    secrets: tuple[bytes, ...] = field(repr=False)
    url: str | None = None
    on: tuple[TaskState, ...] = tuple(sorted(FINAL))
    on_batch: tuple[BatchEvent, ...] = tuple(BatchEvent)
    queues: tuple[str, ...] = ()


class Endpoints:
    """All that the file names.

    Args:
        entries: the endpoints, each name once.
    """

    def __init__(self, entries: Iterable[Endpoint] = ()) -> None:
        self._entries = {entry.name: entry for entry in entries}
        self._of_queues = {queue: entry.name for entry in self._entries.values() for queue in entry.queues}

    @property
    def by_queue(self) -> bool:
        """Whether there are queues whose tasks need not say where their end is told."""
        return bool(self._of_queues)

    def find(self, name: str) -> Endpoint | None:
        """The one of that name."""
        return self._entries.get(name)

    def of_queue(self, queue: str) -> str | None:
        """The name of the one that tasks of a queue tell of their ends; None without one."""
        return self._of_queues.get(queue)


def read(file: str) -> Endpoints:
    """Reads the file; none is there for an empty name.

    Raises:
        EndpointsError: it can't be used.
    """
    if not file:
        return Endpoints()
    path = Path(file).expanduser().absolute()
    try:
        table = tomllib.loads(_contents(path).decode())
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError):
        # The parser's words could quote a line of it.
        raise EndpointsError(f"{path} is not TOML in UTF-8") from None
    if len(table) > ENTRIES_MAX:
        raise EndpointsError(f"{path} names {len(table)} webhooks; {ENTRIES_MAX} are the most")
    entries = [_entry(path, name, value) for name, value in table.items()]
    claimed: dict[str, str] = {}
    for entry in entries:
        for queue in entry.queues:
            if claimed.setdefault(queue, entry.name) != entry.name:
                raise EndpointsError(f"{path}: queue {queue} is of both {claimed[queue]} and {entry.name}")
    return Endpoints(entries)


def _contents(path: Path) -> bytes:
    try:
        with path.open("rb") as stream:
            mode = stat.S_IMODE(os.fstat(stream.fileno()).st_mode)
            contents = stream.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        raise EndpointsError(f"{path} cannot be read: {error.strerror}") from error
    if mode & (stat.S_IROTH | stat.S_IWOTH | stat.S_IWGRP):
        raise EndpointsError(
            f"{path} can be read or changed by others (mode {mode:04o}): chmod 600 it, and replace the "
            "secrets if they may have seen them"
        )
    if len(contents) > FILE_BYTES_MAX:
        raise EndpointsError(f"{path} is larger than {FILE_BYTES_MAX} bytes")
    return contents


def _entry(path: Path, name: str, value: Any) -> Endpoint:
    where = f"{path}: [{name[:80]}]"
    if not _NAME.fullmatch(name):
        raise EndpointsError(f"{where} has a name that is not of letters, digits and any of _ . : @ + -")
    if not isinstance(value, dict):
        raise EndpointsError(f"{where} must be a table with a secret")
    unknown = [key for key in value if key not in _KEYS]
    if unknown:
        raise EndpointsError(f"{where} has an unknown key; the keys are {', '.join(_KEYS)}")
    url = value.get("url")
    if url is not None:
        try:
            parse(url if isinstance(url, str) else "")
        except BadUrl as error:
            raise EndpointsError(f"{where} url {error}") from None
    on = _texts(where, value, "on") or tuple(sorted(FINAL))
    if not set(on) <= FINAL:
        raise EndpointsError(f"{where} on must be a list of {', '.join(sorted(FINAL))}")
    on_batch = _texts(where, value, "on_batch") or _EVENTS
    if not set(on_batch) <= {*_EVENTS}:
        raise EndpointsError(f"{where} on_batch must be a list of {', '.join(_EVENTS)}")
    queues = _texts(where, value, "queues")
    if queues and url is None:
        raise EndpointsError(f"{where} queues need a url")
    return Endpoint(
        name=name,
        secrets=_secrets(where, path, value),
        url=url,
        on=tuple(map(TaskState, on)),
        on_batch=tuple(map(BatchEvent, on_batch)),
        queues=queues,
    )


def _texts(where: str, value: Mapping[str, Any], key: str) -> tuple[str, ...]:
    given = value.get(key, [])
    if not isinstance(given, list) or not all(type(text) is str for text in given):
        raise EndpointsError(f"{where} {key} must be a list of texts")
    return tuple(dict.fromkeys(given))


def _secrets(where: str, path: Path, value: Mapping[str, Any]) -> tuple[bytes, ...]:
    if ("secret" in value) == ("secret_file" in value):
        raise EndpointsError(f"{where} needs either secret or secret_file")
    if "secret_file" in value:
        file = value["secret_file"]
        if not isinstance(file, str) or not file:
            raise EndpointsError(f"{where} secret_file must be a path")
        try:
            given: Any = _contents(path.parent / Path(file).expanduser()).decode().split()
        except UnicodeDecodeError:
            raise EndpointsError(f"{where} secret_file is not UTF-8") from None
    else:
        given = value["secret"]
    texts = given if isinstance(given, list) else [given]
    if not 0 < len(texts) <= SECRETS_MAX or not all(type(text) is str for text in texts):
        raise EndpointsError(f"{where} must have 1 to {SECRETS_MAX} secrets")
    try:
        return tuple(map(read_secret, texts))
    except ValueError as error:
        raise EndpointsError(f"{where} secret {error}") from None
