"""The folders that a term needs before Litestream starts in it, and the end of those of older terms."""

import logging
import os
import re
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Final

APART: Final = "apart"
"""Where a term is written whose archive did not answer."""
_META: Final = re.compile(r"(?:meta|terms-meta)-([1-9][0-9]*)")
_LEVELS: Final = (0, 1, 2, 3, 4, 9)
"""Of the archive: single entries, what is made of them, and whole copies."""

logger = logging.getLogger(__name__)


def meta_of(data_dir: Path, term: int) -> Path:
    """Where Litestream keeps its state of the queue's file in a term; the log's entries are below it."""
    return data_dir / f"meta-{term}"


def terms_meta_of(data_dir: Path, term: int) -> Path:
    """Where Litestream keeps its state of the list of terms."""
    return data_dir / f"terms-meta-{term}"


def make_term_folders(data_dir: Path, term: int, archives: Iterable[Path]) -> None:
    """Makes what Litestream would make by itself without having it fsynced.

    Args:
        data_dir: the node's folder.
        term: whose folders.
        archives: folders of an archive on this machine, the term's and the list's.

    Raises:
        OSError: one can't be made.
    """
    for meta in (meta_of(data_dir, term), terms_meta_of(data_dir, term)):
        _make_durable(meta / "ltx" / "0")
    for archive in archives:
        for level in _LEVELS:
            _make_durable(archive / "ltx" / str(level))


def remove_other_metas(data_dir: Path, term: int) -> None:
    """Removes Litestream's state of all other terms: none of them is ever gone on with.

    Raises:
        OSError: one can't be removed.
    """
    for folder in data_dir.iterdir():
        match = _META.fullmatch(folder.name)
        if match and int(match[1]) != term:
            shutil.rmtree(folder)


def give_up_past(data_dir: Path, archive: Path | None) -> None:
    """Removes what a node that does not lead can do without, of terms it led, when its disk is full.

    The newest term in its archive stays, unless that is all there is to remove. An archive that is not in the
    node's own folder is left alone: others may write it.

    Args:
        data_dir: the node's folder.
        archive: the archive's; None if it is not on this machine.
    """
    spare = [folder for folder in data_dir.iterdir() if folder.name == APART or _META.fullmatch(folder.name)]
    if archive is not None and archive.is_relative_to(data_dir) and archive.is_dir():
        terms = sorted((folder for folder in archive.iterdir() if folder.name.isdecimal()), key=_number)
        spare += terms[:-1]
        spare = spare or terms
    gone = []
    for folder in spare:
        try:
            shutil.rmtree(folder)
        except OSError as error:
            logger.warning("%s cannot be removed from the full disk: %s", folder, error)
        else:
            gone.append(str(folder.relative_to(data_dir)))
    if gone:
        logger.warning("the full disk gave up what it had of the past: %s", ", ".join(gone))


def _number(folder: Path) -> int:
    return int(folder.name)


def _make_durable(folder: Path) -> None:
    missing = [folder]
    while not missing[-1].parent.exists():
        missing.append(missing[-1].parent)
    for path in reversed(missing):
        path.mkdir(mode=0o700, exist_ok=True)
        _sync(path.parent)
    _sync(folder)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
