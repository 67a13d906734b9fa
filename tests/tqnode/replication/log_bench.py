"""The log and the archive of a node without peers over a queue's own store, with a real Litestream."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry

from tests.tqnode.nodes import Core, FakeClock, open_core
from tests.waiting import eventually_async
from tqnode.clock import Clock, SystemClock
from tqnode.metrics import LitestreamMetrics
from tqnode.replication.archive import Archive
from tqnode.replication.archive_url import ArchiveUrl
from tqnode.replication.binary import find_litestream
from tqnode.replication.litestream import environ_for
from tqnode.replication.local_log import LocalLog, Plan
from tqnode.replication.sync_client import Synced
from tqnode.replication.term_log import TermLog

START_S = 30.0


def archive_at(folder: Path, url: str = "", *, credentials: Path | None = None) -> Archive:
    """The archive of the node whose folder this is."""
    program = find_litestream("auto", os.environ)
    where = ArchiveUrl.of(url, data_dir=folder, credentials_file=str(credentials or ""))
    return Archive(where, program=program, environ=environ_for(os.environ))


@dataclass
class LogBench:
    """A queue, its log and its archive."""

    core: Core
    log: LocalLog
    archive: Archive
    registry: CollectorRegistry
    folder: Path

    @property
    def term(self) -> int:
        assert self.log.term is not None
        return self.log.term.number

    @property
    def term_log(self) -> TermLog:
        assert isinstance(self.log, TermLog)
        return self.log

    async def archived(self) -> Synced:
        """Has everything in the archive."""
        return await self.log.sync(archived=True, within_s=60)

    def litestream_pid(self) -> int:
        pid = self.log._litestream.pid if self.log._litestream else None
        assert pid is not None
        return pid


class WallClock(FakeClock):
    """The wall clock of this machine, which Litestream goes by; time that tests let pass comes on top."""

    def now_ms(self) -> int:
        return SystemClock().now_ms()


def plan_for(folder: Path, **changes: Any) -> Plan:
    usual: dict[str, Any] = {
        "program": find_litestream("auto", os.environ),
        "data_dir": folder,
        "database": folder / "tq.db",
        "name": "bench",
        "environ": os.environ,
        "snapshot_s": 3600,
        "keep_s": 86_400,
        "disk_free_min": 0,
    }
    return Plan(**usual | changes)


def _made(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    return folder


@asynccontextmanager
async def running_log(
    folder: Path, *, clock: Clock | None = None, elected: int | None = None, **changes: Any
) -> AsyncIterator[LogBench]:
    """A queue whose log is being written, for the length of a ``with`` block.

    Args:
        folder: of the node.
        clock: of the log.
        elected: the term that an election gave; None for a node of its own, which numbers its terms itself.
        changes: to the usual plan.
    """
    archive = changes.setdefault("archive", archive_at(_made(folder)))
    registry = CollectorRegistry()
    metrics = LitestreamMetrics(registry)
    plan, clock = plan_for(folder, **changes), clock or SystemClock()
    if elected is None:
        log = LocalLog(plan, clock=clock, metrics=metrics)
    else:
        log = TermLog(plan, number=elected, clock=clock, metrics=metrics)
    async with open_core(folder / "tq.db", clock=WallClock(), checkpoints=False) as core:
        log.open()
        running = asyncio.create_task(log.run())
        try:
            await eventually_async(
                lambda: running.done() or log.states()["litestream"] == "ok", within_s=START_S
            )
            if running.done():
                running.result()
            yield LogBench(core, log, archive, registry, folder)
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            log.close()
