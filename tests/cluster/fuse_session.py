"""Speaks the kernel's FUSE protocol over /dev/fuse, so that a file system can be written without a library.

The numbers and layouts are those of ``include/uapi/linux/fuse.h``, version 7.31; what is not here is answered
ENOSYS, which the kernel takes to mean that it shall manage without (locks, for one, it then keeps itself).
"""

import ctypes
import errno
import os
import struct
from collections.abc import Callable
from typing import Final, NamedTuple, Protocol

MAX_WRITE: Final = 1 << 17
FOREVER_S: Final = 3600
"""How long the kernel may rely on names and sizes: it alone changes them."""
_BIG_WRITES: Final = 1 << 5
_MS_NOSUID_NODEV: Final = 2 | 4
_MNT_DETACH: Final = 2
_IN_HEADER: Final = struct.Struct("<IIQQIIIHH")
_OUT_HEADER: Final = struct.Struct("<IiQ")
_ATTR: Final = struct.Struct("<6Q10I")
_DIRENT: Final = struct.Struct("<QQII")
_NO_REPLY: Final = {2, 36, 42}
"""FORGET, INTERRUPT, BATCH_FORGET."""
_libc = ctypes.CDLL(None, use_errno=True)


class Attributes(NamedTuple):
    """What the kernel wants to know of an inode; ``mode`` with its type bits, ``changed_s`` since 1970."""

    inode: int
    size: int
    mode: int
    links: int
    changed_s: int


class FileSystem(Protocol):
    """What a session asks of a file system. Each method may raise OSError, whose errno the caller gets."""

    def lookup(self, parent: int, name: str) -> Attributes: ...
    def attributes(self, inode: int) -> Attributes: ...
    def truncate(self, inode: int, size: int) -> None: ...
    def change_mode(self, inode: int, mode: int) -> None: ...
    def create(self, parent: int, name: str, mode: int) -> Attributes: ...
    def remove(self, parent: int, name: str) -> None: ...
    def rename(self, parent: int, name: str, new_parent: int, new_name: str) -> None: ...
    def read(self, inode: int, offset: int, size: int) -> bytes: ...
    def write(self, inode: int, offset: int, data: bytes) -> None: ...
    def sync(self, inode: int) -> None: ...
    def entries(self, inode: int) -> list[tuple[str, Attributes]]: ...


def _checked(result: int) -> None:
    if result:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


