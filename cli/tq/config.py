"""Where the node is and how to be let in.

Each value comes from the first of: the caller, the environment (``TQ_URL``, ``TQ_TOKEN``),
``~/.config/tq/config.toml``, ``/etc/tq/config.toml``, the default.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from tq.errors import ConfigError

DEFAULT_URL = "http://127.0.0.1:7333"
USER_FILE = "~/.config/tq/config.toml"
SYSTEM_FILE = "/etc/tq/config.toml"
URLS_MAX = 100


class Settings(NamedTuple):
    """Base URLs without a slash at their end, and the token (``None``: none is sent)."""

    urls: tuple[str, ...]
    token: str | None


def settings(
    url: str | Sequence[str] | None = None,
    token: str | None = None,
    *,
    environ: Mapping[str, str] | None = None,
    files: Sequence[str] = (USER_FILE, SYSTEM_FILE),
) -> Settings:
    """The settings in effect.

    Args:
        url: one URL, several separated by commas, or a list; wins over all else.
        token: wins over all else; ``""`` means that none is sent.
        environ: the environment, ``os.environ`` when absent.
        files: TOML files, the first wins; one that does not exist is passed over.

    Raises:
        ConfigError: names the variable, or the file and the key, at fault.
    """
    env = os.environ if environ is None else environ
    layers: list[tuple[str, Mapping[str, Any]]] = [
        ("the arguments", {"url": url, "token": token}),
        (
            "the environment (TQ_URL, TQ_TOKEN)",
            {"url": env.get("TQ_URL") or None, "token": env.get("TQ_TOKEN")},
        ),
    ]
    if _first(layers, "url") is None or _first(layers, "token") is None:
        for path in files:
            layers.append((path, _read(os.path.expanduser(path), shown=path)))
    source, found_url = _first(layers, "url") or ("the default", DEFAULT_URL)
    token_source, found_token = _first(layers, "token") or ("the default", "")
    return Settings(urls=_urls(found_url, source), token=_token(found_token, token_source))


def _first(layers: Sequence[tuple[str, Mapping[str, Any]]], key: str) -> tuple[str, Any] | None:
    for source, values in layers:
        if values.get(key) is not None:
            return source, values[key]
    return None


def _read(path: str, *, shown: str) -> Mapping[str, Any]:
    try:
        with open(path, "rb") as file:
            text = file.read()
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        raise ConfigError(
            f"{shown}: {error.strerror}; with both TQ_URL and TQ_TOKEN set (to nothing for no token)"
            " it is not needed"
        ) from error
    import tomllib  # only those who have a file pay for the parser

    try:
        values = tomllib.loads(text.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{shown}: {error}") from error
    for key in values:
        if key not in ("url", "token"):
            raise ConfigError(f"{shown}: unknown key {key!r}; there are 'url' and 'token'")
    return values


def _urls(value: Any, source: str) -> tuple[str, ...]:
    rows = value.split(",") if isinstance(value, str) else value
    if not isinstance(rows, list | tuple) or not all(isinstance(row, str) for row in rows):
        raise ConfigError(f"{source}: url is to be text or a list of texts")
    urls = tuple(dict.fromkeys(row.strip().rstrip("/") for row in rows if row.strip()))
    if not 1 <= len(urls) <= URLS_MAX:
        raise ConfigError(f"{source}: url names {len(urls)} nodes; it is to name 1 to {URLS_MAX}")
    for url in urls:
        _check_url(url, source)
    return urls


def _check_url(url: str, source: str) -> None:
    try:
        parts = urlsplit(url)
        port_is_fine = parts.port is None or parts.port > 0
    except ValueError as error:
        raise ConfigError(f"{source}: url {url!r}: {error}") from error
    if parts.scheme not in ("http", "https") or not parts.hostname or not port_is_fine:
        raise ConfigError(f"{source}: url {url!r} is not of the form http://host:port or https://host:port")
    if parts.query or parts.fragment:
        raise ConfigError(f"{source}: url {url!r} has a query or fragment; a base URL has none")
    if parts.username is not None:
        raise ConfigError(f"{source}: url holds a user name; credentials go into TQ_TOKEN or 'token'")
    if not url.isprintable() or " " in url:
        raise ConfigError(f"{source}: url {url!r} holds a space or control character")


def _token(value: Any, source: str) -> str | None:
    if not isinstance(value, str):
        raise ConfigError(f"{source}: token is to be text")
    token = value.strip()
    # It goes into a header line as it stands; the text itself stays out of the error.
    if not token.isascii() or not token.isprintable() or " " in token:
        raise ConfigError(f"{source}: token holds a space, a control or a non-ASCII character")
    return token or None
