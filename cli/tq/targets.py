"""Which of several nodes to talk to."""

from collections.abc import Sequence
from typing import NamedTuple
from urllib.parse import urljoin, urlsplit


class _InUse(NamedTuple):
    """``position`` in the list is where ``url`` was learnt: from there the search goes on when it fails."""

    position: int
    url: str


class Targets:
    """The base URLs, and the one in use. Threads may share it: every write is one assignment.

    Args:
        urls: base URLs without a slash at their end, in the order to try them.
    """

    def __init__(self, urls: Sequence[str]) -> None:
        self.urls = tuple(urls)
        self._in_use = _InUse(0, self.urls[0])

    @property
    def current(self) -> str:
        return self._in_use.url

    def failed(self, url: str) -> None:
        """Moves on to the next, unless someone has done so already."""
        in_use = self._in_use
        if url != in_use.url:
            return
        # Standbys name a leader that died for as long as its lease would have run: had the search gone
        # on behind that leader in the list, two of them would send it to and fro past a third node.
        position = (in_use.position + 1) % len(self.urls)
        self._in_use = _InUse(position, self.urls[position])

    def redirected(self, *, url: str, location: str, path: str) -> str:
        """Where a redirect leads; the node it names becomes the one in use.

        It may name a node outside the list, for a cluster knows its own nodes best. The token goes there
        too, so it must be no less safe on its way than to the node that answered: that one's word is as
        good as the connection it came by, and what was sent in the clear before has nothing more to lose.

        Args:
            url: what was asked.
            location: the answer's ``Location``, perhaps relative.
            path: what was asked below the base URL.

        Raises:
            ValueError: it leads nowhere; from https to http, where the token would be readable; or to
                another path, which is how a login page redirects, not a node.
        """
        target = urljoin(url, location)
        parts = urlsplit(target)
        # Reading the port raises a ValueError of its own when there is none of that number.
        nowhere = parts.scheme not in ("http", "https") or not parts.hostname or parts.port == 0
        if nowhere or not location or not target.isprintable() or " " in target or parts.username is not None:
            raise ValueError(f"{url} redirects to {location!r}, which is not a node's URL")
        if urlsplit(url).scheme == "https" and parts.scheme == "http":
            raise ValueError(f"{url} redirects to {target} without TLS; that is refused")
        base = target.removesuffix(path)
        if base == target or "?" in base or "#" in base:
            raise ValueError(f"{url} redirects to {target}, which is another path: no node does that")
        self._in_use = _InUse(self._in_use.position, base)
        return target