class Session:
    """One mount. Whoever made it calls :meth:`serve_one` whenever ``descriptor`` can be read.

    Args:
        system: what is mounted.
        where: an empty folder.
    """

    def __init__(self, system: FileSystem, where: str) -> None:
        self._system = system
        self._where = where
        self.descriptor = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
        options = f"fd={self.descriptor},rootmode=40000,user_id=0,group_id=0,allow_other"
        _checked(_libc.mount(b"tqnode-test", where.encode(), b"fuse", _MS_NOSUID_NODEV, options.encode()))
        self._calls: dict[int, Callable[[int, bytes], bytes]] = {
            1: lambda node, body: self._entry(system.lookup(node, _name(body))),
            3: lambda node, body: self._attr_out(node),
            4: self._setattr,
            8: self._mknod,
            9: lambda node, body: self._create_entry(node, body, skip=8, kind=0o040000),
            10: self._remove,
            11: self._remove,
            12: lambda node, body: self._rename(node, body, skip=8),
            14: lambda node, body: bytes(16),
            15: self._read,
            16: self._write,
            17: lambda node, body: struct.pack(
                "<5Q4I24x", 1 << 30, 1 << 30, 1 << 30, 1 << 20, 1 << 20, 4096, 255, 4096, 0
            ),
            18: lambda node, body: b"",
            20: self._sync,
            25: lambda node, body: b"",
            26: self._init,
            27: lambda node, body: bytes(16),
            28: self._readdir,
            29: lambda node, body: b"",
            30: self._sync,
            35: lambda node, body: self._create_entry(node, body, skip=16, kind=0o100000) + bytes(16),
            45: lambda node, body: self._rename(node, body, skip=16),
        }

    def serve_one(self) -> bool:
        """Answers one request; False if the mount is gone."""
        try:
            request = os.read(self.descriptor, MAX_WRITE + (1 << 16))
        except OSError as error:
            return error.errno in (errno.EINTR, errno.ENOENT, errno.EAGAIN)
        _, opcode, unique, node, *_ = _IN_HEADER.unpack_from(request)
        if opcode in _NO_REPLY:
            return True
        body, failed = b"", 0
        call = self._calls.get(opcode)
        if call is None:
            failed = errno.ENOSYS
        else:
            try:
                body = call(node, request[_IN_HEADER.size :])
            except OSError as error:
                failed = error.errno or errno.EIO
        head = _OUT_HEADER.pack(_OUT_HEADER.size + (0 if failed else len(body)), -failed, unique)
        try:
            os.write(self.descriptor, head + (b"" if failed else body))
        except FileNotFoundError:
            return True  # whoever asked was killed meanwhile
        except OSError:
            return False
        return True

    def close(self) -> None:
        """Takes the mount away, whoever uses it; what is asked of it meanwhile fails."""
        _checked(_libc.umount2(self._where.encode(), _MNT_DETACH))
        os.close(self.descriptor)

    def _init(self, node: int, body: bytes) -> bytes:
        _, minor, read_ahead, flags = struct.unpack_from("<4I", body)
        return struct.pack(
            "<4I2H2I2H8I",
            7,
            min(minor, 31),
            read_ahead,
            flags & _BIG_WRITES,
            16,
            12,
            MAX_WRITE,
            1,
            0,
            0,
            *[0] * 8,
        )

    def _entry(self, found: Attributes) -> bytes:
        return struct.pack("<4Q2I", found.inode, 0, FOREVER_S, FOREVER_S, 0, 0) + _attr(found)

    def _attr_out(self, node: int) -> bytes:
        return struct.pack("<Q2I", FOREVER_S, 0, 0) + _attr(self._system.attributes(node))

    def _setattr(self, node: int, body: bytes) -> bytes:
        valid, _, _, size = struct.unpack_from("<2I2Q", body)
        if valid & 8:
            self._system.truncate(node, size)
        if valid & 1:
            self._system.change_mode(node, struct.unpack_from("<I", body, 68)[0])
        return self._attr_out(node)

    def _create_entry(self, node: int, body: bytes, *, skip: int, kind: int) -> bytes:
        # A folder's request begins with the mode, a file's with the flags of the open.
        mode = struct.unpack_from("<I", body, 0 if kind == 0o040000 else 4)[0]
        return self._entry(self._system.create(node, _name(body[skip:]), kind | mode & 0o7777))

    def _mknod(self, node: int, body: bytes) -> bytes:
        """A file, or the name of a socket."""
        return self._entry(self._system.create(node, _name(body[16:]), struct.unpack_from("<I", body)[0]))

    def _remove(self, node: int, body: bytes) -> bytes:
        self._system.remove(node, _name(body))
        return b""

    def _rename(self, node: int, body: bytes, *, skip: int) -> bytes:
        (new_parent,) = struct.unpack_from("<Q", body)
        old, new, _ = body[skip:].split(b"\0", 2)
        self._system.rename(node, old.decode(), new_parent, new.decode())
        return b""

    def _read(self, node: int, body: bytes) -> bytes:
        _, offset, size = struct.unpack_from("<2QI", body)
        return self._system.read(node, offset, size)

    def _write(self, node: int, body: bytes) -> bytes:
        _, offset, size = struct.unpack_from("<2QI", body)
        self._system.write(node, offset, body[40 : 40 + size])
        return struct.pack("<2I", size, 0)

    def _sync(self, node: int, body: bytes) -> bytes:
        self._system.sync(node)
        return b""

    def _readdir(self, node: int, body: bytes) -> bytes:
        _, offset, size = struct.unpack_from("<2QI", body)
        listed = b""
        for place, (name, found) in enumerate(self._system.entries(node)[offset:], start=offset + 1):
            text = name.encode()
            entry = _DIRENT.pack(found.inode, place, len(text), found.mode >> 12) + text
            entry += bytes(-len(entry) % 8)
            if len(listed) + len(entry) > size:
                break
            listed += entry
        return listed


def _attr(found: Attributes) -> bytes:
    blocks = (found.size + 511) // 512
    times = [found.changed_s] * 3 + [0] * 3
    return _ATTR.pack(found.inode, found.size, blocks, *times, found.mode, found.links, 0, 0, 0, 4096, 0)


def _name(body: bytes) -> str:
    return body.partition(b"\0")[0].decode()
