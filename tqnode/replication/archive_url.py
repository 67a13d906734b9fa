"""The archive's address: where it is, where each term's part of it is, and what opens it."""

import stat
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit, urlunsplit

TERMS: Final = "terms"
_FILE: Final = "file"
_BYTES_MAX: Final = 64 * 1024
_OPEN_TO_OTHERS: Final = stat.S_IRWXO
CREDENTIALS: Final = frozenset(
    {
        *("access-key-id", "secret-access-key", "region", "endpoint", "force-path-style", "sign-payload"),
        *("sse-customer-algorithm", "sse-customer-key", "sse-customer-key-path", "sse-kms-key-id"),
        *("account-name", "account-key", "sas-token", "user", "password", "key-path", "host-key"),
        *("webdav-username", "webdav-password"),
        *("storage-class", "skip-verify", "require-content-md5", "part-size"),
    }
)
"""Litestream's own settings of a replica that a credentials file may give."""
_OPEN: Final = frozenset(
    {
        *(
            "region",
            "endpoint",
            "force-path-style",
            "sign-payload",
            "sse-customer-algorithm",
            "storage-class",
        ),
        *("skip-verify", "require-content-md5", "part-size", "key-path", "sse-customer-key-path"),
        *("account-name", "host-key", "user", "webdav-username"),
    }
)


class ArchiveError(Exception):
    """The archive can't be used; the text says why and what to do."""


@dataclass(frozen=True, slots=True)
class ArchiveUrl:
    """The archive's address.

    Args:
        url: as Litestream takes it, without a trailing slash.
        credentials: Litestream's settings for it, by name; never shown.
    """

    url: str
    credentials: Mapping[str, str | bool | int] = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, setting: str, *, data_dir: Path, credentials_file: str) -> "ArchiveUrl":
        """From the configuration's keys.

        Args:
            setting: a URL; empty for a folder in ``data_dir``.
            data_dir: the node's folder.
            credentials_file: a TOML file of Litestream's settings for it; empty for none.

        Raises:
            ArchiveError: the credentials can't be read, or others can read them too.
        """
        url = setting or f"{_FILE}://{data_dir.absolute() / 'archive'}"
        credentials = _read_credentials(Path(credentials_file).expanduser()) if credentials_file else {}
        return cls(url.rstrip("/"), credentials)

    @property
    def folder(self) -> Path | None:
        """Where it is on this machine; None when it is elsewhere."""
        parts = urlsplit(self.url)
        return Path(parts.path) if parts.scheme == _FILE else None

    @property
    def secrets(self) -> tuple[str, ...]:
        """The values that no log may show."""
        return tuple(str(value) for name, value in self.credentials.items() if name not in _OPEN)

    def of_term(self, term: int) -> "ArchiveUrl":
        """The part of the archive that one term writes."""
        return self._below(str(term))

    def of_terms(self) -> "ArchiveUrl":
        """The part that holds the list of terms."""
        return self._below(TERMS)

    def _below(self, name: str) -> "ArchiveUrl":
        parts = urlsplit(self.url)
        below = parts._replace(path=f"{parts.path.rstrip('/')}/{name}")
        return ArchiveUrl(urlunsplit(below), self.credentials)

    def replica(self) -> dict[str, str | bool | int]:
        """Litestream's description of it."""
        folder = self.folder
        # As a path it needs no escapes, whatever characters the folder's name has.
        where: dict[str, str | bool | int] = (
            {"url": self.url} if folder is None else {"type": _FILE, "path": str(folder)}
        )
        return where | dict(self.credentials)


def _read_credentials(file: Path) -> dict[str, str | bool | int]:
    try:
        with file.open("rb") as stream:
            mode = stat.S_IMODE(file.stat().st_mode)
            table = tomllib.loads(stream.read(_BYTES_MAX).decode())
    except OSError as error:
        raise ArchiveError(f"archive_credentials_file {file} cannot be read: {error.strerror}") from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError):
        # The error's own text would quote from the file.
        raise ArchiveError(
            f'archive_credentials_file {file} is not TOML; write lines such as access-key-id = "..."'
        ) from None
    if mode & _OPEN_TO_OTHERS:
        raise ArchiveError(f"archive_credentials_file {file} can be read by everybody: chmod 600 {file}")
    unknown = sorted(set(table) - CREDENTIALS)
    if unknown:
        known = ", ".join(sorted(CREDENTIALS))
        raise ArchiveError(f"archive_credentials_file {file}: unknown {unknown[0]!r}; known are {known}")
    wrong = sorted(name for name, value in table.items() if type(value) not in (str, bool, int))
    if wrong:
        raise ArchiveError(f"archive_credentials_file {file}: {wrong[0]} must be a text, number or boolean")
    return table
