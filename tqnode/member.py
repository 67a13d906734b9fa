"""A node of a cluster: its vote and its log all the time, the queue while it leads."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any, Final

import apsw

from tqnode.api.context import Vital
from tqnode.api.service import Service
from tqnode.clock import Clock, Rng
from tqnode.config import Config
from tqnode.delivery.courier import Courier
from tqnode.errors import DiskFull, Elsewhere, HandoverFailed, NoLeader, NotFound, TqnodeError
from tqnode.founding import FOUND, Founding, FoundingError, refuse_to_lose
from tqnode.handover import Handover
from tqnode.keeping import past_of
from tqnode.metrics import ClusterMetrics, LitestreamMetrics, Metrics
from tqnode.replication.disk_errors import DiskFailed, told_apart
from tqnode.replication.local_log import Plan
from tqnode.replication.ltx import LtxError
from tqnode.replication.messages import AnyMessage
from tqnode.replication.node_db import NODE_DB, Kept, NodeDb, NoEntry
from tqnode.replication.peer_auth import choose_auth
from tqnode.replication.peers import Content, Peers
from tqnode.replication.replica import Replica
from tqnode.replication.standby import Standby
from tqnode.replication.state import Settings
from tqnode.replication.term_folders import give_up_past
from tqnode.replication.wire import Card
from tqnode.sql import QUEUE, migrations
from tqnode.standing import STATUS, Standing
from tqnode.store.migrations import SchemaTooNew
from tqnode.tenure import Tenure

# Clients add to it a random pause that grows; a handover should not last much longer for them than it does.
RETRY_AFTER_S: Final = 0.15
LEAVE_S: Final = 1.0
"""Time a stopping leader waits to see its successor serve, and sends clients there."""

logger = logging.getLogger(__name__)


class Member:
    """From :meth:`start` to :meth:`stop`.

    Args:
        config: of the node; it names peers.
        data_dir: its folder.
        database: the queue's file.
        url: where clients reach this node.
        bootstrap: whether a person has said that a new cluster begins.
        plan: what a term's log is made of.
        service: where the queue is served.
        clock, rng, metrics: the node's own.
        courier: sends webhooks while this node leads.
        on_fatal: called when the disk failed: the process must end at once.
        on_broken: called when something else failed without which the node must not go on.

    Raises:
        DiskFull, DiskFailed, SchemaTooNew: node.db can't be opened.
        AuthError: what nodes prove themselves by can't be used.
        FoundingError: the folder holds a queue that would be lost.
    """

    def __init__(
        self,
        config: Config,
        *,
        data_dir: Path,
        database: Path,
        url: str,
        bootstrap: bool,
        plan: Plan,
        service: Service,
        clock: Clock,
        rng: Rng,
        metrics: Metrics,
        courier: Courier,
        on_fatal: Callable[[BaseException], None],
        on_broken: Callable[[], None],
    ) -> None:
        self._config = config
        self._database = database
        self._plan = plan
        self._service = service
        self._clock = clock
        self._rng = rng
        self._metrics = metrics
        self._log_metrics = LitestreamMetrics(metrics.registry)
        self._courier = courier
        self._cluster_metrics = ClusterMetrics(metrics.registry)
        self._on_fatal = on_fatal
        self._on_broken = on_broken
        if not (data_dir / NODE_DB).exists():
            refuse_to_lose(database)
        self._node_db = NodeDb(data_dir, clock=clock, rng=rng, on_fatal=on_fatal)
        others = {name: at for name, at in config.peer_addresses.items() if name != config.name}
        auth = choose_auth(
            secret_file=config.peer_secret_file,
            cert=config.peer_tls_cert,
            key=config.peer_tls_key,
            authority=config.peer_tls_ca,
            hosts=[config.peer_address[0], *(host for host, _ in others.values())],
        )
        self._url = url
        self.peers = Peers(
            self._card("", ""),
            others,
            listen=config.peer_address,
            auth=auth,
            shelf=self._node_db,
            lease_ttl_s=config.lease_ttl_s,
            clock=clock,
            rng=rng,
            on_message=self._on_message,
            on_call=self._on_call,
            on_fatal=on_fatal,
        )
        self._founding = Founding(
            config.name, node_db=self._node_db, peers=self.peers, bootstrap=bootstrap, clock=clock, rng=rng
        )
        self.standing = Standing(config, url=url, peers=self.peers, clock=clock)
        self._handover = Handover(self.standing, clock=clock)
        self.replica: Replica | None = None
        self._tenure: Tenure | None = None
        self._wanted: int | None = None
        self._changed = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self.past = past_of(
            config, plan, clock=clock, log=lambda: None if self._tenure is None else self._tenure.log
        )
        service.close(self._refusal)

    async def start(self) -> None:
        """Takes up contact with the peers; returns without waiting for any.

        Raises:
            PeerListenError: the peers' address can't be listened on.
            FoundingError: the folder holds a queue that would be lost.
        """
        kept = await self._node_db.kept()
        if kept.cluster_id is None:
            refuse_to_lose(self._database)
        self.peers.introduce(self._card(kept.node_id, self._founding.cluster_of(kept)))
        await self.peers.start()
        self._spawn(self._run(), "member")

    async def leave(self) -> None:
        """Hands the lead over, if this node has it and that can be done at once."""
        replica, tenure = self.replica, self._tenure
        if replica is None or tenure is None or not replica.leads:
            return
        try:
            async with asyncio.timeout(max(LEAVE_S, self._config.drain_s / 2)):
                await self._handover.run(replica, tenure, None, successor_s=LEAVE_S)
        except (TqnodeError, TimeoutError) as error:
            logger.info("stopping without a successor: %s", error or "it took too long")

    async def stop(self) -> None:
        """Leaves the cluster's work to the others, and closes what is open."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._tenure is not None:
            await self._tenure.close()
        await self.past.close()
        await self.peers.close()
        if self.replica is not None:
            await self.replica.close()
        await self._node_db.close()

    async def prove(self) -> None:
        """Returns once the loop has turned and the disk has taken a write: a node without that is dead.

        Raises:
            DiskFull: the disk has not.
        """
        if self.replica is not None:
            await self.replica.prove_disk()

    # -- what the API asks -----------------------------------------------------------------

    async def status(self) -> Any:
        """How each node is."""
        return await self.standing.cluster(self.replica)

    async def hand_over(self, to: str | None) -> Any:
        """Has another node lead; returns once it serves.

        Raises:
            TqnodeError: it came to nothing, and why.
        """
        if to is not None and to not in self._config.peer_addresses:
            raise NotFound("node", to)
        replica, tenure = self.replica, self._tenure
        if replica is None or tenure is None or not replica.leads:
            raise self._refusal()
        if to == self._config.name:
            raise HandoverFailed(f"{to} leads already")
        return await self._handover.run(replica, tenure, to)

    def vitals(self) -> dict[str, Vital]:
        """How the cluster is, seen from here; while this node leads, how its log and archive are too."""
        found = {"cluster": Vital(self.standing.in_a_word(self.replica, self._founding.waits_for), True)}
        if self._tenure is not None:
            found |= {name: Vital(state, False) for name, state in self._tenure.states().items()}
        return found

    def _refusal(self) -> TqnodeError:
        leader = self.replica.state.leader if self.replica is not None else None
        contact = self.peers.contacts().get(leader) if leader is not None else None
        if contact is not None and contact.card is not None and contact.card.url:
            return Elsewhere(f"{leader} leads", url=contact.card.url)
        return NoLeader("no node is known to lead", retry_after_s=RETRY_AFTER_S)

    def _may_answer(self) -> None:
        if self.replica is None or not self.replica.leads:
            raise self._refusal()

    # -- the cluster's work ----------------------------------------------------------------

    async def _run(self) -> None:
        kept = await self._founding.run()
        self.peers.introduce(self._card(kept.node_id, kept.cluster_id or ""))
        replica = self.replica = self._make_replica(kept)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self.standing.count(replica, self._cluster_metrics), name="standing")
                group.create_task(replica.run(), name="replica")
                group.create_task(self._take_roles(replica), name="roles")
        except* DiskFailed as failures:
            self._on_fatal(failures)

    def _make_replica(self, kept: Kept) -> Replica:
        config = self._config
        standby = Standby(
            self._database,
            node_db=self._node_db,
            applied=kept.applied,
            clock=self._clock,
            on_applied=lambda position: replica.applied(position),
            on_damaged=lambda position: replica.damaged(position),
        )
        replica = Replica(
            Settings(
                name=config.name,
                peers=frozenset(config.peer_addresses) - {config.name},
                witness=config.witness,
                lease_ttl_s=config.lease_ttl_s,
            ),
            node_db=self._node_db,
            peers=self.peers,
            standby=standby,
            leading=self,
            kept=kept,
            clock=self._clock,
            rng=self._rng,
            on_fatal=self._on_fatal,
        )
        return replica

    def _on_message(
        self, sender: str, node_id: str, message: AnyMessage, contents: Sequence[Content]
    ) -> None:
        if self.replica is not None:
            self.replica.on_message(sender, node_id, message, contents)
            return
        for content in (part for part in contents if not isinstance(part, bytes)):
            self._spawn(self._node_db.discard(content), "discard")

    async def _on_call(self, _caller: str, name: str, payload: Any) -> Any:
        if name == STATUS:
            return self.standing.own(self.replica)
        answer = await self._founding.on_call(name, payload)
        if name == FOUND and self.replica is not None:
            self.replica.founded()
        return answer

    def _card(self, node_id: str, cluster_id: str) -> Card:
        return Card(
            name=self._config.name,
            node_id=node_id,
            cluster_id=cluster_id,
            url=self._url,
            software=metadata.version("tqnode"),
            schema=migrations(QUEUE)[-1][0],
        )

    # -- leading ---------------------------------------------------------------------------

    def lead(self, term: int) -> None:
        """Begins to prepare for ``term``."""
        self._wanted = term
        self._changed.set()

    def serve(self, term: int) -> None:
        """Answers clients."""
        tenure = self._tenure
        if tenure is not None and tenure.term == term:
            logger.info("serving in term %d", term)
            tenure.serve()
            self._service.open(tenure.queue)

    def step_down(self, term: int, why: str) -> None:
        """Answers nothing more in ``term``."""
        self._wanted = None
        self._service.close(self._refusal)
        if self._tenure is not None and self._tenure.term == term:
            self._tenure.retire(self._refusal)
        self._handover.ended(why)
        self._changed.set()

    def stay(self, term: int, why: str) -> None:
        """Goes on after a hand-over that came to nothing."""
        if self._tenure is not None and self._tenure.term == term:
            self._tenure.go_on()
        self._handover.failed(why)

    def committed(self, txid: int) -> None:
        """Answers what a majority has."""
        if self._tenure is not None:
            self._tenure.gate.committed(txid)

    async def pulse(self) -> None:
        """Returns once the writer has shown that it works; at once while there is none yet."""
        if self._tenure is not None:
            await self._tenure.pulse()

    async def make_room(self) -> None:
        """Gives up, on a full disk, what it has of terms that are over."""
        if self._tenure is None:
            await asyncio.to_thread(give_up_past, self._plan.data_dir, self._plan.archive.url.folder)

    async def _take_roles(self, replica: Replica) -> None:
        """Opens and closes the queue as elections have it, one after the other."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            if self._tenure is not None and self._tenure.term != self._wanted:
                await self._tenure.close()
                self._tenure = None
            if self._wanted is None:
                replica.standby.go_on()
            elif self._tenure is None:
                await self._begin(replica, self._wanted)

    async def _begin(self, replica: Replica, term: int) -> None:
        standby = replica.standby
        try:
            await replica.stored()
            await standby.halt()
            # Not what the core knows to be stored: it may not have been told of the last yet.
            await standby.take_all(replica.state.heads.position, term)
            if self._wanted != term:
                return
            with told_apart():
                self._open(replica, term)
        except (DiskFull, LtxError, NoEntry, SchemaTooNew, apsw.BusyError) as error:
            logger.error("this node can't lead: %s", error)
            replica.cannot_lead(term)

    def _open(self, replica: Replica, term: int) -> None:
        self._tenure = Tenure(
            term,
            config=self._config,
            database=self._database,
            plan=self._plan,
            node_db=self._node_db,
            clock=self._clock,
            rng=self._rng,
            metrics=self._metrics,
            log_metrics=self._log_metrics,
            cluster_metrics=self._cluster_metrics,
            courier=self._courier,
            may_answer=self._may_answer,
            produced=replica.produced,
            hand_over=lambda tenure: self._handover.run(replica, tenure, None),
            on_broken=lambda: replica.cannot_lead(term),
            on_fatal=self._on_fatal,
        )
        self._tenure.open()

    def _spawn(self, work: Any, name: str) -> None:
        task: asyncio.Task[None] = asyncio.create_task(work, name=name)
        self._tasks.append(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self._tasks.remove(task)
        if task.cancelled() or (error := task.exception()) is None:
            return
        if isinstance(error, FoundingError):
            logger.critical("%s", error)
        else:
            logger.critical("%s failed: the node ends", task.get_name(), exc_info=error)
        self._on_broken()
