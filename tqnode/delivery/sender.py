"""Sends one request to an address that was judged before, and looks at a bounded part of the answer.

Imported when the first webhook is sent: most nodes send none, and the HTTP client takes its time to load.
"""

import asyncio
import logging
import ssl
from collections.abc import Mapping, Sequence
from contextlib import suppress

import certifi
import httpx

from tqnode.delivery.answer import Answer, Undelivered
from tqnode.delivery.names import Resolve
from tqnode.delivery.target import Address, Policy, Target

ADDRESSES_MAX = 4
"""Of a host with many addresses so many are tried, one after the other."""
ANSWER_BYTES_MAX = 64 * 1024
"""What is read of an answer; of more the rest is not waited for."""
ANSWER_S = 1.0
"""How long an answer's body is waited for once its head has said all that matters."""
EXCERPT_CHARS = 200

# It logs each URL, and URLs hold what only their receivers should know.
logging.getLogger("httpx").setLevel(logging.WARNING)

_PLAIN = {"accept-encoding": "identity", "connection": "close"}


def trusted() -> ssl.SSLContext:
    """Trusts what the system trusts, and the usual public authorities on a system that has none."""
    context = ssl.create_default_context()
    context.load_verify_locations(certifi.where())
    return context


class Sender:
    """Sends.

    Args:
        policy: which addresses may be connected to.
        resolve: finds the addresses of a host; asked once for each request.
        timeout_s: seconds for all of one request.
        tls: whom to trust.
    """

    def __init__(self, policy: Policy, resolve: Resolve, *, timeout_s: float, tls: ssl.SSLContext) -> None:
        self._policy = policy
        self._resolve = resolve
        self._timeout_s = timeout_s
        self._tls = tls

    async def post(self, target: Target, *, headers: Mapping[str, str], body: bytes) -> Answer:
        """Posts ``body``; follows no redirect, uses no proxy, sends and keeps no cookie.

        Raises:
            Undelivered: there is no answer.
        """
        try:
            async with asyncio.timeout(self._timeout_s):
                addresses = await self._open_addresses(target)
                return await self._post_to_one_of(addresses, target, headers, body)
        except TimeoutError:
            raise Undelivered("timeout", f"no answer within {self._timeout_s:g} s") from None

    async def _open_addresses(self, target: Target) -> list[Address]:
        if target.address is not None:
            found: Sequence[Address] = [target.address]
        else:
            try:
                found = await self._resolve(target.host, target.port)
            except OSError as error:
                why = error.strerror or str(error)
                raise Undelivered("resolve", f"{target.host} was not found: {why}") from None
        usable = self._policy.open_of(found, host=target.host)
        if not usable:
            raise Undelivered(
                "forbidden",
                f"{target.host} has no public address (the node's webhook_allow opens others)",
            )
        return usable[:ADDRESSES_MAX]

    async def _post_to_one_of(
        self, addresses: Sequence[Address], target: Target, headers: Mapping[str, str], body: bytes
    ) -> Answer:
        for address in addresses[:-1]:
            with suppress(httpx.ConnectError, httpx.ConnectTimeout):  # nothing was sent: the next one
                return await self._post(address, target, headers, body)
        try:
            return await self._post(addresses[-1], target, headers, body)
        except httpx.HTTPError as error:
            said = str(error) or type(error).__name__
            raise Undelivered("connection", f"{target.netloc}: {said}") from None

    async def _post(
        self, address: Address, target: Target, headers: Mapping[str, str], body: bytes
    ) -> Answer:
        # A client for each: nothing of one receiver, no connection and no cookie, is there for another.
        transport = httpx.AsyncHTTPTransport(verify=self._tls, trust_env=False)
        timeout = httpx.Timeout(self._timeout_s, connect=self._timeout_s / 2)
        async with httpx.AsyncClient(transport=transport, trust_env=False, timeout=timeout) as client:
            request = client.build_request(
                "POST",
                httpx.URL(
                    scheme=target.scheme,
                    host=str(address),
                    port=target.port,
                    raw_path=target.path.encode("ascii"),
                ),
                # It goes to the address that was judged, and says and proves the name that was asked for.
                headers={
                    "host": target.netloc,
                    "accept-encoding": "identity",
                    "connection": "close",
                    **headers,
                },
                content=body,
                extensions={"sni_hostname": target.host},
            )
            response = await client.send(request, stream=True, follow_redirects=False)
            try:
                return Answer(
                    status=response.status_code,
                    retry_after=response.headers.get("retry-after"),
                    excerpt=await _excerpt(response),
                )
            finally:
                await response.aclose()


async def _excerpt(response: httpx.Response) -> str:
    """The beginning of the answer's body in one line, as far as it comes soon."""
    parts: list[bytes] = []
    size = 0
    # The head has decided already: what is wrong with the rest changes nothing.
    with suppress(TimeoutError, httpx.HTTPError):
        async with asyncio.timeout(ANSWER_S):
            async for part in response.aiter_raw():
                parts.append(part[: 4 * EXCERPT_CHARS])
                size += len(part)
                if size >= ANSWER_BYTES_MAX:
                    break
    text = b"".join(parts)[: 4 * EXCERPT_CHARS].decode(errors="replace")
    return " ".join("".join(char if char.isprintable() else " " for char in text).split())[:EXCERPT_CHARS]
