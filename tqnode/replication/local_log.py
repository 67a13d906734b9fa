"""The log and the archive of a node without peers: opens a term at each start and has Litestream write it."""

import asyncio
import itertools
import logging
import math
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tqnode.clock import Clock
from tqnode.metrics import LitestreamMetrics
from tqnode.replication.archive import Archive
from tqnode.replication.archive_url import ArchiveError
from tqnode.replication.litestream import Litestream, environ_for, remove_socket
from tqnode.replication.litestream_config import Replicated, write_config
from tqnode.replication.sync_client import SyncClient, Synced, SyncError
from tqnode.replication.term_folders import make_term_folders, meta_of, remove_other_metas, terms_meta_of
from tqnode.replication.terms import Term, Terms

TERMS_DATABASE: Final = "terms.db"
CONFIG_FILE: Final = "litestream.yml"
SOCKET: Final = "litestream.sock"
LOOK_EVERY_S: Final = 5.0
"""Time between two looks whether the archive has everything, unless somebody else had it done."""
LOOK_AGAIN_S: Final = 1.0
LOOK_S: Final = 20.0
START_EVERY_S: Final = 0.1
BEHIND_S: Final = 30.0
"""An archive that did not have everything for so long is said to be behind."""
UNREACHED_S: Final = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
PRUNE_EVERY_S: Final = 3600.0
CUT_EVERY_S: Final = 600.0
"""Time between two times that the past is given up; if that did not help, more of it would not either."""
LAST_SYNC_S: Final = 0.5
SYNCS_MAX: Final = 5

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What the log is made of.

    Args:
        program: the checked Litestream.
        data_dir: the node's folder.
        database: the queue's file.
        name: of the node.
        archive: where the archive is.
        environ: the node's environment.
        snapshot_s: seconds between two whole copies.
        keep_s: seconds the archive reaches back.
        disk_free_min: bytes; with less free space, an archive on this machine gives up its past.
    """

    program: Path
    data_dir: Path
    database: Path
    name: str
    archive: Archive
    environ: Mapping[str, str]
    snapshot_s: int
    keep_s: int
    disk_free_min: int


class LocalLog:
    """Runs for as long as the node does.

    Args:
        plan: what it is made of.
        clock: the node's clock.
        metrics: what is counted of it.
    """

    def __init__(self, plan: Plan, *, clock: Clock, metrics: LitestreamMetrics) -> None:
        self._plan = plan
        self._url = plan.archive.url
        """Where the term goes."""
        self._clock = clock
        self._metrics = metrics
        self._socket = plan.data_dir / SOCKET
        self._client = SyncClient(self._socket, clock=clock)
        self._terms: Terms | None = None
        self._litestream: Litestream | None = None
        self._failure = ""
        """Why the archive can't be reached; empty while it can."""
        self._listed: Term | None = None
        self._cut = asyncio.Event()
        """Set when the term is to end."""
        self._given_up: Term | None = None
        """The term that was ended so that it can be removed with all before it; None otherwise."""
        self._whole_at: float | None = None
        self._began = clock.monotonic()
        self.term: Term | None = None
        """The one being written; None until the archive was asked which there were."""
        metrics.archive_age.set_function(self._age_s)

    def open(self) -> None:
        """Opens the list of terms; nothing is written to the folder before.

        Raises:
            apsw.Error: it can't be opened.
        """
        self._terms = Terms(self._plan.data_dir / TERMS_DATABASE)

    def _opened(self) -> Terms:
        if self._terms is None:
            raise RuntimeError("the log runs before it was opened")
        return self._terms

    def states(self) -> dict[str, str]:
        """How Litestream and the archive are: ``ok``, or what is wrong, for people."""
        litestream = "starting" if self._litestream is None else self._litestream.state
        archive = "ok"
        if self._age_s() > BEHIND_S:
            archive = f"behind by {self._age_s():.0f} s: {self._failure or litestream}"
        elif self._whole_at is None:
            archive = f"starting: {self._failure}" if self._failure else "starting"
        return {"litestream": litestream, "archive": archive}

    async def sync(self, *, archived: bool, within_s: float) -> Synced:
        """Returns once all that was committed before the call is in the log's files.

        Args:
            archived: and in the archive.
            within_s: seconds it has.

        Raises:
            SyncError: it is not, or not in time.
        """
        if self._litestream is None or not self._litestream.up.is_set():
            raise SyncError("litestream does not run")
        if archived and self._listed is not self.term:
            await self._list_term(within_s=within_s)
        for _ in range(SYNCS_MAX):
            began = self._clock.monotonic()
            synced = await self._client.sync(self._plan.database, archived=archived, within_s=within_s)
            took_s = self._clock.monotonic() - began
            self._metrics.sync_seconds.labels("archive" if archived else "disk").observe(took_s)
            self._metrics.txid.set(synced.txid)
            if not archived:
                return synced
            if synced.replicated_txid >= synced.txid:
                self._metrics.archived_txid.set(synced.replicated_txid)
                self._whole_at, self._failure = began, ""
                return synced
            # Another entry came while the upload ran; whether it holds what was committed before is not said.
        raise SyncError(f"the archive has {synced.replicated_txid} of {synced.txid} entries")

    async def _list_term(self, *, within_s: float) -> None:
        """Has the archive list the term: what it has of an unlisted one, nobody finds."""
        term = self.term
        listing = self._plan.data_dir / TERMS_DATABASE
        synced = await self._client.sync(listing, archived=True, within_s=within_s)
        if synced.replicated_txid < synced.txid:
            raise SyncError("the archive does not list the term yet")
        self._listed = term

    async def run(self) -> None:
        """Writes the log until cancelled. A disk error of Litestream's begins a new term, a full disk too."""
        looking = asyncio.create_task(self._look(), name="archive-look")
        try:
            while True:
                self.term = await self._open_term()
                self._metrics.term.set(self.term.number)
                await self._write_term()
        finally:
            looking.cancel()
            await asyncio.gather(looking, return_exceptions=True)

    async def finish(self) -> None:
        """Lets the archive get what is still missing, if that takes no time to speak of."""
        try:
            await self.sync(archived=True, within_s=LAST_SYNC_S)
        except SyncError as error:
            logger.warning("the archive lacks the last writes, the next start adds them: %s", error)

    def close(self) -> None:
        """Closes the list of terms."""
        self._client.close()
        if self._terms is not None:
            self._terms.close()

    async def _open_term(self) -> Term:
        """Learns which terms there were, counts one on, and lays out its folders."""
        terms = self._opened()
        tried = 0
        while True:
            try:
                known = await self._plan.archive.terms()
                terms.merge(known)
                break
            except (ArchiveError, OSError) as error:
                # Without knowing them, this node could write over what the archive has.
                pause_s = UNREACHED_S[min(tried, len(UNREACHED_S) - 1)]
                self._failure = str(error)
                logger.error("the archive cannot be asked for its terms, again in %g s: %s", pause_s, error)
            await self._clock.sleep(pause_s)
            tried += 1
        plan = self._plan
        if known and known[-1].node != plan.name:
            # As after a move to another host; if both run, a restore gives the last term alone.
            logger.warning("the archive was last written by another node, %s", known[-1].node)
        term = terms.open_next(now_ms=self._clock.now_ms(), node=plan.name)
        url = plan.archive.url
        folders = [folder for one in (url.of_term(term.number), url.of_terms()) if (folder := one.folder)]
        make_term_folders(plan.data_dir, term.number, folders)
        remove_other_metas(plan.data_dir, term.number)
        return term

    async def _write_term(self) -> None:
        """Has Litestream write the term; returns when another is to begin."""
        assert self.term is not None  # noqa: S101  # it was opened for this
        plan, number = self._plan, self.term.number
        config = plan.data_dir / CONFIG_FILE
        url = self._url
        databases = [
            Replicated(plan.database, meta_of(plan.data_dir, number), url.of_term(number)),
            Replicated(plan.data_dir / TERMS_DATABASE, terms_meta_of(plan.data_dir, number), url.of_terms()),
        ]
        write_config(config, databases, socket=SOCKET, snapshot_s=plan.snapshot_s, keep_s=plan.keep_s)
        remove_socket(self._socket)
        self._litestream = litestream = Litestream(
            plan.program,
            config=config,
            folder=plan.data_dir,
            environ=environ_for(plan.environ),
            client=self._client,
            clock=self._clock,
            metrics=self._metrics,
            secrets=url.secrets,
        )
        running = asyncio.create_task(litestream.run(), name="litestream")
        failing = asyncio.create_task(litestream.disk_failed.wait(), name="litestream-disk")
        self._cut.clear()
        cutting = asyncio.create_task(self._cut.wait(), name="log-cut")
        tasks = {running, failing, cutting}
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            if running in done:
                running.result()
            if failing in done:
                logger.error("litestream met a disk error: what it wrote is not relied on, a new term begins")
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _look(self) -> None:
        """Looks now and then whether the archive has everything, and removes what it need not keep."""
        prune_every_s = min(PRUNE_EVERY_S, self._plan.keep_s)
        pruned_at = cut_at = -math.inf
        said = ""
        while True:
            if self._litestream is None or not self._litestream.up.is_set():
                await self._clock.sleep(START_EVERY_S)
                continue
            if self._age_s() > LOOK_EVERY_S or self._listed is not self.term or self._whole_at is None:
                try:
                    await self.sync(archived=True, within_s=LOOK_S)
                except SyncError as error:
                    self._failure = str(error)
            if self._failure != said:
                said = self._failure
                if said:
                    logger.warning("the archive does not have everything: %s", said)
                else:
                    logger.info("the archive has everything")
            now = self._clock.monotonic()
            if not self._failure:
                given_up = self._given_up is not None and self._given_up is not self._listed
                if given_up or now - pruned_at > prune_every_s:
                    pruned_at = now
                    await self._prune(keep_s=0 if given_up else self._plan.keep_s)
                    self._given_up = None
                elif now - cut_at > CUT_EVERY_S and self._is_tight():
                    cut_at = now
                    logger.warning("the disk is nearly full: the archive gives up what it has of the past")
                    self._given_up = self.term
                    self._cut.set()
            await self._clock.sleep(LOOK_AGAIN_S)

    async def _prune(self, *, keep_s: float) -> None:
        """Removes terms of an archive on this machine that reach back no further than ``keep_s`` seconds."""
        terms = self._opened()
        gone = outlived(terms.all(), before_ms=round(self._clock.now_ms() - 1000 * keep_s))
        removed: list[int] = []
        for term in gone:
            folder = self._plan.archive.url.of_term(term.number).folder
            if folder is None:
                # Elsewhere only that place's own rules remove it: Litestream deletes in its own term alone.
                continue
            try:
                await asyncio.to_thread(shutil.rmtree, folder)
            except FileNotFoundError:
                logger.info("the archive of term %d is gone already", term.number)
            except OSError as error:
                logger.warning("the archive of term %d cannot be removed: %s", term.number, error)
                continue
            removed.append(term.number)
        if removed:
            terms.forget(removed)
            logger.info("removed from the archive: %d terms up to %d", len(removed), removed[-1])

    def _is_tight(self) -> bool:
        """Whether an archive on this machine is about to fill the disk."""
        folder = self._plan.archive.url.folder
        return folder is not None and shutil.disk_usage(folder).free < self._plan.disk_free_min

    def _age_s(self) -> float:
        """How long ago the archive had everything; since the start, if it never had."""
        return self._clock.monotonic() - (self._began if self._whole_at is None else self._whole_at)


def outlived(terms: list[Term], *, before_ms: int) -> list[Term]:
    """The terms whose every state is older than a moment; the last one, which is being written, never is.

    Args:
        terms: all, the oldest first; the archive has something of the last.
        before_ms: the moment up to which states need not be kept.
    """
    gone: list[Term] = []
    for term, following in itertools.pairwise(terms):
        # A term's last state held until the next one began.
        if following.started_at_ms >= before_ms:
            break
        gone.append(term)
    return gone
