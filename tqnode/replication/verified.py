"""The result of the last restore drill: a file in the data folder, which the node and the command share."""

import logging
import os
from pathlib import Path
from typing import Final

import msgspec

FILE: Final = "backup.json"

logger = logging.getLogger(__name__)


class Verified(msgspec.Struct, frozen=True):
    """What the last drill found.

    Args:
        at_ms: wall time of its end.
        ok: whether the archive gave what the queue had.
        detail: the figures, or what is wrong, for people.
        took_s: seconds it took.
        ok_at_ms: wall time of the last drill that found all well; None without one.
    """

    at_ms: int
    ok: bool
    detail: str
    took_s: float
    ok_at_ms: int | None = None


def read_verified(data_dir: Path) -> Verified | None:
    """The last result; None when there is none that can be read."""
    try:
        return msgspec.json.decode((data_dir / FILE).read_bytes(), type=Verified)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError) as error:
        logger.warning("the result of the last check of the archive cannot be read: %s", error)
        return None


def write_verified(data_dir: Path, result: Verified) -> None:
    """Puts a result in the last one's place.

    Raises:
        OSError: it can't be written.
    """
    last = read_verified(data_dir)
    ok_at_ms = result.at_ms if result.ok else (last.ok_at_ms if last else None)
    draft = data_dir / f"{FILE}.new"
    draft.write_bytes(msgspec.json.encode(msgspec.structs.replace(result, ok_at_ms=ok_at_ms)))
    if os.geteuid() == 0:
        # Run by the administrator; the node that reads it is another user.
        owner = data_dir.stat()
        os.chown(draft, owner.st_uid, owner.st_gid)
    draft.replace(data_dir / FILE)
