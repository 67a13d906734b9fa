"""The calls on webhooks as values, as :mod:`tq.calls` has those on all else; both clients make them."""

from __future__ import annotations

import msgspec

from tq import wire
from tq.calls import Call, Repeat, _reader
from tq.new_tasks import is_url

TRIAL_S = 15.0
"""How long a node tries, unless it is configured otherwise."""


def test_webhook(webhook: str, *, secret: str | None) -> Call[wire.WebhookTested]:
    where = {"url": webhook} if is_url(webhook) else {"endpoint": webhook}
    return Call(
        method="POST",
        path="/v1/webhooks/test",
        read=_reader(wire.WebhookTested),
        # Receivers take a test for what it is, however often it comes.
        repeat=Repeat.SAFE,
        body=msgspec.json.encode(wire.WebhookTest(secret=secret, **where)),
        wait_s=TRIAL_S,
    )
