"""Gives queues settings of their own."""

from collections.abc import Mapping
from typing import Any

import msgspec

from tqnode.errors import InvalidField
from tqnode.queue import roster
from tqnode.queue.controls import changed, settings_of
from tqnode.queue.limits.rules import rules_of
from tqnode.queue.quotas import count_bytes
from tqnode.settings import NO_SETTINGS, QueueSettings
from tqnode.sql import statement
from tqnode.store.tx import Tx

_READ = statement("read_settings")
_WRITE = statement("write_settings")


def configure(tx: Tx, name: str, changes: Mapping[str, Any], *, queues_max: int) -> QueueSettings:
    """Changes some of a queue's settings; a queue that is not there is made.

    Args:
        name: the queue's.
        changes: new values by the names of :class:`QueueSettings`; None gives back to the node's.
        queues_max: how many queues there may be.

    Returns:
        All settings that it has now.

    Raises:
        InvalidField: its tasks are to gain priority, but it has a fair limit.
        QueueFull: there are too many queues already.
    """
    rule = rules_of(tx).on_queue(name)
    if changes.get("age_milli") is not None and rule is not None and rule.fair:
        raise InvalidField(
            f"the limit {rule.name} has the keys of {name} take turns within each priority, which is not to "
            "be had with priorities that grow: make that limit one without fair first",
            field="age_per_minute",
        )
    row = tx.one(_READ, {"queue": name})
    if row is None:
        roster.add(tx, name, queues_max=queues_max, wanted=(name,))
    settings = msgspec.structs.replace(settings_of(row[0] if row else None), **changes)
    stored = None if settings == NO_SETTINGS else msgspec.json.encode(settings)
    tx.run(_WRITE, {"queue": name, "settings": stored})
    changed(tx)
    count_bytes(tx, name, wanted=settings.bytes_max is not None)
    return settings
