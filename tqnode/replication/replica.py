"""Runs one node's core: brings it events, and carries out what it answers."""

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Callable, Coroutine, Iterable, Sequence
from typing import Final, Protocol

from tqnode.clock import Clock, Rng
from tqnode.errors import DiskFull
from tqnode.replication import effects as do
from tqnode.replication.entry import NOTHING, Head, Position
from tqnode.replication.entry_files import Staged
from tqnode.replication.events import (
    Applied,
    CannotLead,
    Damaged,
    Event,
    HandOver,
    Mended,
    Produced,
    Received,
    Stored,
    Tick,
)
from tqnode.replication.messages import AnyMessage, Append, Lend
from tqnode.replication.node_db import Kept, NodeDb, OutOfOrder
from tqnode.replication.outbox import Outbox
from tqnode.replication.peers import Peers
from tqnode.replication.standby import AHEAD, Standby
from tqnode.replication.state import NEVER, Durable, Settings, State
from tqnode.replication.step import start, step

TICKS_IN_A_LEASE: Final = 16
PULSES_IN_A_LEASE: Final = 8
FULL_S: Final = 1.0
"""Pause after the disk was full, before the node starts anew from what is on it."""

Content = bytes | Staged

logger = logging.getLogger(__name__)


class Leading(Protocol):
    """What a replica has done while it leads. None of it may block; ``lead`` begins what takes time."""

    def lead(self, term: int) -> None:
        """Prepare to write in ``term``: the whole local log first."""
        ...

    def serve(self, term: int) -> None:
        """Answer clients."""
        ...

    def step_down(self, term: int, why: str) -> None:
        """Answer nothing more, from this moment on."""
        ...

    def stay(self, term: int, why: str) -> None:
        """Go on: the hand-over came to nothing."""
        ...

    def committed(self, txid: int) -> None:
        """A majority has all entries of the term up to ``txid``."""
        ...

    async def pulse(self) -> None:
        """Returns once the writer has shown that it works."""
        ...

    async def make_room(self) -> None:
        """Remove from the full disk what the node can do without, which does not lead."""
        ...


