"""From what a task or a batch asks of webhooks to what the core stores; what is wrong is told at once."""

import msgspec

from tq import wire
from tqnode.config import Config
from tqnode.delivery.endpoints import DEFAULT, Endpoint, Endpoints
from tqnode.delivery.target import BadUrl, Policy, parse
from tqnode.errors import InvalidField
from tqnode.queue.batches import BatchHook
from tqnode.queue.membership import BatchEvent
from tqnode.queue.webhooks import QUEUE
from tqnode.task import TaskState, Webhook

WEBHOOK_ERRORS = ("unknown_webhook", "reserved_queue")

_encode = msgspec.json.Encoder().encode


def open_queue(queue: str, field: str = "queue") -> None:
    """Returns unless the node keeps a queue to itself.

    Raises:
        InvalidField: it does.
    """
    if queue == QUEUE:
        raise InvalidField("the node alone delivers webhooks", field=field, code="reserved_queue")


class Hooks:
    """Judges webhooks by one configuration.

    Args:
        config: the node's configuration.
        endpoints: its webhooks.
        policy: what they may reach.
    """

    def __init__(self, config: Config, endpoints: Endpoints, policy: Policy) -> None:
        self._config = config
        self._endpoints = endpoints
        self._policy = policy
        self.by_queue = endpoints.by_queue

    def of(self, asked: wire.Webhook | str | None, queue: str) -> Webhook | None:
        """What a task asks for, or its queue's webhook, or None.

        Raises:
            InvalidField: this node has no such webhook, or may not reach it.
        """
        if asked is None:
            name = self._endpoints.of_queue(queue)
            return None if name is None else self._endpoint(name, "webhook")
        if isinstance(asked, str):
            return self._endpoint(asked, "webhook")
        on = tuple(map(TaskState, dict.fromkeys(asked.on)))
        return msgspec.structs.replace(self._own(asked), on=on)

    def of_batch(self, asked: wire.NewBatchWebhook | str | None) -> BatchHook | None:
        """What a batch asks for, or None.

        Raises:
            InvalidField: this node has no such webhook, or may not reach it.
        """
        if asked is None:
            return None
        if isinstance(asked, str):
            on_batch = self.endpoint(asked, "webhook").on_batch
            return BatchHook(to=self._endpoint(asked, "webhook"), on=on_batch)
        return BatchHook(to=self._own(asked), on=tuple(map(BatchEvent, dict.fromkeys(asked.on))))

    def _own(self, asked: wire.Webhook | wire.NewBatchWebhook) -> Webhook:
        self.url(asked.url, "webhook.url")
        self.secret(asked.secret, "webhook.secret")
        attempts = asked.max_attempts
        return Webhook(
            url=asked.url,
            secret=asked.secret,
            max_attempts=self._config.webhook_max_attempts if attempts is None else attempts,
            retry=None if asked.retry is None else _encode(asked.retry),
        )

    def _endpoint(self, name: str, field: str) -> Webhook:
        entry = self.endpoint(name, field)
        return Webhook(endpoint=name, on=entry.on, max_attempts=self._config.webhook_max_attempts)

    def endpoint(self, name: str, field: str) -> Endpoint:
        """The node's webhook of that name.

        Raises:
            InvalidField: there is none, or it has no URL.
        """
        entry = self._endpoints.find(name)
        if entry is None or entry.url is None:
            raise InvalidField(
                f"this node's webhooks_file gives no url for {name[:80]}", field=field, code="unknown_webhook"
            )
        return entry

    def secret(self, name: str | None, field: str) -> None:
        """Returns if the node has a secret of that name; None is that of what does not say one.

        Raises:
            InvalidField: it has none.
        """
        if self._endpoints.find(name or DEFAULT) is None:
            detail = f"this node's webhooks_file has no secret named {(name or DEFAULT)[:80]}"
            raise InvalidField(detail, field=field, code="unknown_webhook")

    def url(self, url: str, field: str) -> None:
        """Returns if the node may send to a URL, as far as that tells.

        Raises:
            InvalidField: it may not.
        """
        limit = self._config.webhook_url_chars_max
        if len(url) > limit:
            raise InvalidField(f"must be at most {limit} characters long", field=field, limit=limit)
        try:
            self._policy.judge(parse(url))
        except BadUrl as error:
            raise InvalidField(str(error), field=field) from None
