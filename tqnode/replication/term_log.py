"""Litestream in one elected term: writes the log of this node's leadership, and the archive beside it."""

import asyncio
import logging
from typing import Final

from tqnode.clock import Clock
from tqnode.metrics import LitestreamMetrics
from tqnode.replication.archive_url import ArchiveError
from tqnode.replication.local_log import UNREACHED_S, LocalLog, Plan
from tqnode.replication.term_folders import make_term_folders, remove_other_metas
from tqnode.replication.terms import Term

LISTED_WITHIN_S: Final = 1.0
"""Time an archive elsewhere has to say which terms there were, before one begins without knowing them."""

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

    async def _open_term(self) -> Term:
        terms, plan = self._opened(), self._plan
        url = plan.archive.url
        # Nobody else writes into a folder of this node's own: what is known here is all there is.
        if url.folder is None or not url.folder.is_relative_to(plan.data_dir):
            try:
                async with asyncio.timeout(LISTED_WITHIN_S):
                    terms.merge(await plan.archive.terms())
            except (ArchiveError, OSError, TimeoutError) as error:
                self._failure = f"its terms are not known: {error or 'no answer'}"
                logger.warning("the archive does not say which terms it has: %s", self._failure)
        newest = max((term.number for term in terms.all()), default=0)
        if newest >= self._number:
            raise ArchiveError(
                f"the archive has term {newest} already, and this cluster begins term {self._number}: it was "
                "used by others; give the cluster an archive of its own"
            )
        term = Term(self._number, self._clock.now_ms(), plan.name)
        terms.merge([term])
        folders = [folder for one in (url.of_term(term.number), url.of_terms()) if (folder := one.folder)]
        make_term_folders(plan.data_dir, term.number, folders)
        remove_other_metas(plan.data_dir, term.number)
        return term

    async def wait_until_up(self) -> None:
        """Returns when Litestream answers."""
        while self._litestream is None:
            await self._clock.sleep(UNREACHED_S[0] / 50)
        await self._litestream.up.wait()
