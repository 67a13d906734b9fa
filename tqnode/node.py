"""The composition root: what a node is made of, in which order it starts and stops."""

import asyncio
import contextlib
import logging
import os
import signal
import threading
from collections.abc import Callable, Mapping
from typing import Final, TypedDict

import apsw
import uvloop

from tqnode import logs
from tqnode.api.app import build
from tqnode.api.context import ClusterView, Vital
from tqnode.api.service import Service
from tqnode.background import Background
from tqnode.clock import Clock, Rng, SystemClock, SystemRng
from tqnode.config import Config
from tqnode.data_folder import DataFolder, FolderError
from tqnode.delivery import endpoints
from tqnode.delivery.courier import Courier
from tqnode.delivery.endpoints import EndpointsError
from tqnode.errors import DiskFull, OutcomeUnknown, TqnodeError
from tqnode.founding import FoundingError, refuse_alone
from tqnode.garbage import collect_between, collect_seldom
from tqnode.http_server import HttpServer, ListenError, bind, url_of, warn_if_open
from tqnode.keeping import Keeping, plan_of
from tqnode.member import Member
from tqnode.metrics import LitestreamMetrics, Metrics
from tqnode.queue import Queue
from tqnode.replication.archive_url import ArchiveError
from tqnode.replication.binary import OFF, LitestreamError
from tqnode.replication.disk_errors import DiskFailed
from tqnode.replication.local_log import TERMS_DATABASE
from tqnode.replication.node_db import NODE_DB
from tqnode.replication.past import PastStates
from tqnode.replication.peer_auth import AuthError
from tqnode.replication.peers import PeerListenError
from tqnode.sd_notify import SdNotify
from tqnode.store import Store
from tqnode.store.migrations import SchemaTooNew
from tqnode.store.trouble import explain

EXIT_STOPPED: Final = 0
EXIT_FAILED: Final = 1
HARD_STOP_S: Final = 0.9
"""After the drain: time for everything else, before the process ends whatever still runs."""
OWNER_ONLY: Final = 0o077

logger = logging.getLogger(__name__)


class StoreError(Exception):
    """The database can't be opened; the text says why and what to do."""


class Served(TypedDict):
    """What the API serves besides the queue, by the names of :func:`tqnode.api.app.build`'s arguments."""

    vitals: Callable[[], Mapping[str, Vital]]
    past: PastStates | None
    cluster: ClusterView | None


