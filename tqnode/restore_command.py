"""``tqnode restore``: a queue out of the archive, into a new folder, told in words or as JSON."""

import asyncio
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import apsw
import click

from tqnode.clock import Clock
from tqnode.config import Config
from tqnode.data_folder import DATABASE
from tqnode.replication.archive import Archive
from tqnode.replication.archive_url import ArchiveError, ArchiveUrl
from tqnode.replication.binary import LitestreamError, find_litestream
from tqnode.replication.litestream import environ_for
from tqnode.replication.restore import OutsideWindow, Restored, Window, restore

EXIT_RESTORED: Final = 0
EXIT_FAILED: Final = 1
EXIT_OUTSIDE: Final = 3
"""The archive does not have that moment; what it has is told."""


def stamp(moment_ms: int) -> str:
    """A moment for people and programs: RFC 3339, UTC, to the second."""
    return datetime.fromtimestamp(moment_ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def open_archive(config: Config, environ: Mapping[str, str]) -> Archive:
    """The archive that a configuration names.

    Raises:
        LitestreamError: Litestream can't be used.
        ArchiveError: the archive's credentials can't be used.
    """
    url = ArchiveUrl.of(
        config.archive, data_dir=config.data_dir, credentials_file=config.archive_credentials_file
    )
    program = find_litestream(config.litestream, environ)
    return Archive(url, program=program, environ=environ_for(environ))


def run_restore(
    config: Config,
    *,
    environ: Mapping[str, str],
    clock: Clock,
    to: Path,
    at_ms: int | None,
    as_json: bool,
) -> int:
    """Restores and tells what came of it.

    Args:
        config: where the archive is.
        environ: what opens it.
        clock: to refuse a moment that has not come.
        to: the folder that gets the file ``tq.db``; made if it is not there.
        at_ms: the moment, wall time; None for the newest state.
        as_json: tell it as JSON.

    Returns:
        The exit code.
    """
    try:
        if at_ms is not None and at_ms > clock.now_ms():
            raise ArchiveError("that moment is still to come")
        archive = open_archive(config, environ)
        to.mkdir(mode=0o700, parents=True, exist_ok=True)
        restored = asyncio.run(restore(archive, to / DATABASE, at_ms=at_ms))
    except (ArchiveError, LitestreamError, OSError, apsw.Error) as error:
        return _fail(error, as_json=as_json)
    _tell(restored, as_json=as_json)
    return EXIT_RESTORED


def _tell(restored: Restored, *, as_json: bool) -> None:
    if as_json:
        told = {
            "file": str(restored.path),
            "term": restored.term,
            "txid": restored.txid,
            "written_at": stamp(restored.written_at_ms),
            "integrity": "ok",
            "tasks": restored.counts,
        }
        click.echo(json.dumps(told, indent=2))
        return
    click.echo(f"restored {restored.path}")
    written = stamp(restored.written_at_ms)
    click.echo(f"position: term {restored.term}, transaction {restored.txid}, written {written}")
    click.echo("integrity: ok")
    for state, tasks in sorted(restored.counts.items()):
        click.echo(f"{state}: {tasks}")
    if not restored.counts:
        click.echo("no tasks")


def _fail(error: Exception, *, as_json: bool) -> int:
    window = error.window if isinstance(error, OutsideWindow) else None
    if as_json:
        told: dict[str, Any] = {"error": str(error), "window": None if window is None else _window(window)}
        click.echo(json.dumps(told, indent=2))
    else:
        click.echo(f"tqnode: {error}", err=True)
        if window is not None:
            click.echo(f"tqnode: it has {stamp(window.from_ms)} to {stamp(window.to_ms)}", err=True)
    return EXIT_OUTSIDE if isinstance(error, OutsideWindow) else EXIT_FAILED


def _window(window: Window) -> dict[str, str]:
    return {"from": stamp(window.from_ms), "to": stamp(window.to_ms)}
