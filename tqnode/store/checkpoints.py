"""Moves the write-ahead log into the database's file beside the writer, which that would hold up.

Only for a node without Litestream, which otherwise does it.
"""

import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final

import apsw

from tqnode.store.connection import open_checkpointer

PAGES: Final = 1_000
"""Pages in the log from which on they are moved."""
EVERY_S: Final = 0.02
"""The log is looked at so often at most."""

logger = logging.getLogger(__name__)


class Checkpoints:
    """A thread with a connection of its own.

    SQLite lets the writer go on meanwhile, and use the log anew once all of it is moved. A writer that never
    pauses is always ahead: it moves the rest itself when the log is long (see
    :data:`~tqnode.store.connection.LOG_PAGES`).

    Args:
        path: the database file.
        on_fatal: called from the thread when the disk failed: the process must end.

    Raises:
        apsw.Error: the file can't be opened.
    """

    def __init__(self, path: Path, *, on_fatal: Callable[[BaseException], None]) -> None:
        self._connection = open_checkpointer(path)
        self._on_fatal = on_fatal
        self._due, self._closing = threading.Event(), threading.Event()
        self._told_full = False
        self._busy = 0
        """How often somebody else was at the log."""
        self._thread = threading.Thread(target=self._run, name="tqnode-checkpoints", daemon=True)
        self._thread.start()

    def note(self) -> None:
        """Something was committed."""
        if not self._due.is_set():
            self._due.set()

    def close(self) -> None:
        """Ends the thread; waits for the move at hand."""
        self._closing.set()
        self._due.set()
        self._thread.join()

    def _run(self) -> None:
        try:
            while True:
                self._due.wait()
                self._due.clear()
                if self._closing.wait(EVERY_S):
                    break
                self._move()
            self._connection.close()
        except BaseException as error:
            # A page that could not be synced may be lost though the system says later that it is there.
            self._on_fatal(error)

    def _move(self) -> None:
        try:
            logged, moved = self._connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_NOOP)
            if logged - moved >= PAGES:
                self._connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
        except apsw.BusyError:
            # The writer is just moving pages itself, or changes what says how many there are: next time.
            self._busy += 1
            self._due.set()
            return
        except apsw.FullError as error:
            # All that is committed stays in the log, which the writer finds full too.
            if not self._told_full:
                logger.error("the write-ahead log can't be moved into the database: %s", error)
            self._told_full = True
            return
        self._told_full = False