class Node:
    """One node, from :meth:`start` to :meth:`stop`.

    Args:
        config: its configuration.
        clock: its clock.
        rng: its chance.
        notify: the line to the service manager.
        environ: the environment, for the programs it starts.
        bootstrap: whether a person has said that a new cluster begins.
    """

    def __init__(
        self,
        config: Config,
        *,
        clock: Clock,
        rng: Rng,
        notify: SdNotify,
        environ: Mapping[str, str],
        bootstrap: bool = False,
    ) -> None:
        self._config = config
        self._bootstrap = bootstrap
        self._environ = environ
        self._clock = clock
        self._rng = rng
        self._notify = notify
        self.broken = asyncio.Event()
        """Set when a part has failed without which the node must not go on."""
        self._draining = asyncio.Event()
        self._parts = contextlib.AsyncExitStack()
        self._server: HttpServer | None = None
        self._store: Store | None = None
        self._service = Service()
        self._member: Member | None = None
        self._background: Background | None = None

    async def start(self) -> str:
        """Starts all parts, the ones that answer last; returns the URL.

        Raises:
            FolderError: the data folder can't be used.
            ListenError: the address can't be listened on.
            StoreError: the database can't be opened.
            FoundingError: the folder is of a node of another kind, with or without peers.
            LitestreamError: Litestream can't be used.
            ArchiveError: the archive's credentials can't be used.
            EndpointsError: the file of the webhooks can't be used.
        """
        async with contextlib.AsyncExitStack() as parts:
            url = await self._start(parts)
            self._parts = parts.pop_all()
        self._notify.ready(f"listening on {url}")
        return url

    async def _start(self, parts: contextlib.AsyncExitStack) -> str:
        config, clock, rng = self._config, self._clock, self._rng
        folder = DataFolder.take(config.data_dir)
        parts.callback(folder.release)
        # Before the database is opened: a taken port should cost no recovery.
        listener = bind(config)
        parts.callback(listener.close)
        metrics = Metrics()
        courier = Courier(endpoints.read(config.webhooks_file), config=config, clock=clock)
        if config.peers:
            served = await self._start_member(parts, folder, metrics, courier, url_of(listener))
        else:
            served = self._start_alone(parts, folder, metrics, courier)
        app = build(
            self._service,
            config=config,
            clock=clock,
            rng=rng,
            metrics=metrics,
            draining=self._draining,
            courier=courier,
            **served,
        )
        parts.push_async_callback(app.close)
        self._server = HttpServer(app, listener=listener, config=config, clock=clock)
        url = url_of(listener)
        await self._server.start()
        folder.announce(url)
        return url

    async def _start_member(
        self,
        parts: contextlib.AsyncExitStack,
        folder: DataFolder,
        metrics: Metrics,
        courier: Courier,
        url: str,
    ) -> Served:
        """A node of a cluster: the queue comes and goes with the lead."""
        config = self._config
        plan = plan_of(config, data_dir=folder.path, database=folder.database, environ=self._environ)
        try:
            member = self._member = Member(
                config,
                data_dir=folder.path,
                database=folder.database,
                url=config.advertise or url,
                bootstrap=self._bootstrap,
                plan=plan,
                service=self._service,
                clock=self._clock,
                rng=self._rng,
                metrics=metrics,
                courier=courier,
                on_fatal=end_at_once,
                on_broken=self.broken.set,
            )
        except (DiskFull, DiskFailed, SchemaTooNew, apsw.Error) as error:
            raise StoreError(explain(folder.path / NODE_DB, error)) from error
        parts.push_async_callback(member.stop)
        await member.start()
        return Served(vitals=member.vitals, past=member.past, cluster=member)

    def _start_alone(
        self, parts: contextlib.AsyncExitStack, folder: DataFolder, metrics: Metrics, courier: Courier
    ) -> Served:
        """A node without peers: it serves the queue from its start to its end."""
        config, clock, rng = self._config, self._clock, self._rng
        refuse_alone(folder.path / NODE_DB)
        keeping = self._open_archive(folder, metrics)
        if keeping is not None:
            parts.push_async_callback(keeping.stop)
        store = self._open_store(folder, metrics, keeping)
        parts.push_async_callback(store.close)
        queue = Queue(store, config=config, clock=clock, rng=rng, metrics=metrics)
        if keeping is not None:
            try:
                keeping.start(on_late=queue.look_again, on_failed=self.broken.set)
            except (apsw.Error, SchemaTooNew) as error:
                raise StoreError(explain(folder.path / TERMS_DATABASE, error)) from error
            parts.callback(keeping.open_gate)
        self._background = Background(
            store,
            queue,
            courier,
            clock=clock,
            config=config,
            metrics=metrics,
            on_failed=self.broken.set,
        )
        parts.push_async_callback(self._background.stop)
        self._service.open(queue)
        return Served(
            vitals=dict if keeping is None else keeping.vitals,
            past=None if keeping is None else keeping.past,
            cluster=None,
        )

    def _open_archive(self, folder: DataFolder, metrics: Metrics) -> Keeping | None:
        if self._config.litestream == OFF:
            return None
        return Keeping(
            self._config,
            data_dir=folder.path,
            database=folder.database,
            environ=self._environ,
            clock=self._clock,
            metrics=LitestreamMetrics(metrics.registry),
        )

    def _open_store(self, folder: DataFolder, metrics: Metrics, keeping: Keeping | None) -> Store:
        try:
            self._store = Store(
                folder.database,
                clock=self._clock,
                metrics=metrics,
                backlog_max=self._config.writer_backlog_max,
                on_fatal=end_at_once,
                gate=None if keeping is None else keeping.gate,
                checkpoints=keeping is None,
            )
        except (apsw.Error, SchemaTooNew) as error:
            raise StoreError(explain(folder.database, error)) from error
        return self._store

    async def stop(self) -> None:
        """Stops accepting, answers what is in flight, then stops the parts in the reverse order."""
        self._notify.stopping()
        began = self._clock.monotonic()
        if self._member is not None:
            await self._member.leave()
        self._draining.set()
        if self._background is not None:
            self._background.drain()
        if (queue := self._service.here) is not None:
            queue.drain()
        if self._server is not None:
            left_s = self._config.drain_s - (self._clock.monotonic() - began)
            await self._server.stop(grace_s=max(0.0, left_s))
        await self._parts.aclose()

    def hurry(self) -> None:
        """Makes a stop under way wait no longer for requests."""
        if self._server is not None:
            self._server.hurry()

    async def reassure(self, every_s: float) -> None:
        """Tells the service manager, for as long as it is so, that the node takes writes.

        Args:
            every_s: seconds between two pings.
        """
        while True:
            await self._clock.sleep(every_s)
            try:
                if self._member is not None:
                    await self._member.prove()
                elif self._store is not None:
                    # Goes the way of every write: through the loop, the writer's thread and a commit.
                    await self._store.write(lambda _tx: None)
            except OutcomeUnknown:
                # It was committed; that the archive is out of reach no restart would mend.
                self._notify.ping()
            except TqnodeError as error:
                logger.warning("no write gets through: %s", error.detail)
            else:
                self._notify.ping()


