"""A disk in memory that forgets, when its power is cut, what was not fsynced: contents and names alike.

Run as ``python -m tests.cluster.forgetful_disk FOLDER SEED``; it mounts itself on FOLDER and takes orders as
lines: ``cut SHARE``: from now on everything fails; ``back``: mounted anew, with what survived; ends with its
input. SHARE is how much of what was not fsynced survives anyway, sector by sector and folder by folder, as
chance has it: a disk may write what nobody waited for, in any order.
"""

import errno
import random
import select
import stat
import sys
import time
from dataclasses import dataclass, field

from tests.cluster.fuse_session import Attributes, Session

ROOT = 1
SECTOR_BYTES = 512


@dataclass(slots=True)
class Node:
    """A file or a folder: what programs see, and what a power cut leaves.

    Args:
        inode: its number.
        mode: with its type.
        data: of a file.
        kept: of a file, as of its last fsync.
        unsynced: of a file, each change since then: where, what; None for what: cut to that size.
        names: of a folder.
        kept_names: of a folder, as of its last fsync.
        changed_s: when it was changed last, since 1970.
    """

    inode: int
    mode: int
    data: bytearray = field(default_factory=bytearray)
    kept: bytearray = field(default_factory=bytearray)
    unsynced: list[tuple[int, bytes | None]] = field(default_factory=list)
    names: dict[str, "Node"] = field(default_factory=dict)
    kept_names: dict[str, "Node"] = field(default_factory=dict)
    changed_s: int = field(default_factory=lambda: int(time.time()))

    @property
    def is_folder(self) -> bool:
        return stat.S_ISDIR(self.mode)

    @property
    def attributes(self) -> Attributes:
        return Attributes(self.inode, len(self.data), self.mode, 2 if self.is_folder else 1, self.changed_s)


def put(data: bytearray, offset: int, what: bytes | None) -> None:
    """Makes one change to a file's content."""
    size = offset if what is None else offset + len(what)
    if len(data) < size:
        data.extend(bytes(size - len(data)))
    if what is None:
        del data[size:]
    else:
        data[offset:size] = what


class ForgetfulDisk:
    """The file system.

    Args:
        seed: of what survives a cut by chance.
    """

    def __init__(self, seed: str) -> None:
        self._chance = random.Random(seed)
        self._root = Node(ROOT, 0o040755)
        self._nodes = {ROOT: self._root}
        self._last = ROOT
        self._powered = True

    def cut(self, share: float) -> tuple[int, int]:
        """The power goes.

        Args:
            share: of what was not fsynced that survives.

        Returns:
            How many changes to files and to folders were forgotten.
        """
        self._powered = False
        files = folders = 0
        left: dict[int, Node] = {}

        def settle(node: Node) -> None:
            nonlocal files, folders
            left[node.inode] = node
            if node.is_folder:
                if node.names != node.kept_names and self._chance.random() >= share:
                    folders += 1
                    node.names = dict(node.kept_names)
                node.kept_names = dict(node.names)
                for child in node.names.values():
                    settle(child)
            else:
                files += self._forget(node, share)

        settle(self._root)
        self._nodes = left
        return files, folders

    def _forget(self, node: Node, share: float) -> int:
        """Leaves of a file what survives; how many changes to it did not."""
        forgotten = 0
        for offset, what in node.unsynced:
            sectors = [(offset, what)]
            if what is not None:
                starts = range(0, len(what), SECTOR_BYTES)
                sectors = [(offset + start, what[start : start + SECTOR_BYTES]) for start in starts]
            for place, piece in sectors:
                if self._chance.random() < share:
                    put(node.kept, place, piece)
                else:
                    forgotten += 1
        node.unsynced.clear()
        node.data = bytearray(node.kept)
        return forgotten

    def power(self) -> None:
        """The power is back."""
        self._powered = True

    def _node(self, inode: int) -> Node:
        if not self._powered:
            raise OSError(errno.EIO, "no power")
        return self._nodes[inode]

    def lookup(self, parent: int, name: str) -> Attributes:
        found = self._node(parent).names.get(name)
        if found is None:
            raise OSError(errno.ENOENT, name)
        return found.attributes

    def attributes(self, inode: int) -> Attributes:
        return self._node(inode).attributes

    def change_mode(self, inode: int, mode: int) -> None:
        node = self._node(inode)
        node.mode = stat.S_IFMT(node.mode) | mode & 0o7777

    def create(self, parent: int, name: str, mode: int) -> Attributes:
        folder = self._node(parent)
        if name in folder.names:
            raise OSError(errno.EEXIST, name)
        self._last += 1
        made = folder.names[name] = self._nodes[self._last] = Node(self._last, mode)
        return made.attributes

    def remove(self, parent: int, name: str) -> None:
        folder = self._node(parent)
        if folder.names[name].names:
            raise OSError(errno.ENOTEMPTY, name)
        # The node stays known: somebody may have it open.
        del folder.names[name]

    def rename(self, parent: int, name: str, new_parent: int, new_name: str) -> None:
        self._node(new_parent).names[new_name] = self._node(parent).names.pop(name)

    def read(self, inode: int, offset: int, size: int) -> bytes:
        return bytes(self._node(inode).data[offset : offset + size])

    def write(self, inode: int, offset: int, data: bytes) -> None:
        self._change(inode, offset, data)

    def truncate(self, inode: int, size: int) -> None:
        self._change(inode, size, None)

    def _change(self, inode: int, offset: int, what: bytes | None) -> None:
        node = self._node(inode)
        put(node.data, offset, what)
        node.unsynced.append((offset, what))
        node.changed_s = int(time.time())

    def sync(self, inode: int) -> None:
        node = self._node(inode)
        if node.is_folder:
            node.kept_names = dict(node.names)
        for offset, what in node.unsynced:
            put(node.kept, offset, what)
        node.unsynced.clear()

    def entries(self, inode: int) -> list[tuple[str, Attributes]]:
        node = self._node(inode)
        here = [(".", node.attributes), ("..", node.attributes)]
        return here + [(name, child.attributes) for name, child in node.names.items()]


def main(folder: str, seed: str) -> None:
    """Serves until standard input ends."""
    disk = ForgetfulDisk(seed)
    session = Session(disk, folder)
    print("mounted", flush=True)
    while True:
        readable, _, _ = select.select([session.descriptor, sys.stdin], [], [])
        if session.descriptor in readable:
            session.serve_one()
        if sys.stdin in readable:
            order, _, share = sys.stdin.readline().partition(" ")
            if order == "cut":
                print(*disk.cut(float(share)), flush=True)
            elif order.strip() == "back":
                session.close()
                disk.power()
                session = Session(disk, folder)
                print("mounted", flush=True)
            else:
                break
    session.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
