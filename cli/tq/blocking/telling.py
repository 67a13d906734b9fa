"""The calls about webhooks; the blocking client has them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TypeVar

from tq import calls, wire
from tq.calls import webhook_calls

T = TypeVar("T")


class Telling(ABC):
    """The part of :class:`tq.Client` that is about webhooks."""

    @abstractmethod
    def _call(self, call: calls.Call[T]) -> T:
        """Makes a call."""

    def test_webhook(self, webhook: str, *, secret: str | None = None) -> wire.WebhookTested:
        """Has the node send a signed event of type ``webhook.test``, once; answers what came of it.

        Args:
            webhook: a URL, or the name of a webhook of the node's configuration.
            secret: of a URL: the name of the secret that signs; ``default`` without one.

        Raises:
            UnknownWebhook: the node has no webhook, or no secret, of that name.
            InvalidField: the node may not send to that URL.
        """
        return self._call(webhook_calls.test_webhook(webhook, secret=secret))
