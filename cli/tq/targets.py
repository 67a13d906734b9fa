"""Which of several nodes to talk to."""

from collections.abc import Sequence
from urllib.parse import urljoin, urlsplit


class Targets:
    """The base URLs, and the one in use. Threads may share it: every write is one assignment.

    Args:
        urls: base URLs without a slash at their end, in the order to try them.
    """

    def __init__(self, urls: Sequence[str]) -> None:
        self.urls = tuple(urls)
        self._current = self.urls[0]

    @property
    def current(self) -> str:
        return self._current

    def failed(self, url: str) -> None:
        """Moves on to the next, unless someone has done so already."""
        if url != self._current:
            return
        # A leader learnt from an answer need not be in the list: then the list starts over.
        position = self.urls.index(url) + 1 if url in self.urls else 0
        self._current = self.urls[position % len(self.urls)]

    def redirected(self, *, url: str, location: str, path: str) -> str:
        """Where a redirect leads; the node it names becomes the one in use.

        Args:
            url: what was asked.
            location: the answer's ``Location``, perhaps relative.
            path: what was asked below the base URL.

        Raises:
            ValueError: it leads nowhere, or from https to http, where the token would be readable.
        """
        target = urljoin(url, location)
        parts = urlsplit(target)
        # Reading the port raises a ValueError of its own when there is none of that number.
        nowhere = parts.scheme not in ("http", "https") or not parts.hostname or parts.port == 0
        if nowhere or not target.isprintable() or " " in target:
            raise ValueError(f"{url} redirects to {location!r}, which is not a node's URL")
        if urlsplit(url).scheme == "https" and parts.scheme == "http":
            raise ValueError(f"{url} redirects to {target} without TLS; that is refused")
        if target.endswith(path):
            self._current = target[: -len(path)]
        return target
