"""Webhooks: tried out."""

from typing import Any

import msgspec

from tq import wire
from tqnode.api.call import Call, Reply, json_reply
from tqnode.api.decode import Decoder
from tqnode.api.route import Route
from tqnode.api.stamps import stamp
from tqnode.delivery.answer import Undelivered
from tqnode.errors import InvalidField, Overloaded

TRIALS_MAX = 4
"""Trials at a time: each holds a request for as long as the receiver likes to, within the bounds."""
_ID_BITS = 96

_test = Decoder(wire.WebhookTest)
_encode = msgspec.json.Encoder().encode


async def test(call: Call) -> Reply:
    """Sends an event of type ``webhook.test``, once, and tells what came of it."""
    asked = await call.json(_test)
    context = call.context
    if (asked.endpoint is None) == (asked.url is None):
        raise InvalidField("either endpoint or url is required", field="url", code="missing_field")
    if asked.endpoint is not None:
        context.hooks.endpoint(asked.endpoint, "endpoint")
    if asked.url is not None:
        context.hooks.url(asked.url, "url")
        context.hooks.secret(asked.secret, "secret")
    await context.queue.check_readable()  # the node that leads sends, as it does all others
    if context.trials.locked():
        raise Overloaded(f"{TRIALS_MAX} webhooks are being tried already")
    async with context.trials:
        return json_reply(200, await _try(call, asked))


async def _try(call: Call, asked: wire.WebhookTest) -> wire.WebhookTested:
    context = call.context
    event_id = f"test_{context.rng.bits(_ID_BITS):024x}"
    told = {
        "type": "webhook.test",
        "id": event_id,
        "timestamp": stamp(context.clock.now_ms()),
        "data": {"node": context.config.name},
    }
    where = {"endpoint": asked.endpoint, "url": asked.url, "secret": asked.secret}
    began = context.clock.monotonic()
    try:
        answer = await context.courier.send(where, event_id=event_id, body=_encode(told))
    except Undelivered as error:
        said: dict[str, Any] = {"delivered": False, "error": error.detail}
    else:
        said = {"delivered": answer.delivered, "status": answer.status}
        if not answer.delivered:
            said["error"] = f"answered {answer.status}"
    took_s = round(context.clock.monotonic() - began, 3)
    return wire.WebhookTested(webhook_id=event_id, took_s=took_s, **said)


ROUTES = [
    Route(
        method="POST",
        path="/v1/webhooks/test",
        handler=test,
        name="test_webhook",
        about="Send a signed event of type webhook.test once, and tell what came of it.",
        body=wire.WebhookTest,
        answers={200: wire.WebhookTested},
        errors=["unknown_webhook"],
    ),
]
