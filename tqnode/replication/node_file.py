"""The one file that says what is true of this node alone, as its one thread sees it.

Every method but the first and the last runs within :meth:`NodeFile.transaction`.
"""

import contextlib
import itertools
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import apsw
import msgspec

from tqnode.clock import Rng
from tqnode.errors import DiskFull
from tqnode.replication.disk_errors import DiskFailed, told_apart
from tqnode.replication.effects import Row
from tqnode.replication.entry import NOTHING, Head, Position
from tqnode.replication.entry_files import EntryFiles, Staged, sync_folder
from tqnode.replication.node_rows import Kept, NoEntry, OutOfOrder, Self, head_of, is_sound, seal_of, self_of
from tqnode.sql import NODE, statement
from tqnode.store.migrations import migrate

CHECKPOINT_PAGES: Final = 1_000
DAMAGED: Final = b"no entry begins like this"
"""Read where SQLite finds something else than bytes."""
FREE_PAGES_MAX: Final = 4_096
"""Free pages wait for the next entries; what is more than this is given back to the file system."""


_BEGIN = statement("begin")
_COMMIT = statement("commit")
_ROLLBACK = statement("rollback")


class NodeFile:
    """The file, open and held against all other programs.

    Args:
        path: the file; its folder must exist.
        files: where large entries are.
        rng: chooses the node id of a new file.

    Raises:
        DiskFull: a new file can't be made.
        DiskFailed: the file can't be opened, or is damaged.
        SchemaTooNew: a newer version wrote it.
        apsw.BusyError: another program holds it.
    """

    def __init__(self, path: Path, files: EntryFiles, rng: Rng) -> None:
        self._files = files
        self._wal_pages = 0
        self.commits = 0
        """Transactions that were written and fsynced."""
        self._unwanted: list[str] = []
        self._skipped = False
        try:
            named = self._open(path, rng)
        except apsw.BusyError:
            raise
        except (DiskFailed, apsw.Error) as error:
            raise DiskFailed(_explain(path, error)) from error
        self.orphans = files.keep_only(named)

    def _open(self, path: Path, rng: Rng) -> set[str]:
        """Returns the names of the files that belong to entries."""
        with told_apart():
            self._connection = apsw.Connection(str(path))
            self._connection.set_wal_hook(self._on_commit)
            self._connection.execute(statement("node_pragmas")).fetchall()
            migrate(self._connection, NODE)
            with self.transaction():
                if self._connection.execute(statement("read_node")).fetchone() is None:
                    node_id = str(uuid.UUID(int=rng.bits(128), version=4))
                    self._write(Self(node_id, None, 1, 0, "", 0, 0, 0, 0, 0))
                self.kept()
                named = set(self._files_named("read_entry_files"))
            sync_folder(path.parent)
        return named

    def _on_commit(self, _connection: apsw.Connection, _name: str, pages: int) -> int:
        self._wal_pages = pages
        self.commits += 1
        return apsw.SQLITE_OK

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """All of it, fsynced at the end, or nothing of it.

        Raises:
            DiskFull: nothing of it.
            DiskFailed: perhaps all of it; the process must end.
        """
        try:
            with told_apart():
                self._connection.execute(_BEGIN)
                yield
                self._connection.execute(_COMMIT)
        except BaseException as error:
            self._unwanted.clear()
            if not isinstance(error, DiskFailed) and self._connection.in_transaction:
                with told_apart():
                    self._connection.execute(_ROLLBACK)
            raise
        # Only now is it certain that no row will name them again.
        unwanted, self._unwanted = self._unwanted, []
        for name in unwanted:
            self._files.remove(name)

    def tidy(self, *, idle: bool) -> None:
        """Does what need not be done before an answer: checkpoints, and gives free space back.

        Args:
            idle: nothing waits, so that there is time to give space back.

        Raises:
            DiskFull: it could not be done now; nothing is lost by that.
            DiskFailed: the process must end.
        """
        with told_apart():
            if self._wal_pages >= CHECKPOINT_PAGES:
                self._wal_pages = 0
                self._connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
            free = self._connection.pragma("freelist_count")
            if idle and int(str(free)) > FREE_PAGES_MAX:
                self._connection.execute(statement("give_back_pages")).fetchall()

    def close(self) -> None:
        """Checkpoints and closes.

        Raises:
            DiskFailed: the disk failed.
        """
        with told_apart():
            self._connection.close()

    # -- who the node is, and its vote -----------------------------------------------------

    def _self(self) -> Self:
        row = self._connection.execute(statement("read_node")).fetchone()
        if row is None:
            raise DiskFailed("the row that says who this node is has gone")
        return self_of(row)

    def _write(self, me: Self) -> None:
        values = {**msgspec.structs.asdict(me), "seal": seal_of(me)}
        self._connection.execute(statement("write_node"), values)

    def save_row(self, row: Row, fresh: bool) -> None:
        """Replaces the lease row.

        Raises:
            OutOfOrder: its term is lower than the one on disk.
        """
        me = self._self()
        if row.term < me.term:
            raise OutOfOrder(f"a lease row of term {row.term} must not replace one of term {me.term}")
        self._write(msgspec.structs.replace(me, term=row.term, holder=row.holder, fresh=int(fresh)))

    def next_term(self, holder: str) -> int:
        """Begins a term without anybody's vote, as a node without peers does at each start.

        It counts in the lease row: a cluster that grows from this node goes on from there.
        """
        me = self._self()
        self._write(msgspec.structs.replace(me, term=me.term + 1, holder=holder))
        return me.term + 1

    def join(self, cluster_id: str, *, founding: bool) -> None:
        """Binds the disk to a cluster.

        Args:
            cluster_id: of the cluster.
            founding: it is founded now, so that nobody can have voted before: the node is not fresh.

        Raises:
            OutOfOrder: the disk belongs to another one.
        """
        me = self._self()
        if me.cluster_id not in (None, cluster_id):
            raise OutOfOrder(f"this disk belongs to cluster {me.cluster_id}, not {cluster_id}")
        self._write(msgspec.structs.replace(me, cluster_id=cluster_id, fresh=0 if founding else me.fresh))

    def set_applied(self, position: Position) -> None:
        """Notes how far the node's database is."""
        me = self._self()
        self._write(msgspec.structs.replace(me, applied_term=position.term, applied_txid=position.txid))

    def kept(self) -> Kept:
        """All that is there, the entries' bytes aside."""
        me = self._self()
        heads = self.heads(1, -1)
        ends = (heads[0].txid, heads[-1].position) if heads else (0, NOTHING)
        if ends != (me.log_first, me.last):
            raise DiskFailed(f"the log is not entries {me.log_first} to {me.log_last} of term {me.log_term}")
        return Kept(
            node_id=me.node_id,
            cluster_id=me.cluster_id,
            row=Row(me.term, me.holder),
            fresh=bool(me.fresh),
            heads=heads,
            applied=Position(me.applied_term, me.applied_txid),
        )

    # -- the log ---------------------------------------------------------------------------

    def heads(self, first: int, limit: int) -> tuple[Head, ...]:
        """Heads from txid ``first`` on, at most ``limit`` (-1: all).

        Raises:
            DiskFailed: one of them is damaged or missing: how far the log goes is unknown.
        """
        rows = self._connection.execute(statement("read_heads"), {"first": first, "limit": limit})
        heads = tuple(map(head_of, rows))
        for before, head in itertools.pairwise(heads):
            if (head.term, head.txid) != (before.term, before.txid + 1):
                raise DiskFailed(f"after entry {before.txid} of term {before.term} the log is damaged")
        return heads

    def _head(self, name: str, **key: int) -> Head | None:
        row = self._connection.execute(statement(name), key).fetchone()
        return None if row is None else head_of(row)

    def _last(self, me: Self) -> Head | None:
        """The head of the last entry; DiskFailed unless that is the one that was stored last."""
        head = self._head("read_last_head")
        if (NOTHING if head is None else head.position) != me.last:
            raise DiskFailed(f"the log does not end with entry {me.log_last} of term {me.log_term}")
        return head

    def read(self, position: Position) -> bytes | Path:
        """The bytes of an entry, or the file that has them.

        Raises:
            NoEntry: it is not there.
        """
        key = {"term": position.term, "txid": position.txid}
        try:
            row = self._connection.execute(statement("read_entry"), key).fetchone()
        except UnicodeDecodeError:
            return DAMAGED
        if row is None:
            raise NoEntry(f"the log has no entry {position.txid} of term {position.term}")
        file, content = row
        if file is not None:
            return self._files.path(str(file))
        return content if isinstance(content, bytes) else DAMAGED

    def store(self, entries: Sequence[tuple[Head, bytes | Staged]]) -> None:
        """Adds entries, or takes the bytes of one that is there again.

        Entry 1 of a higher term takes the place of the whole log.

        Args:
            entries: in order; the bytes must be those of their heads.

        Raises:
            OutOfOrder: an entry doesn't follow the one before it, is another than the one that is there, or
                its bytes are not those of its head.
            DiskFull: an entry doesn't follow because one before it found no space.
        """
        me = self._self()
        last = self._last(me)
        for head, content in entries:
            last = self._store(head, content, last)
        if last is not None and last.position != me.last:
            first = me.log_first if last.term == me.log_term else 1
            ends = {"log_term": last.term, "log_first": first, "log_last": last.txid}
            self._write(msgspec.structs.replace(me, **ends))
        self._skipped = False

    def note_full(self) -> None:
        """Entries were not stored for want of space: those that were to follow them are not out of order."""
        self._skipped = True

    def _store(self, head: Head, content: bytes | Staged, last: Head | None) -> Head:
        """Returns the head of the log's last entry, after it."""
        if head.txid == 1 and (last is None or head.term > last.term) and not head.prev_sha256:
            self._discard_all()
        elif last is not None and head.term == last.term and head.txid <= last.txid:
            self._check_again(head)
            self._put(head, content)
            return last
        elif last is None or (head.term, head.txid - 1, head.prev_sha256) != (*last.position, last.sha256):
            if self._skipped:
                raise DiskFull("the disk was full for the entry before this one", retry_after_s=5.0)
            raise OutOfOrder(f"entry {head.position} does not follow {last and last.position}")
        self._put(head, content)
        return head

    def _check_again(self, head: Head) -> None:
        """Raises OutOfOrder unless ``head`` is that of an entry that is there."""
        there = self._head("read_head", txid=head.txid)
        if there is None:
            raise OutOfOrder(f"entry {head.position} was trimmed")
        if there != head:
            raise OutOfOrder(f"entry {head.position} is stored already, with other bytes")

    def _put(self, head: Head, content: bytes | Staged) -> None:
        if isinstance(content, bytes):
            fits = is_sound(head, content)
        else:
            fits = content.size == head.size and content.sha256 in (None, head.sha256)
        if not fits:
            raise OutOfOrder(f"these are not the bytes of entry {head.position}")
        name = content.name if isinstance(content, Staged) else None
        self._unwanted += self._files_named("read_entry_file", txid=head.txid)
        values = {**msgspec.structs.asdict(head), "file": name, "seal": seal_of(head)}
        self._connection.execute(statement("put_entry"), values)
        if isinstance(content, Staged):
            self._connection.execute(statement("delete_entry_bytes"), {"txid": head.txid})
        else:
            self._connection.execute(statement("put_entry_bytes"), {"txid": head.txid, "bytes": content})

    def _discard_all(self) -> None:
        self._unwanted += self._files_named("read_entry_files")
        self._connection.execute(statement("delete_entries"))
        self._connection.execute(statement("delete_all_entry_bytes"))

    def _files_named(self, name: str, **key: int) -> list[str]:
        return [file for (file,) in self._connection.execute(statement(name), key)]

    def trim(self, before: Position) -> None:
        """Deletes entries below ``before``, never the last one; nothing if the log is of another term."""
        me = self._self()
        txid = min(before.txid, me.log_last)
        if me.log_term != before.term or txid <= me.log_first:
            return
        self._write(msgspec.structs.replace(me, log_first=txid))
        self._unwanted += self._files_named("read_entry_files_below", txid=txid)
        self._connection.execute(statement("delete_entries_below"), {"txid": txid})
        self._connection.execute(statement("delete_entry_bytes_below"), {"txid": txid})


def _explain(path: Path, error: Exception) -> str:
    match error.__cause__ if isinstance(error, DiskFailed) else error:
        case apsw.CantOpenError() | apsw.ReadOnlyError() | apsw.PermissionsError():
            return f"{path} cannot be written ({error}); run tqnode as the user that owns it"
        case apsw.IOError() | OSError():
            return f"{error} ({path}); check the disk before you start again"
        case _:
            return (
                f"{path} is damaged ({error}); move its whole folder away: the node then comes back as one "
                "with an empty disk and takes all from the others"
            )
