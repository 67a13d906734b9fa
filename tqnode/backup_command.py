"""``tqnode backup verify``: a restore drill on the data folder of a running node."""

import asyncio
import json
from collections.abc import Mapping
from typing import Final

import apsw
import click

from tqnode.clock import Clock
from tqnode.config import Config
from tqnode.data_folder import DATABASE
from tqnode.replication.archive_url import ArchiveError
from tqnode.replication.binary import OFF, LitestreamError
from tqnode.replication.drill import Drill, drill
from tqnode.replication.local_log import SOCKET
from tqnode.replication.sync_client import SyncClient, Synced, SyncError
from tqnode.replication.verified import Verified, write_verified
from tqnode.restore_command import open_archive

EXIT_OK: Final = 0
EXIT_FAILED: Final = 1
SYNC_S: Final = 600.0
SYNCS_MAX: Final = 20
TRIES: Final = 2


def run_verify(config: Config, *, environ: Mapping[str, str], clock: Clock, as_json: bool) -> int:
    """Runs a drill, tells what it found and leaves it in the data folder for the node's metrics.

    Args:
        config: of the node.
        environ: what opens the archive.
        clock: for when and how long.
        as_json: tell it as JSON.

    Returns:
        The exit code: 0 if the archive gives what the queue has.
    """
    began = clock.monotonic()
    if config.litestream == OFF:
        return _tell(Verified(clock.now_ms(), False, "litestream is off: there is no archive", 0), as_json)
    if not (config.data_dir / DATABASE).exists():
        return _tell(Verified(clock.now_ms(), False, f"{config.data_dir} holds no queue", 0), as_json)
    try:
        found = asyncio.run(_drill(config, environ, clock))
        result = Verified(clock.now_ms(), found.ok, _described(found), found.took_s)
    except (ArchiveError, LitestreamError, SyncError, OSError, apsw.Error) as error:
        result = Verified(clock.now_ms(), False, str(error), clock.monotonic() - began)
    write_verified(config.data_dir, result)
    return _tell(result, as_json)


async def _drill(config: Config, environ: Mapping[str, str], clock: Clock) -> Drill:
    archive = open_archive(config, environ)
    database = config.data_dir / DATABASE
    client = SyncClient(config.data_dir / SOCKET, clock=clock)

    async def sync() -> Synced:
        for _ in range(SYNCS_MAX):
            synced = await client.sync(database, archived=True, within_s=SYNC_S)
            if synced.replicated_txid >= synced.txid:
                return synced
        raise SyncError(f"the archive has {synced.replicated_txid} of {synced.txid} entries")

    try:
        for tried in range(1, TRIES + 1):
            found = await drill(archive, database, sync=sync, scratch=config.data_dir, clock=clock)
            # A row that changed and changed back looks as if it had not moved: that does not happen twice.
            if found.ok or tried == TRIES:
                break
    finally:
        client.close()
    return found


def _described(found: Drill) -> str:
    tasks = ", ".join(f"{count} {state}" for state, count in sorted(found.counts.items())) or "no tasks"
    figures = (
        f"term {found.term}, transaction {found.txid}: {tasks}; "
        f"{found.compared} rows compared, {found.moving} were moving"
    )
    return figures if found.ok else f"{figures}; {'; '.join(found.differences)}"


def _tell(result: Verified, as_json: bool) -> int:
    if as_json:
        click.echo(json.dumps({"ok": result.ok, "detail": result.detail, "took_s": round(result.took_s, 3)}))
    elif result.ok:
        click.echo(f"the archive gives what the queue has ({result.took_s:.1f} s): {result.detail}")
    else:
        click.echo(f"tqnode: the archive was not verified: {result.detail}", err=True)
    return EXIT_OK if result.ok else EXIT_FAILED