def end_at_once(error: BaseException) -> None:
    """The disk failed: whatever comes after this could be acknowledged and lost.

    Args:
        error: what the disk said.
    """
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    logger.critical("the disk failed, the node ends: %s: %s", type(error).__name__, error)
    _flush_logs()
    os._exit(EXIT_FAILED)


def _flush_logs() -> None:
    for handler in logging.getLogger().handlers:
        handler.flush()


def _cut_off() -> None:
    logger.critical("the node did not stop in time and is cut off; what was acknowledged is on disk")
    _flush_logs()
    os._exit(EXIT_FAILED)


async def _serve(config: Config, notify: SdNotify, environ: Mapping[str, str], *, bootstrap: bool) -> int:
    clock = SystemClock()
    node = Node(config, clock=clock, rng=SystemRng(), notify=notify, environ=environ, bootstrap=bootstrap)
    collecting = asyncio.create_task(collect_between(clock))
    told = asyncio.Event()
    loop = asyncio.get_running_loop()

    def on_signal(number: signal.Signals) -> None:
        if told.is_set():
            logger.info("stopping at once: %s again", number.name)
            node.hurry()
        else:
            logger.info("stopping: %s", number.name)
            told.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal, number)
    url = await node.start()
    logger.info("listening on %s", url, extra={"data_dir": str(config.data_dir)})
    watchdog = asyncio.create_task(node.reassure(notify.watchdog_s)) if notify.watchdog_s else None
    await _first(told, node.broken)
    told.set()
    if watchdog is not None:
        watchdog.cancel()
    # A thread of its own: it has to work when the loop or the disk is what hangs.
    limit = threading.Timer(config.drain_s + HARD_STOP_S, _cut_off)
    limit.daemon = True
    limit.start()
    await node.stop()
    collecting.cancel()
    limit.cancel()
    logger.info("stopped")
    return EXIT_FAILED if node.broken.is_set() else EXIT_STOPPED


async def _first(*events: asyncio.Event) -> None:
    """Returns when one of the events is set."""
    waits = [asyncio.create_task(event.wait()) for event in events]
    await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    for wait in waits:
        wait.cancel()


def run_node(config: Config, environ: Mapping[str, str], *, bootstrap: bool = False) -> int:
    """Runs a node in this process until a signal stops it.

    Args:
        config: its configuration.
        environ: the environment: what systemd put there, and what opens the archive.
        bootstrap: whether a person has said that a new cluster begins.

    Returns:
        The exit code.
    """
    logs.set_up(level=config.log_level, form=config.log_format, environ=environ)
    # The database holds what its owners gave it: nobody else's to read.
    os.umask(OWNER_ONLY)
    warn_if_open(config)
    collect_seldom()
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(_serve(config, SdNotify(environ), environ, bootstrap=bootstrap))
    except (
        FolderError,
        ListenError,
        PeerListenError,
        AuthError,
        StoreError,
        FoundingError,
        LitestreamError,
        ArchiveError,
        EndpointsError,
    ) as error:
        logger.critical("%s", error)
        return EXIT_FAILED
