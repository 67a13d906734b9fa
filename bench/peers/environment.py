"""The private environments that hold the queues' own Python packages, made from hashed locks."""

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parent.parent.parent
LOCKS: Final = Path(__file__).parent


def folder_of(lock: str) -> Path:
    """Where the environment of a lock is: ``requirements.lock`` is in ``.venv-peers``."""
    return ROOT / lock.removesuffix(".lock").replace("requirements", ".venv-peers")


def made(lock: str) -> Path:
    """The folder of an environment's programs; makes it, unless it is there and the lock is unchanged.

    Args:
        lock: a file beside this one.

    Raises:
        subprocess.CalledProcessError: it could not be made.
    """
    folder = folder_of(lock)
    wanted = LOCKS / lock
    installed = folder / "installed.lock"
    if not installed.is_file() or installed.read_bytes() != wanted.read_bytes():
        print(f"making {folder.name} from {lock}, checked by hash", flush=True)
        shutil.rmtree(folder, ignore_errors=True)
        for command in _commands(folder, wanted):
            subprocess.run(command, check=True)
        shutil.copyfile(wanted, installed)
    return folder / "bin"


def _commands(folder: Path, lock: Path) -> list[list[str]]:
    python = str(folder / "bin" / "python")
    if uv := shutil.which("uv"):
        install = [uv, "pip", "install", "--quiet", "--python", python]
        return [
            [uv, "venv", "--quiet", "--python", sys.executable, str(folder)],
            [*install, "--require-hashes", "-r", str(lock)],
        ]
    return [
        [sys.executable, "-m", "venv", str(folder)],
        [python, "-m", "pip", "install", "--quiet", "--require-hashes", "-r", str(lock)],
    ]
