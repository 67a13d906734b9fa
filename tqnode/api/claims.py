"""Claims: a worker asks for tasks, and waits for the first one if it likes."""

from tq import wire
from tqnode.api.call import Call, Reply, json_reply
from tqnode.api.decode import Decoder
from tqnode.api.hooks import open_queue
from tqnode.api.route import Route
from tqnode.api.views import claimed_of
from tqnode.errors import Draining, InvalidField
from tqnode.task import Ask

_claim = Decoder(wire.Claim)


async def claim(call: Call) -> Reply:
    """Up to ``max`` tasks; none when the wait ends, or the node drains, before there is one."""
    asked = await call.json(_claim)
    context = call.context
    ask = _ask(call, asked)
    if asked.wait_s > context.config.claim_wait_s_max:
        limit = context.config.claim_wait_s_max
        raise InvalidField(f"must be at most {limit:g} seconds", field="wait_s", limit=limit)
    queue = context.queue
    try:
        tasks = await context.waiting.run(
            queue.claim(ask, wait_s=asked.wait_s),
            call.receive,
            gone=call.client_gone,
            unwanted=queue.give_back,
        )
    except Draining:
        tasks = []
    return json_reply(200, wire.Claimed(tasks=[claimed_of(task) for task in tasks]))


def _ask(call: Call, asked: wire.Claim) -> Ask:
    context = call.context
    if asked.max > context.config.claim_max:
        limit = context.config.claim_max
        raise InvalidField(f"must be at most {limit}", field="max", limit=limit)
    conversion = context.conversion
    for index, queue in enumerate(asked.queues):
        open_queue(queue, f"queues[{index}]")
    return Ask(
        queues=conversion.names(asked.queues, "queues"),
        kinds=None if asked.kinds is None else conversion.names(asked.kinds, "kinds"),
        max=asked.max,
        lease_ms=conversion.lease_ms(asked.lease_s),
        worker=conversion.name(asked.worker, "worker"),
        min_priority=asked.min_priority,
    )


ROUTES = [
    Route(
        method="POST",
        path="/v1/claims",
        handler=claim,
        name="claim",
        about="Claim tasks from the queues in the order given, waiting up to wait_s for the first one.",
        body=wire.Claim,
        answers={200: wire.Claimed},
        errors=["reserved_queue"],
    ),
]
