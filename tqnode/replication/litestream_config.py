"""Litestream's configuration file, as this node writes it for replicating and for restoring."""

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tqnode.replication.archive_url import ArchiveUrl

LEVELS: Final = ("1s", "30s", "5m", "1h")
"""How often each level of the archive is made from the one below. The first bounds how many single entries
lie about, which is what a sync's cost depends on; a point in time can be restored to its grain."""
ENTRY_KEPT: Final = "3s"
"""How long an entry outlives its being taken into the first level: whoever reads them must be this quick."""
BUSY_TIMEOUT: Final = "200ms"
MONITOR_INTERVAL: Final = "1s"
CHECKPOINT_PAGES: Final = 4_000
"""Pages in the write-ahead log from which Litestream checkpoints it: 16 MB."""


@dataclass(frozen=True, slots=True)
class Replicated:
    """A database that Litestream follows.

    Args:
        database: the file.
        meta: the folder in which Litestream keeps its state of it.
        archive: where it goes.
    """

    database: Path
    meta: Path
    archive: ArchiveUrl


def write_config(
    file: Path, databases: Iterable[Replicated], *, socket: str, snapshot_s: int, keep_s: int
) -> None:
    """Writes the file for ``litestream replicate``, readable by its owner alone.

    Args:
        file: where; replaced at once.
        databases: what is followed.
        socket: path of the control socket.
        snapshot_s: seconds between two snapshots.
        keep_s: seconds a snapshot is kept, and all that follows it.

    Raises:
        OSError: it can't be written.
    """
    described: dict[str, Any] = {
        "logging": {"level": "warn", "type": "json", "stderr": True},
        "socket": {"enabled": True, "path": socket, "permissions": 0o600},
        "levels": [{"interval": interval} for interval in LEVELS],
        "l0-retention": ENTRY_KEPT,
        "l0-retention-check-interval": "1s",
        # Ended it is to be at once: what it has not written by then, a later start writes.
        "shutdown-sync-timeout": "0s",
        "snapshot": {"interval": f"{snapshot_s}s", "retention": f"{keep_s}s"},
        "dbs": [_described(one) for one in databases],
    }
    _write(file, described)


def write_restore_config(file: Path, database: Path, archive: ArchiveUrl) -> None:
    """Writes the file for ``litestream restore`` and ``ltx``, readable by its owner alone.

    Args:
        file: where; replaced at once.
        database: the name under which the archive is asked for.
        archive: where it is.

    Raises:
        OSError: it can't be written.
    """
    replica = archive.replica()
    _write(file, {"logging": {"level": "warn"}, "dbs": [{"path": str(database), "replica": replica}]})


def _described(one: Replicated) -> dict[str, Any]:
    return {
        "path": str(one.database),
        "meta-path": str(one.meta),
        "busy-timeout": BUSY_TIMEOUT,
        "monitor-interval": MONITOR_INTERVAL,
        "min-checkpoint-page-count": CHECKPOINT_PAGES,
        # It would put an older state over a newer one; a term that went wrong is followed by a new term.
        "replica": one.archive.replica() | {"sync-interval": MONITOR_INTERVAL, "auto-recover": False},
    }


def _write(file: Path, described: dict[str, Any]) -> None:
    # Every JSON text is YAML, and JSON has one way to write a string.
    draft = file.with_name(f"{file.name}.new")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as stream:
        stream.write(json.dumps(described, indent=1) + "\n")
    draft.replace(file)
