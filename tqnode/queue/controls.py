"""What the node and its queues were told, as the transaction at hand sees it.

Read once, then handed from transaction to transaction until an operation changes it: a claim or an enqueue
that none of it concerns pays for one look at an attribute.
"""

import msgspec

from tqnode.queue.rows import Reads
from tqnode.settings import NO_SETTINGS, Controls, Pause, QueueSettings
from tqnode.sql import statement
from tqnode.store.tx import Row, Tx
from tqnode.task import Given

_READ = statement("read_controls")
_READ_COUNTED = statement("read_counted")
_READ_NODE_PAUSE = statement("read_node_pause")

_settings = msgspec.json.Decoder(QueueSettings)
_NOTHING_GIVEN = Given()


def controls_of(tx: Tx) -> Controls:
    """What holds now."""
    if tx.controls is None:
        tx.controls = _read(tx)
    return tx.controls


def changed(tx: Tx) -> None:
    """Has it read again: the operation at hand has changed it."""
    tx.controls = None
    tx.controls_changed = True


def node_pause(reader: Reads) -> Pause | None:
    """The whole node's pause, which may be over."""
    row = reader.one(_READ_NODE_PAUSE)
    return None if row is None else Pause(since_ms=row[0], until_ms=row[1], reason=row[2])


def pause_of(row: Row) -> Pause | None:
    """The pause in a queue's row, which may be over.

    Args:
        row: name, paused, when it was paused and made, until when, why; then whatever.
    """
    _, paused, paused_at_ms, created_at_ms, until_ms, reason, *_ = row
    if not paused:
        return None
    # Those from before there were times of pauses have none.
    since_ms = created_at_ms if paused_at_ms is None else paused_at_ms
    return Pause(since_ms=since_ms, until_ms=until_ms, reason=reason)


def settings_of(stored: bytes | None) -> QueueSettings:
    """A queue's own settings as they are stored."""
    return NO_SETTINGS if stored is None else _settings.decode(stored)


def _read(tx: Tx) -> Controls:
    rows = tx.all(_READ)
    settings = {row[0]: settings_of(row[7]) for row in rows if row[7] is not None}
    given = {queue: mine.given for queue, mine in settings.items()}
    return Controls(
        pause=node_pause(tx),
        pauses={row[0]: pause for row in rows if (pause := pause_of(row)) is not None},
        draining=frozenset(row[0] for row in rows if row[6]),
        settings=settings,
        given={queue: mine for queue, mine in given.items() if mine != _NOTHING_GIVEN},
        ages={queue: mine.age_milli for queue, mine in settings.items() if mine.age_milli is not None},
        counted=frozenset(queue for (queue,) in tx.all(_READ_COUNTED)),
    )
