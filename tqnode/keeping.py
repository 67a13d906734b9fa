"""What a node does beside its queue so that nothing of it is lost: the log, the archive, the gate."""

import asyncio
import logging
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from tqnode.api.context import Vital
from tqnode.clock import Clock
from tqnode.config import Config
from tqnode.metrics import LitestreamMetrics
from tqnode.replication.archive import Archive
from tqnode.replication.archive_gate import ArchiveGate
from tqnode.replication.archive_url import ArchiveUrl
from tqnode.replication.binary import find_litestream
from tqnode.replication.litestream import environ_for
from tqnode.replication.local_log import LocalLog, Plan
from tqnode.replication.past import FOLDER as PAST_FOLDER
from tqnode.replication.past import PastStates
from tqnode.replication.verifying import Verifying

REFRESH_S: Final = 10.0

logger = logging.getLogger(__name__)


def plan_of(config: Config, *, data_dir: Path, database: Path, environ: Mapping[str, str]) -> Plan:
    """What the log of a node is made of.

    Args:
        config: the node's configuration.
        data_dir: its folder.
        database: the queue's file.
        environ: its environment.

    Raises:
        LitestreamError: Litestream can't be used.
        ArchiveError: the archive's credentials can't be used.
    """
    program = find_litestream(config.litestream, environ)
    url = ArchiveUrl.of(config.archive, data_dir=data_dir, credentials_file=config.archive_credentials_file)
    return Plan(
        program=program,
        data_dir=data_dir,
        database=database,
        name=config.name,
        archive=Archive(url, program=program, environ=environ_for(environ)),
        environ=environ,
        snapshot_s=config.archive_snapshot_s,
        keep_s=config.archive_keep_s,
        disk_free_min=config.archive_disk_free_min,
    )


def verifying_of(config: Config, plan: Plan, *, clock: Clock, metrics: LitestreamMetrics) -> Verifying:
    """The timer that has the archive of a node's log checked."""
    url = plan.archive.url.url
    return Verifying(
        plan.data_dir,
        flags=[
            *("--config", os.devnull, "--data-dir", str(plan.data_dir), "--litestream", str(plan.program)),
            *("--archive", url, "--archive-credentials-file", config.archive_credentials_file),
        ],
        environ=environ_for(plan.environ),
        every_s=config.backup_verify_every_s,
        clock=clock,
        metrics=metrics,
    )


def past_of(config: Config, plan: Plan, *, clock: Clock, log: Callable[[], LocalLog | None]) -> PastStates:
    """The past states that a node can restore from the archive.

    Args:
        config: the node's configuration.
        plan: of its log.
        clock: its clock.
        log: the one being written at this moment; None if another node writes it.
    """

    async def refresh() -> None:
        written = log()
        if written is not None:
            await written.sync(archived=True, within_s=REFRESH_S)

    return PastStates(
        plan.archive,
        plan.data_dir / PAST_FOLDER,
        refresh=refresh,
        clock=clock,
        kept_max=config.past_kept_max,
        bytes_max=config.past_bytes_max,
    )


class Keeping:
    """The log and the archive of a node without peers, from :meth:`start` to :meth:`stop`.

    Args:
        config: the node's configuration.
        data_dir: its folder.
        database: the queue's file.
        environ: its environment.
        clock: its clock.
        metrics: what is counted of Litestream and the archive.

    Raises:
        LitestreamError: Litestream can't be used.
        ArchiveError: the archive's credentials can't be used.
    """

    def __init__(
        self,
        config: Config,
        *,
        data_dir: Path,
        database: Path,
        environ: Mapping[str, str],
        clock: Clock,
        metrics: LitestreamMetrics,
    ) -> None:
        plan = plan_of(config, data_dir=data_dir, database=database, environ=environ)
        self.log = LocalLog(plan, clock=clock, metrics=metrics)
        self.gate: ArchiveGate | None = None
        self._waits = config.durability == "archive"
        if self._waits:
            self.gate = ArchiveGate(
                lambda within_s: self.log.sync(archived=True, within_s=within_s),
                clock=clock,
                within_s=config.durable_within_s,
                on_unknown=metrics.unknown.inc,
            )
        self._verifying = verifying_of(config, plan, clock=clock, metrics=metrics)
        self.past = past_of(config, plan, clock=clock, log=lambda: self.log)
        self._running: list[asyncio.Task[None]] = []

    def start(self, *, on_late: Callable[[], None], on_failed: Callable[[], None]) -> None:
        """Starts it, once the database is open.

        Args:
            on_late: called when writes that were answered as of unknown outcome have arrived after all.
            on_failed: called when it failed in a way that was not foreseen.

        Raises:
            apsw.Error: the list of terms can't be opened.
        """
        self.log.open()
        self._running.append(asyncio.create_task(self.log.run(), name="log"))
        self._running.append(asyncio.create_task(self._verifying.run(), name="backup-verify"))
        if self.gate is not None:
            self._running.append(asyncio.create_task(self.gate.run(on_late=on_late), name="archive-gate"))

        def ended(task: "asyncio.Task[None]") -> None:
            if not task.cancelled():
                logger.critical("%s failed: the node ends", task.get_name(), exc_info=task.exception())
                on_failed()

        for task in self._running:
            task.add_done_callback(ended)

    def vitals(self) -> dict[str, Vital]:
        """How Litestream and the archive are."""
        return {name: Vital(state, self._waits) for name, state in self.log.states().items()}

    def open_gate(self) -> None:
        """Lets nothing wait for the archive any more: the node stops, and has answered whom it could."""
        if self.gate is not None:
            self.gate.close()

    async def stop(self) -> None:
        """Ends it, after the database is closed; what the archive still lacks it gets from the next start."""
        if self._running:
            await self.log.finish()
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)
        await self.past.close()
        self.log.close()
