"""The parameter ``at``: a call that reads the queue as it was at a moment."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tqnode.api.context import Context
from tqnode.api.route import Parameter
from tqnode.errors import InvalidField
from tqnode.queue.past import PastQueue, Readable

AT = Parameter(
    name="at",
    schema={"type": "string", "format": "date-time"},
    about="Answer as of this moment, from the archive, which may take seconds the first time.",
)
PAST_ERRORS = ("outside_archive", "no_archive", "archive_unavailable", "overloaded")


@asynccontextmanager
async def queue_at(context: Context, at_ms: int | None) -> AsyncIterator[Readable]:
    """The queue as it was at a moment; as it is, without one.

    Args:
        context: the node's services.
        at_ms: the moment, wall time.

    Raises:
        InvalidField: the node has no archive, or the archive has no such moment.
        ArchiveUnavailable: the archive can't be asked.
        Overloaded: too many wait for a past state.
    """
    if at_ms is None:
        yield context.queue
        return
    if context.past is None:
        raise InvalidField("this node keeps no archive", field=AT.name, code="no_archive")
    async with context.past.at(at_ms) as readers:
        yield PastQueue(readers.read, at_ms=at_ms)
