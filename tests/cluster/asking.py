"""Asks a cluster over raw HTTP as a careful client does: the leader by way of redirects, the next node when
one cannot be reached; and says of each request what is known of its outcome.
"""

import asyncio
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from tests.cluster.records import Outcome
from tests.e2e.raw_http import Answer, NoAnswer, NotSent, RawClient

CONNECT_S = 1.0
ANSWER_S = 2.5
HOPS_MAX = 8
NOT_HELD = ("lease_lost", "task_not_found")
"""The codes that refuse a token. The second means a loss, which is for the checker to say."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What became of a request.

    Args:
        outcome: see :data:`tests.cluster.records.Outcome`.
        code: the problem's code, or why there was no answer.
        node: the address that answered last.
        answer: None if there was none.
        invoked, returned: monotonic seconds.
    """

    outcome: Outcome
    code: str
    node: str
    answer: Answer | None
    invoked: float
    returned: float

    def json(self) -> Any:
        assert self.answer is not None
        return self.answer.json()


class UnexpectedAnswer(Exception):
    """An answer that no request of these clients should get."""


class Asker:
    """One client's connections, one to each node; one request at a time.

    Args:
        urls: of the nodes.
        answer_s: how long an answer is waited for.
    """

    def __init__(self, urls: Sequence[str], *, answer_s: float = ANSWER_S) -> None:
        self._urls = list(urls)
        self._clients: dict[str, RawClient] = {}
        self._answer_s = answer_s
        self._current = 0

    async def post(self, path: str, body: Any, *, wait_s: float = 0.0, **headers: str) -> Reply:
        """Sends JSON to whoever leads; ``wait_s`` is how long the request itself asks to wait."""
        return await self._ask("POST", path, json.dumps(body).encode(), headers, wait_s)

    async def get(self, path: str) -> Reply:
        """Asks the node it asked last."""
        return await self._ask("GET", path, b"", {}, 0.0)

    async def _ask(
        self, method: str, path: str, body: bytes, headers: dict[str, str], wait_s: float
    ) -> Reply:
        invoked = time.monotonic()
        url, unreached, code = self._urls[self._current], 0, "redirects"
        for _ in range(HOPS_MAX):
            client = self._clients.setdefault(url, RawClient(url))
            try:
                await _reach(client)
                answer = await asyncio.wait_for(
                    client.call(method, path, body, headers), self._answer_s + wait_s
                )
            except NotSent:
                # Also of a connection that was there and ended before anything was asked on it.
                unreached += 1
                self._current = (self._current + 1) % len(self._urls)
                url, code = self._urls[self._current], "unreachable"
                if unreached >= len(self._urls):
                    break
                continue
            except (NoAnswer, TimeoutError) as error:
                self._current = (self._current + 1) % len(self._urls)
                return Reply("info", type(error).__name__, url, None, invoked, time.monotonic())
            if answer.status == 307:
                parts = urlsplit(answer.header("location"))
                url, code = f"{parts.scheme}://{parts.netloc}", "redirects"
                continue
            return self._judged(answer, url, invoked)
        return Reply("fail", code, url, None, invoked, time.monotonic())

    def _judged(self, answer: Answer, url: str, invoked: float) -> Reply:
        returned = time.monotonic()
        if answer.status < 300:
            if url in self._urls:
                self._current = self._urls.index(url)
            return Reply("ok", "", url, answer, invoked, returned)
        code = str(answer.json().get("code", ""))
        if code in NOT_HELD:
            return Reply("refused", code, url, answer, invoked, returned)
        if answer.status in (429, 503):
            self._current = (self._current + 1) % len(self._urls)
            return Reply("fail", code, url, answer, invoked, returned)
        if answer.status >= 500:
            return Reply("info", code, url, answer, invoked, returned)
        raise UnexpectedAnswer(f"{url} answered {answer.status}: {answer.body[:500]!r}")

    def close(self) -> None:
        for client in self._clients.values():
            client.close()


async def _reach(client: RawClient) -> None:
    """Connects.

    Raises:
        NotSent: it did not, or not in time.
    """
    try:
        await asyncio.wait_for(client.connect(), CONNECT_S)
    except TimeoutError as error:
        raise NotSent from error
