"""What a disk that takes no more says, in the two words its callers tell apart: full, or failed."""

import contextlib
import errno
from collections.abc import Iterator

import apsw

from tqnode.errors import DiskFull

_FULL = (errno.ENOSPC, errno.EDQUOT)


class DiskFailed(Exception):
    """The disk failed, or what stands on it is damaged: the process must end, and nothing may be retried."""


def is_fatal(error: BaseException) -> bool:
    """Whether nothing may be acknowledged on this disk after ``error``."""
    return isinstance(
        error,
        DiskFailed
        | apsw.IOError
        | apsw.CorruptError
        | apsw.NotADBError
        | apsw.CantOpenError
        | apsw.ReadOnlyError
        | apsw.SQLError,  # the schema is not the one that was written
    )


@contextlib.contextmanager
def told_apart() -> Iterator[None]:
    """Turns what the system and SQLite say of the disk into the two errors.

    Raises:
        DiskFull: there is no space; nothing was kept, and the node goes on.
        DiskFailed: reading, writing or fsync failed.
    """
    try:
        yield
    except apsw.FullError as error:
        raise DiskFull("the disk is full", retry_after_s=5.0) from error
    except UnicodeDecodeError as error:
        raise DiskFailed(f"what was written as text is none: {error.reason}") from error
    except OSError as error:
        if error.errno in _FULL:
            raise DiskFull("the disk is full", retry_after_s=5.0) from error
        raise DiskFailed(f"the disk failed: {error}") from error
    except apsw.Error as error:
        if is_fatal(error):
            raise DiskFailed(f"the disk failed: {error}") from error
        raise
