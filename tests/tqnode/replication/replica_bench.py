"""One replica on real files, with two peers whose part the test plays over real connections."""

import asyncio
import contextlib
import functools
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from tests.tqnode.replication.peer_nodes import Talker, card_of, free_ports, talker
from tests.waiting import eventually_async
from tqnode.clock import SystemClock, SystemRng
from tqnode.replication.entry import NOTHING
from tqnode.replication.messages import AnyMessage, Append, Appended, Ask, Vote, Would, WouldYou
from tqnode.replication.node_db import Kept, NodeDb
from tqnode.replication.peer_auth import Open
from tqnode.replication.peers import CallRefused, Peers
from tqnode.replication.replica import Content, Replica
from tqnode.replication.standby import Standby
from tqnode.replication.state import Settings

NAMES = ("a", "b", "c")
M = TypeVar("M", bound=AnyMessage)


class Notes:
    """What a replica has had done while it led."""

    def __init__(self) -> None:
        self.done: list[tuple[str, int]] = []
        self.why = ""
        self.made_room = 0

    def lead(self, term: int) -> None:
        self.done.append(("lead", term))

    def serve(self, term: int) -> None:
        self.done.append(("serve", term))

    def step_down(self, term: int, why: str) -> None:
        self.done.append(("step down", term))
        self.why = why

    def stay(self, term: int, why: str) -> None:
        self.done.append(("stay", term))
        self.why = why

    def committed(self, txid: int) -> None:
        self.done.append(("committed", txid))

    async def pulse(self) -> None:
        return

    async def make_room(self) -> None:
        self.made_room += 1


@dataclass
class Bench:
    """The replica of node a, and the talkers that are b and c."""

    replica: Replica
    node_db: NodeDb
    peers: Peers
    notes: Notes
    others: dict[str, Talker] = field(default_factory=dict)
    fatal: list[BaseException] = field(default_factory=list)
    acknowledged: int = 0

    async def heard(self, name: str, kind: type[M], wanted: Callable[[M], bool] = lambda _message: True) -> M:
        """The first message of a kind that the talker got and the test wants."""

        def found() -> M | None:
            for message in self.others[name].messages():
                if isinstance(message, kind) and wanted(message):
                    return message
            return None

        message: M = await eventually_async(found, within_s=30)
        return message

    def say(self, name: str, message: AnyMessage, contents: Sequence[bytes] = ()) -> None:
        self.others[name].peers.send("a", message, contents)

    async def elect(self) -> int:
        """Has b vote for a; returns the term."""
        term = 0

        async def led() -> bool:
            nonlocal term
            for message in self.others["b"].messages():
                if isinstance(message, WouldYou):
                    self.say("b", Would(0, message.round, True, False))
                elif isinstance(message, Ask):
                    self.say("b", Vote(message.term, message.round, True))
            if self.replica.state.role == "leader":
                term = self.replica.state.term
            return term > 0

        await eventually_async(led, within_s=30, every_s=0.05)
        return term

    def acknowledge(self, term: int, txid: int) -> None:
        """Has b say that it has all up to ``txid``."""
        heard = self.others["b"].messages()
        sent = max((message.sent for message in heard if isinstance(message, Append)), default=0.0)
        self.say(
            "b",
            Appended(
                term=term,
                last=txid,
                taken=txid,
                applied=NOTHING,
                sent=sent,
                counts=True,
                eligible=True,
                gap=False,
                witness=False,
            ),
        )

    @contextlib.asynccontextmanager
    async def leading(self) -> AsyncIterator[int]:
        """Has b elect a and hear it, which renews its lease; what b says it has is ``acknowledged``."""
        term = await self.elect()

        async def hear() -> None:
            while True:
                self.acknowledge(term, self.acknowledged)
                await SystemClock().sleep(0.1)

        hearing = asyncio.create_task(hear())
        try:
            yield term
        finally:
            hearing.cancel()
            await asyncio.gather(hearing, return_exceptions=True)


@contextlib.asynccontextmanager
async def replica_in(
    folder: Path, *, founded: bool = True, ttl_s: float = 4.0, witness: bool = False
) -> AsyncIterator[Bench]:
    """A replica that runs; its disk is of a founding member unless the test says that it came empty."""
    ports = dict(zip(NAMES, free_ports(len(NAMES)), strict=True))
    addresses = {name: ("127.0.0.1", port) for name, port in ports.items()}
    fatal: list[BaseException] = []
    clock, rng = SystemClock(), SystemRng()
    (folder / "a").mkdir(parents=True, exist_ok=True)
    node_db = NodeDb(folder / "a", clock=clock, rng=rng, on_fatal=fatal.append)
    await (node_db.found("c1") if founded else node_db.join("c1"))
    kept = await node_db.kept()
    bench: Bench | None = None

    def on_message(sender: str, node_id: str, message: AnyMessage, contents: Sequence[Content]) -> None:
        if bench is not None:
            bench.replica.on_message(sender, node_id, message, contents)

    async def on_call(_caller: str, name: str, _payload: object) -> None:
        raise CallRefused(name)

    peers = Peers(
        card_of("a", node_id=kept.node_id),
        {name: at for name, at in addresses.items() if name != "a"},
        listen=addresses["a"],
        auth=Open(),
        shelf=node_db,
        lease_ttl_s=ttl_s,
        clock=clock,
        rng=rng,
        on_message=on_message,
        on_call=on_call,
        on_fatal=fatal.append,
    )
    settings = Settings(name="a", peers=frozenset(NAMES) - {"a"}, lease_ttl_s=ttl_s, witness=witness)
    notes = Notes()
    replica = _replica(folder / "a" / "tq.db", settings, node_db, kept, peers, notes, fatal)
    async with contextlib.AsyncExitStack() as stack:
        await peers.start()
        bench = Bench(replica, node_db, peers, notes, fatal=fatal)
        for name in NAMES[1:]:
            bench.others[name] = await stack.enter_async_context(
                talker(
                    folder / name,
                    card_of(name),
                    {"a": addresses["a"]},
                    listen=addresses[name],
                    ttl_s=ttl_s,
                )
            )
            await bench.others[name].until_connected("a")
            await eventually_async(functools.partial(_is_connected, peers, name))
        running = asyncio.create_task(replica.run())
        try:
            yield bench
            assert fatal or not running.done(), running
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            await peers.close()
            await replica.close()
            await node_db.close()


def _is_connected(peers: Peers, name: str) -> bool:
    return peers.contacts()[name].connected


def _replica(
    database: Path,
    settings: Settings,
    node_db: NodeDb,
    kept: Kept,
    peers: Peers,
    notes: Notes,
    fatal: list[BaseException],
) -> Replica:
    clock = SystemClock()
    standby = Standby(
        database,
        node_db=node_db,
        applied=kept.applied,
        clock=clock,
        on_applied=lambda position: replica.applied(position),
        on_damaged=lambda position: replica.damaged(position),
    )
    replica = Replica(
        settings,
        node_db=node_db,
        peers=peers,
        standby=standby,
        leading=notes,
        kept=kept,
        clock=clock,
        rng=SystemRng(),
        on_fatal=fatal.append,
    )
    return replica
