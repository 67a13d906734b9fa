"""The node's folder: made if it is not there, and owned by one process at a time."""

import errno
import fcntl
import os
from pathlib import Path

DATABASE = "tq.db"
PID_FILE = "tqnode.pid"
URL_FILE = "tqnode.url"


class FolderError(Exception):
    """The folder can't be used; the text says why and what to do."""


class DataFolder:
    """Ownership of one data folder, from :meth:`take` until :meth:`release` or the end of the process.

    Args:
        path: the folder.
        pid_fd: descriptor of its pid file, which carries the kernel's exclusive hold.
    """

    def __init__(self, path: Path, pid_fd: int) -> None:
        self.path = path
        self._pid_fd = pid_fd

    @property
    def database(self) -> Path:
        """The queue's file."""
        return self.path / DATABASE

    @classmethod
    def take(cls, path: Path) -> "DataFolder":
        """Makes the folder (mode 0700) and becomes its one owner.

        Raises:
            FolderError: it can't be made or written, or has an owner already.
        """
        try:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            pid_fd = os.open(path / PID_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise FolderError(_explain(path, error)) from error
        try:
            fcntl.flock(pid_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Left by a process that was killed; it must be gone before our pid stands there.
            (path / URL_FILE).unlink(missing_ok=True)
            os.ftruncate(pid_fd, 0)
            os.pwrite(pid_fd, f"{os.getpid()}\n".encode(), 0)
        except BlockingIOError as error:
            owner = os.pread(pid_fd, 32, 0).decode("ascii", "replace").strip() or "unknown"
            os.close(pid_fd)
            raise FolderError(
                f"another tqnode (pid {owner}) owns {path}; stop it, or give this one a data_dir of its own"
            ) from error
        except OSError as error:
            os.close(pid_fd)
            raise FolderError(_explain(path, error)) from error
        return cls(path, pid_fd)

    def announce(self, url: str) -> None:
        """Writes the address the node listens on, for scripts that let the system choose the port.

        Raises:
            OSError: it can't be written.
        """
        draft = self.path / f"{URL_FILE}.new"
        draft.write_text(f"{url}\n")
        draft.replace(self.path / URL_FILE)

    def release(self) -> None:
        """Takes the address back and lets the next process own the folder."""
        (self.path / URL_FILE).unlink(missing_ok=True)
        # The pid file stays: removing it could let two newcomers own two files of one name.
        os.close(self._pid_fd)


def _explain(path: Path, error: OSError) -> str:
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return (
            f"{path} cannot be written ({error.strerror}); run tqnode as the user that owns it, "
            "or set data_dir to a folder of yours"
        )
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"no space is left in {path}; make room, or set data_dir to a folder on another disk"
    if error.errno in (errno.ENOTDIR, errno.EEXIST):
        return f"{path} is not a folder; set data_dir to one"
    return f"{path} cannot be used ({error.strerror}); set data_dir to another folder"
