"""Webhooks: whom a task tells of its end, or a batch of its events, and how one is tried out."""

from typing import Annotated, Literal

from msgspec import Meta, field

from tq.wire.names import Answer, Name, Request
from tq.wire.retry import RetryPolicy

FinalState = Literal["succeeded", "dead", "cancelled"]
BatchEvent = Literal["failure", "finished", "success"]


class Webhook(Request, kw_only=True):
    """Where the end of a task is told: at ``url``, signed with the secret that the node has by that name.

    ``on`` says of which ends. ``max_attempts`` and ``retry`` are those of the delivery.
    """

    url: Annotated[str, Meta(min_length=1)]
    secret: Name | None = None
    on: Annotated[list[FinalState], Meta(min_length=1, max_length=3)] = field(
        default_factory=lambda: ["succeeded", "dead", "cancelled"]
    )
    max_attempts: Annotated[int, Meta(ge=1, le=1000)] | None = None
    retry: RetryPolicy | None = None


class NewBatchWebhook(Request, kw_only=True):
    """Where the events of a batch are told, as :class:`Webhook` says it of the end of a task.

    ``on`` says which: ``failure`` when the first member is dead, ``finished`` when all have ended,
    ``success`` when all have succeeded.
    """

    url: Annotated[str, Meta(min_length=1)]
    secret: Name | None = None
    on: Annotated[list[BatchEvent], Meta(min_length=1, max_length=3)] = field(
        default_factory=lambda: ["failure", "finished", "success"]
    )
    max_attempts: Annotated[int, Meta(ge=1, le=1000)] | None = None
    retry: RetryPolicy | None = None


class BatchWebhook(Answer, kw_only=True):
    """Where a batch's events are told: at the node's ``endpoint`` of that name, or at ``url``."""

    endpoint: Name | None = None
    url: str | None = None
    secret: Name | None = None
    on: list[BatchEvent]
    max_attempts: int | None = None
    retry: RetryPolicy | None = None


class TaskWebhook(Answer, kw_only=True):
    """Where a task's end is told: at the node's ``endpoint`` of that name, or at ``url``."""

    endpoint: Name | None = None
    url: str | None = None
    secret: Name | None = None
    on: list[FinalState]
    max_attempts: int | None = None
    retry: RetryPolicy | None = None


class WebhookTest(Request, kw_only=True):
    """Sends an event of type ``webhook.test``: to the node's ``endpoint`` of that name, or to ``url``."""

    endpoint: Name | None = None
    url: Annotated[str, Meta(min_length=1)] | None = None
    secret: Name | None = None


class WebhookTested(Answer, kw_only=True):
    """What came of it: the receiver's ``status``, or in ``error`` why there is none.

    ``delivered`` says whether the receiver took it.
    """

    delivered: bool
    webhook_id: str
    took_s: float
    status: int | None = None
    error: str | None = None
