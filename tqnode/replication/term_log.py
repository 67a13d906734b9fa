"""Litestream in one elected term: writes the log of this node's leadership, and the archive beside it.

Litestream begins to follow a database only when it has seen where its copy elsewhere stands. Nobody's tasks
may wait for that: where the archive does not answer as a term begins, a folder of this node takes its place
until the next term.
"""

import asyncio
import logging
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Final

from tqnode.clock import Clock
from tqnode.metrics import LitestreamMetrics
from tqnode.replication.archive_url import ArchiveError, ArchiveUrl
from tqnode.replication.local_log import UNREACHED_S, LocalLog, Plan
from tqnode.replication.sync_client import Synced, SyncError
from tqnode.replication.term_folders import APART, make_term_folders, remove_other_metas
from tqnode.replication.terms import Term

LISTED_WITHIN_S: Final = 2.0
"""Time an archive elsewhere has to say which terms there were, before one begins without it."""
APART_S: Final = 10.0
"""Time that a term without the archive lasts at least."""
APART_KEEP_S: Final = 3600

logger = logging.getLogger(__name__)


class TermLog(LocalLog):
    """As a single node's log, but of a term whose number an election gave.

    Args:
        plan: what it is made of.
        number: of the term.
        clock: the node's clock.
        metrics: what is counted of it.
    """

    def __init__(self, plan: Plan, *, number: int, clock: Clock, metrics: LitestreamMetrics) -> None:
        super().__init__(plan, clock=clock, metrics=metrics)
        self._number = number
        self._apart = False
        """Whether the term is written without the archive, which did not answer when it began."""
        self._missed = ""

    async def run(self) -> None:
        """Writes the term's log until cancelled; returns when the term must end."""
        looking = asyncio.create_task(self._look(), name="archive-look")
        try:
            self.term = await self._open_term()
            self._metrics.term.set(self._number)
            await self._write_term()
        finally:
            looking.cancel()
            await asyncio.gather(looking, return_exceptions=True)

    async def sync(self, *, archived: bool, within_s: float) -> Synced:
        """As a single node's log does; no term without the archive is ever in it."""
        if archived and self._apart:
            raise SyncError(f"the archive did not answer when the term began: {self._missed}")
        return await super().sync(archived=archived, within_s=within_s)

    async def archive_back(self) -> None:
        """Returns when the next term could be written to the archive and this one is not; else never."""
        tried = 0
        await self._clock.sleep(APART_S)
        while not (self._apart and await self._learn_terms()):
            await self._clock.sleep(UNREACHED_S[min(tried, len(UNREACHED_S) - 1)])
            tried += 1

    async def _learn_terms(self) -> bool:
        """Whether the archive says, in time, which terms it has."""
        try:
            async with asyncio.timeout(LISTED_WITHIN_S):
                self._opened().merge(await self._plan.archive.terms())
        except (ArchiveError, OSError, TimeoutError) as error:
            self._missed = str(error) or f"no answer within {LISTED_WITHIN_S:g} s"
            return False
        return True

    async def _open_term(self) -> Term:
        terms, data_dir = self._opened(), self._plan.data_dir
        apart = data_dir / APART
        await asyncio.to_thread(shutil.rmtree, apart, ignore_errors=True)
        # Nobody else writes into a folder of this node's own: what is known here is all there is.
        if not _is_within(self._url.folder, data_dir) and not await self._learn_terms():
            logger.error("the archive is not written in this term, it does not answer: %s", self._missed)
            self._apart, self._failure = True, self._missed
            self._url = ArchiveUrl.of(f"file://{apart.absolute()}", data_dir=data_dir, credentials_file="")
            self._plan = replace(self._plan, snapshot_s=APART_KEEP_S, keep_s=APART_KEEP_S)
        newest = max((term.number for term in terms.all()), default=0)
        if newest >= self._number:
            raise ArchiveError(
                f"the archive has term {newest} already, and this cluster begins term {self._number}: it was "
                "used by others; give the cluster an archive of its own"
            )
        term = Term(self._number, self._clock.now_ms(), self._plan.name)
        if not self._apart:
            terms.merge([term])
        url = self._url
        folders = [folder for one in (url.of_term(term.number), url.of_terms()) if (folder := one.folder)]
        make_term_folders(data_dir, term.number, folders)
        remove_other_metas(data_dir, term.number)
        return term

    async def wait_until_up(self) -> None:
        """Returns when Litestream answers."""
        while self._litestream is None:
            await self._clock.sleep(UNREACHED_S[0] / 50)
        await self._litestream.up.wait()


def _is_within(folder: Path | None, data_dir: Path) -> bool:
    return folder is not None and folder.is_relative_to(data_dir)