class Replica:
    """From :meth:`run` until it is cancelled.

    Args:
        settings: of the node.
        node_db: its disk.
        peers: the other nodes.
        standby: its database, while it does not lead.
        leading: what is done while it does.
        kept: what the disk says.
        clock: the node's clock.
        rng: spreads elections.
        on_fatal: called when something failed after which nothing may be acknowledged.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        node_db: NodeDb,
        peers: Peers,
        standby: Standby,
        leading: Leading,
        kept: Kept,
        clock: Clock,
        rng: Rng,
        on_fatal: Callable[[BaseException], None],
    ) -> None:
        self.settings = settings
        self._node_db = node_db
        self.standby = standby
        self._leading = leading
        self._clock = clock
        self._rng = rng
        self._on_fatal = on_fatal
        self._events: deque[tuple[Event, Sequence[tuple[Head, Content]]]] = deque()
        self._arrived = asyncio.Event()
        self._storing: set[asyncio.Task[None]] = set()
        self._outbox = Outbox(
            peers, node_db, storing=self._storing, on_damaged=self.damaged, on_fatal=on_fatal
        )
        self._full = self._stale = False
        self._alive = self._ticked = False
        self._leads_until = NEVER
        self.state: State = start(settings, _durable(kept), clock.monotonic())

    # -- events ----------------------------------------------------------------------------

    def post(self, event: Event, entries: Sequence[tuple[Head, Content]] = ()) -> None:
        """Has the core learn of ``event``; ``entries`` are the heads that it names, with their bytes."""
        self._events.append((event, entries))
        self._arrived.set()

    def on_message(self, sender: str, node_id: str, message: AnyMessage, contents: Sequence[Content]) -> None:
        """A message came from a peer."""
        heads = message.heads if isinstance(message, Append | Lend) else ()
        self.post(Received(sender, node_id, message), list(zip(heads, contents, strict=True)))

    def produced(self, entries: Sequence[tuple[Head, Content]]) -> None:
        """The leader's log writer made these."""
        self.post(Produced(tuple(head for head, _ in entries)), entries)

    def applied(self, position: Position) -> None:
        """The standby's database has come this far."""
        self.post(Applied(position))

    def damaged(self, position: Position) -> None:
        """An entry of the log is not what was stored."""
        self.post(Damaged(position))

    def cannot_lead(self, term: int) -> None:
        """Something that leading needs has failed."""
        self.post(CannotLead(term))

    def hand_over(self, to: str | None) -> None:
        """Somebody wants another node to lead; the leader writes no more."""
        self.post(HandOver(to))

    @property
    def database(self) -> Position:
        """How far the node's database is."""
        return self.standby.applied

    @property
    def leads(self) -> bool:
        """Whether it leads and its lease holds at this moment."""
        return self._clock.monotonic() < self._leads_until

    # -- the loop --------------------------------------------------------------------------

    async def run(self) -> None:
        """Works until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._work(), name="replica")
            group.create_task(self._tick(), name="replica-tick")
            group.create_task(self._pulse(), name="replica-pulse")
            group.create_task(self.standby.run(), name="standby")
            group.create_task(self._verify(), name="log-verify")

    async def _work(self) -> None:
        while True:
            while self._events:
                event, entries = self._events.popleft()
                contents = {head.position: content for head, content in entries}
                try:
                    await self._take(event, contents)
                except DiskFull:
                    self._full = True
                await self._discard(contents.values())
                if self._full:
                    await self._await_room()
                if self._stale:
                    await self._begin_anew()
            self._arrived.clear()
            await self._arrived.wait()

    async def _take(self, event: Event, contents: dict[Position, Content]) -> None:
        if isinstance(event, Tick):
            self._ticked = False
        for position, content in contents.items():
            if isinstance(content, bytes):
                self._outbox.keep(position, content)
        self.state, effects = step(self.settings, self.state, event, self._clock.monotonic())
        if self.state.role == "leader":
            self._leads_until = self.state.lease_until
        for effect in effects:
            await self._carry_out(effect, contents)

    async def _discard(self, contents: Iterable[Content]) -> None:
        """Removes the files of entries that were not to be stored."""
        for content in contents:
            if isinstance(content, Staged):
                await self._node_db.discard(content)

    async def _carry_out(self, effect: do.Effect, contents: dict[Position, Content]) -> None:
        match effect:
            case do.SaveRow():
                await self._node_db.save_row(effect.row, effect.fresh)
            case do.Store():
                self._store([(head, contents.pop(head.position)) for head in effect.heads])
            case do.Send():
                self._outbox.send(effect.to, effect.message)
            case do.Mend():
                self._spawn(self._mend(effect.head, contents.pop(effect.head.position)))
            case do.Trim():
                self._spawn(self._trim(effect.before))
            case do.Committed():
                self._committed(effect.position)
            case do.Lead():
                logger.info("elected in term %d", effect.term)
                self._leading.lead(effect.term)
            case do.Serve():
                self._leading.serve(effect.term)
            case do.StepDown():
                # Only now: what the same step has committed before was still to be answered.
                self._leads_until = NEVER
                logger.warning("term %d is over for this node: %s", effect.term, effect.why)
                self._leading.step_down(effect.term, effect.why)
            case do.StayLeader():
                self._leading.stay(effect.term, effect.why)
            case do.Alarm():
                logger.critical("this can't be: %s", effect.what)

    def _committed(self, position: Position) -> None:
        # Not by the role, which is that after the step: it may end what its last commit belongs to.
        if position.term == self.state.led:
            self._leading.committed(position.txid)
        elif not self.settings.witness:
            self.standby.reach(position)

    def founded(self) -> None:
        """A person has said that this disk, on which nothing has happened yet, begins a new cluster."""
        self._stale = True
        self.post(Tick(0.0, alive=False))

    async def _await_room(self) -> None:
        """The disk is full: the node leaves leading to others, and looks again after a while."""
        logger.error("the disk is full: this node takes part in nothing until there is room")
        self._leads_until = NEVER
        if self.state.role == "leader":
            self._leading.step_down(self.state.term, "its disk is full")
        await self.stored()
        await self._leading.make_room()
        await self._clock.sleep(FULL_S)
        dropped, self._events = self._events, deque()
        await self._discard(content for _, entries in dropped for _, content in entries)
        await self._begin_anew()
        self._full = False
        self.cannot_lead(self.state.term)

    async def _begin_anew(self) -> None:
        """What the core believes to be on the disk, or on its way there, is not what is there."""
        await self.stored()
        before = self.state
        kept = await self._node_db.kept()
        self._stale = self._ticked = False
        self.state = start(self.settings, _durable(kept), self._clock.monotonic())
        for hole in before.holes:
            # First of all: until then they would be acknowledged.
            self._events.appendleft((Damaged(Position(before.heads.term, hole)), ()))

    async def _tick(self) -> None:
        every_s = self.settings.lease_ttl_s / TICKS_IN_A_LEASE
        while True:
            await self._clock.sleep(every_s)
            if not self._ticked:
                alive, self._alive = self._alive, False
                self._ticked = True
                self.post(Tick(self._rng.fraction(), alive))

    async def _pulse(self) -> None:
        """Shows, while it leads, that the disk and the writer work: a lease must not outlive them."""
        while True:
            await self._clock.sleep(self.settings.lease_ttl_s / PULSES_IN_A_LEASE)
            state = self.state
            if state.role != "leader":
                continue
            try:
                await self.prove_disk()
            except DiskFull:
                self.cannot_lead(state.term)
                continue
            await self._leading.pulse()
            self._alive = True

    async def prove_disk(self) -> None:
        """Returns once something was written to this node's disk and fsynced.

        Raises:
            DiskFull: it was not.
        """
        state = self.state
        if self._full:
            # What the core believes may be what could not be saved.
            raise DiskFull("the disk is full", retry_after_s=FULL_S)
        with contextlib.suppress(OutOfOrder):  # a newer row is being saved, which proves as much
            await self._node_db.save_row(state.row, state.fresh)

    async def _verify(self) -> None:
        for position in await self._node_db.verify():
            logger.error("entry %d of term %d is damaged on this disk", position.txid, position.term)
            self.damaged(position)

    # -- effects that take time ------------------------------------------------------------

    async def stored(self) -> None:
        """Returns when nothing that was to be stored is on its way any more."""
        while self._storing:
            await asyncio.wait(set(self._storing))

    async def close(self) -> None:
        """Returns when nothing works on the disk any more; after :meth:`run` was cancelled."""
        await self._outbox.close()
        await self.stored()

    def _spawn(self, work: Coroutine[object, object, None]) -> None:
        task = asyncio.create_task(work)
        self._storing.add(task)

        def ended(task: asyncio.Task[None]) -> None:
            self._storing.discard(task)
            if not task.cancelled() and (error := task.exception()) is not None:
                self._on_fatal(error)

        task.add_done_callback(ended)

    def _store(self, entries: list[tuple[Head, Content]]) -> None:
        self._spawn(self._store_all(entries))

    async def _store_all(self, entries: list[tuple[Head, Content]]) -> None:
        last = entries[-1][0].position
        try:
            await self._node_db.store(entries)
        except DiskFull:
            self._give_way()
            return
        self.post(Stored(last))

    async def _mend(self, head: Head, content: Content) -> None:
        try:
            await self._node_db.store([(head, content)])
        except DiskFull:
            self._give_way()
            return
        self.post(Mended(head.position))

    async def _trim(self, before: Position) -> None:
        try:
            await self._node_db.trim(before)
        except DiskFull:
            logger.warning("the log could not be trimmed: the disk is full")

    def _give_way(self) -> None:
        self._full = True
        self.post(Tick(0.0, alive=False))


def _durable(kept: Kept) -> Durable:
    last = kept.heads[-1].position if kept.heads else NOTHING
    applied = kept.applied
    if applied.txid == AHEAD:
        # It led: its database is not behind a log of that term, or of an older one.
        applied = last if applied.term >= last.term else NOTHING
    return Durable(node_id=kept.node_id, row=kept.row, fresh=kept.fresh, heads=kept.heads, applied=applied)
