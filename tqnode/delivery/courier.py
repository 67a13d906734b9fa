"""Sends an event to a webhook: finds where it goes and what signs it, within the configured bounds."""

import asyncio
from collections.abc import Mapping
from importlib import import_module, metadata
from typing import TYPE_CHECKING, Any

from tqnode.clock import Clock
from tqnode.config import Config
from tqnode.delivery.answer import Answer, Undelivered
from tqnode.delivery.endpoints import DEFAULT, Endpoint, Endpoints
from tqnode.delivery.names import Resolve, look_up
from tqnode.delivery.signature import sign
from tqnode.delivery.target import BadUrl, Policy, Target, parse

if TYPE_CHECKING:
    from tqnode.delivery.sender import Sender

AGENT = f"tqnode/{metadata.version('tqnode')}"


class Courier:
    """Sends events.

    Args:
        endpoints: the configured webhooks.
        config: the bounds.
        clock: the signatures' time.
        resolve: finds the addresses of a host.
    """

    def __init__(
        self, endpoints: Endpoints, *, config: Config, clock: Clock, resolve: Resolve = look_up
    ) -> None:
        self.endpoints = endpoints
        self.policy = Policy(config.webhook_allow, config.webhook_ports)
        self._config = config
        self._clock = clock
        self._resolve = resolve
        self._sender: Sender | None = None
        self._loading = asyncio.Lock()

    async def send(self, where: Mapping[str, Any], *, event_id: str, body: bytes) -> Answer:
        """Makes one attempt.

        Args:
            where: ``endpoint``, or ``url`` and ``secret``: all by name.
            event_id: the same at each attempt.
            body: the same at each attempt.

        Raises:
            Undelivered: there is no answer.
        """
        target, signer = self._route(where)
        sender = self._sender or await self._load()
        headers = {
            "content-type": "application/json",
            "user-agent": AGENT,
            **sign(signer.secrets, event_id=event_id, at_s=self._clock.now_ms() // 1000, body=body),
        }
        return await sender.post(target, headers=headers, body=body)

    def receiver(self, where: Mapping[str, Any]) -> str | None:
        """Host and port of where it goes; None if it goes nowhere."""
        try:
            target, _ = self._route(where)
        except Undelivered:
            return None
        return target.netloc

    def _route(self, where: Mapping[str, Any]) -> tuple[Target, Endpoint]:
        name = where.get("endpoint") or where.get("secret") or DEFAULT
        entry = self.endpoints.find(name)
        if entry is None:
            raise Undelivered("unconfigured", f"webhooks_file on this node names no {name}")
        url = where.get("url") or entry.url
        if url is None:
            raise Undelivered("unconfigured", f"webhooks_file on this node gives {name} no url")
        try:
            target = parse(url)
            self.policy.judge(target)
        except BadUrl as error:
            raise Undelivered("forbidden", f"the URL {error}") from None
        return target, entry

    async def _load(self) -> "Sender":
        async with self._loading:
            if self._sender is None:
                module = await asyncio.to_thread(import_module, "tqnode.delivery.sender")
                tls = await asyncio.to_thread(module.trusted)
                self._sender = module.Sender(
                    self.policy, self._resolve, timeout_s=self._config.webhook_timeout_s, tls=tls
                )
            return self._sender
