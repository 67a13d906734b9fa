"""node.db as the event loop sees it: this node's identity, its vote and its log, each call fsynced."""

import asyncio
import logging
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

from tqnode.clock import Clock, Rng
from tqnode.errors import DiskFull
from tqnode.replication.disk_errors import DiskFailed
from tqnode.replication.effects import Row
from tqnode.replication.entry import Head, Position
from tqnode.replication.entry_files import EntryFiles, Incoming, Staged
from tqnode.replication.node_file import NodeFile
from tqnode.replication.node_rows import Kept, NoEntry, OutOfOrder, is_sound
from tqnode.replication.node_thread import NodeThread

__all__ = [
    "FILE_FROM_BYTES",
    "NODE_DB",
    "DiskFailed",
    "DiskFull",
    "Incoming",
    "Kept",
    "NoEntry",
    "NodeDb",
    "OutOfOrder",
    "Staged",
]

NODE_DB: Final = "node.db"
FILE_FROM_BYTES: Final = 1024 * 1024
"""Entries larger than this are files of their own."""
VERIFY_HEADS: Final = 256

logger = logging.getLogger(__name__)


class NodeDb:
    """Opens ``node.db`` and the folder ``log`` beside it, and starts the thread.

    Must be made on the running event loop. What is awaited here and returns is fsynced; calls take effect in
    the order in which they were made, whether or not the earlier ones were awaited yet.

    Args:
        folder: the node's data folder.
        clock: the node's clock.
        rng: chooses the node id of a new file.
        on_fatal: called from the thread when the disk failed: the process must end at once.

    Raises:
        DiskFull: there is no space for a new file.
        DiskFailed: the file can't be opened, or is damaged; the text says what to do.
        SchemaTooNew: a newer version wrote it.
        apsw.BusyError: another program holds it.
    """

    def __init__(
        self, folder: Path, *, clock: Clock, rng: Rng, on_fatal: Callable[[BaseException], None]
    ) -> None:
        self._files = EntryFiles(folder / "log")
        self._file = NodeFile(folder / NODE_DB, self._files, rng)
        if self._file.orphans:
            logger.info("removed %d unfinished files of the log", len(self._file.orphans))
        self._thread = NodeThread(self._file, clock=clock, on_fatal=on_fatal)

    @property
    def commits(self) -> int:
        """Transactions written and fsynced: grows for as long as the thread and the disk do their work."""
        return self._file.commits

    @property
    def commit_s(self) -> float:
        """How long the last transaction took, in seconds."""
        return self._thread.commit_s

    # -- what a node keeps of itself -------------------------------------------------------

    async def kept(self) -> Kept:
        """All that is there, the entries' bytes aside: what a node starts from."""
        return await self._thread.submit(NodeFile.kept)

    async def save_row(self, row: Row, fresh: bool) -> None:
        """Replaces the lease row.

        Raises:
            OutOfOrder: its term is lower than the one on disk.
            DiskFull: nothing was saved.
            DiskFailed: perhaps it was saved; the process must end.
        """
        await self._thread.submit(lambda file: file.save_row(row, fresh))

    async def next_term(self, holder: str) -> int:
        """Begins a term without a vote, as a node without peers does at each start; returns it.

        Raises:
            DiskFull: nothing was saved.
            DiskFailed: perhaps it was saved; the process must end.
        """
        return await self._thread.submit(lambda file: file.next_term(holder))

    async def found(self, cluster_id: str) -> None:
        """Makes the node a founding member of a new cluster: it votes from now on.

        Raises:
            OutOfOrder: it belongs to another cluster.
            DiskFull: nothing was saved.
            DiskFailed: perhaps it was saved; the process must end.
        """
        await self._thread.submit(lambda file: file.join(cluster_id, founding=True))

    async def join(self, cluster_id: str) -> None:
        """Binds the node to a cluster that was there before it; it stays fresh.

        Raises:
            OutOfOrder: it belongs to another cluster.
            DiskFull: nothing was saved.
            DiskFailed: perhaps it was saved; the process must end.
        """
        await self._thread.submit(lambda file: file.join(cluster_id, founding=False))

    async def set_applied(self, position: Position) -> None:
        """Notes how far the node's database is.

        Raises:
            DiskFull: nothing was saved.
            DiskFailed: perhaps it was saved; the process must end.
        """
        await self._thread.submit(lambda file: file.set_applied(position))

    # -- the log ---------------------------------------------------------------------------

    async def store(self, entries: Iterable[tuple[Head, bytes | Staged]]) -> None:
        """Adds entries, all or none of them. An entry that is there already gets its bytes anew.

        Entry 1 of a higher term takes the place of the whole log.

        Args:
            entries: in order. Files come from :meth:`receive` or :meth:`stage`, and are gone if this fails.

        Raises:
            OutOfOrder: an entry does not follow the one before it, is another than the one that is there, or
                its bytes are not those of its head.
            DiskFull: nothing was stored.
            DiskFailed: perhaps it was stored; the process must end.
        """
        taken = list(entries)
        try:
            await self._thread.submit(lambda file: self._store(file, taken), stores=True)
        except (OutOfOrder, DiskFull):
            for _, content in taken:
                if isinstance(content, Staged):
                    await self.discard(content)
            raise

    def _store(self, file: NodeFile, entries: list[tuple[Head, bytes | Staged]]) -> None:
        for index, (head, content) in enumerate(entries):
            if isinstance(content, bytes) and len(content) > FILE_FROM_BYTES:
                incoming = self._files.receive(head.position)
                try:
                    incoming.write(content)
                    # Noted in the list: the operation may run twice.
                    entries[index] = (head, incoming.finish())
                except BaseException:
                    incoming.discard()
                    raise
        file.store(entries)

    async def trim(self, before: Position) -> None:
        """Deletes the entries below ``before``, but never the last one.

        Raises:
            DiskFull: nothing was deleted.
            DiskFailed: perhaps they were deleted; the process must end.
        """
        await self._thread.submit(lambda file: file.trim(before))

    async def read(self, position: Position) -> bytes | Path:
        """The bytes of an entry; for a large one, the file that has them until the entry is trimmed.

        Raises:
            NoEntry: it is not there.
            DiskFailed: the process must end.
        """
        return await self._thread.submit(lambda file: file.read(position))

    async def heads(self, first: int, limit: int) -> tuple[Head, ...]:
        """The heads of the log from txid ``first`` on, at most ``limit``.

        Raises:
            DiskFailed: the process must end.
        """
        return await self._thread.submit(lambda file: file.heads(first, limit))

    async def receive(self, position: Position) -> Incoming:
        """Begins the file of an entry whose bytes are on their way.

        Raises:
            DiskFull: no file can be made.
            DiskFailed: the disk failed.
        """
        return await asyncio.to_thread(self._files.receive, position)

    async def stage(self, position: Position, source: Path) -> Staged:
        """Takes over a finished file that another program wrote, such as a snapshot.

        Raises:
            FileNotFoundError: it is gone.
            DiskFull: there is no space for it.
            DiskFailed: the disk failed.
        """
        staging = asyncio.ensure_future(asyncio.to_thread(self._files.stage, position, source))
        try:
            return await asyncio.shield(staging)
        except asyncio.CancelledError:
            # The thread goes on; what it makes is nobody's.
            await self.discard(await staging)
            raise

    async def discard(self, staged: Staged) -> None:
        """Removes a file that came, or was staged, for an entry that will not be stored.

        Raises:
            DiskFailed: the disk failed.
        """
        await asyncio.to_thread(self._files.remove, staged.name)

    async def verify(self) -> tuple[Position, ...]:
        """Reads the whole log; returns where the bytes, or the chain of heads, are not what was stored.

        Raises:
            DiskFailed: the process must end.
        """
        wrong: list[Position] = []
        before: Head | None = None
        while heads := await self.heads(before.txid + 1 if before else 1, VERIFY_HEADS):
            for head in heads:
                chained = before is None or before.sha256 == head.prev_sha256
                if not chained or not await self._is_sound(head):
                    wrong.append(head.position)
                before = head
        return tuple(wrong)

    async def _is_sound(self, head: Head) -> bool:
        try:
            content = await self.read(head.position)
        except NoEntry:
            return True  # trimmed meanwhile
        try:
            return await asyncio.to_thread(is_sound, head, content)
        except OSError as error:
            logger.error("entry %d of term %d cannot be read: %s", head.txid, head.term, error)
            return False

    async def close(self) -> None:
        """Does what waits, then closes the file.

        Raises:
            DiskFailed: it could not be closed in order; all that was awaited is safe.
        """
        await self._thread.close()
