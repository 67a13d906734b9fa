"""One simulated node: carries out the core's effects as the real driver does, on a simulated disk."""

import hashlib
from collections.abc import Mapping

from tests.tqnode.replication.simulation.disk import AHEAD, Content, Disk, DiskIsFull
from tests.tqnode.replication.simulation.flaws import Flaws
from tests.tqnode.replication.simulation.judge import Judge, Violation
from tests.tqnode.replication.simulation.machine import Machine
from tests.tqnode.replication.simulation.network import Network
from tests.tqnode.replication.simulation.tenure import Tenure
from tests.tqnode.replication.simulation.world import World
from tqnode.replication import effects as do
from tqnode.replication import step as core
from tqnode.replication.entry import NOTHING, Head, Position
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
from tqnode.replication.messages import AnyMessage, Append, Ask, Lend, Vote
from tqnode.replication.state import NEVER, Settings, State

TICKS_IN_A_LEASE = 8
ANEW_S = 0.3
Contents = Mapping[Position, Content]


class Node(Machine):
    """A node that is up or down.

    Args:
        settings: of the core.
        disk: its disk.
        world: time and chance.
        network: carries its messages.
        judge: hears of all it does.
        flaws: what its driver does wrong.
        rate: its clock's, by the world's.
        offset: its clock's.
    """

    def __init__(
        self,
        settings: Settings,
        disk: Disk,
        *,
        world: World,
        network: Network,
        judge: Judge,
        flaws: Flaws,
        rate: float,
        offset: float,
    ) -> None:
        self.name = settings.name
        self.settings = settings
        self.disk = disk
        self.others: dict[str, Node] = {}
        super().__init__(world, rate=rate, offset=offset)
        self._network = network
        self._judge = judge
        self._flaws = flaws
        self.breaks = False
        """Whether it may crash amid the effects of a step."""
        self.leads_until = NEVER
        self.tenure: Tenure | None = None
        self._wanted: int | None = None
        self._memory: dict[Position, Content] = {}
        self._busy = 0.0
        self._storing = 0
        self._target = NOTHING
        self._applying = False
        self._waits_for_room = False
        self.state: State

    @property
    def leads(self) -> bool:
        return self.up and self.clock() < self.leads_until

    # -- life and death --------------------------------------------------------------------

    def boot(self) -> None:
        if self.up:
            return
        self.up = True
        self.epoch += 1
        self._begin()
        self._soon(0.0, self._tick)

    def _begin(self) -> None:
        self._waits_for_room = False
        self._memory.clear()
        self._busy, self._storing = self._world.now, 0
        self._wanted, self.tenure, self.leads_until = None, None, NEVER
        self._target, self._applying = NOTHING, False
        self.state = core.start(self.settings, self.disk.durable(), self.clock())
        for position in sorted(self.disk.bad):
            self.feed(Damaged(position))

    def crash(self) -> None:
        """Ends at once; what is not synced is gone."""
        self.up = False
        self.epoch += 1
        self.leads_until = NEVER
        self.tenure = None
        self.disk.unsynced_row = None

    def _anew(self) -> None:
        """Its disk is full: it starts from what is on it, a little later."""
        self.leads_until = NEVER
        self.tenure = None
        self._waits_for_room = True
        self.epoch += 1
        self._soon(ANEW_S, self._restart)

    def _restart(self) -> None:
        self._begin()
        self._tick()

    # -- events and effects ----------------------------------------------------------------

    def _tick(self) -> None:
        self.feed(Tick(self._world.rng.random(), alive=self._world.now >= self.stalled_until))
        self._soon(self.settings.lease_ttl_s / TICKS_IN_A_LEASE / self._rate, self._tick)

    def feed(self, event: Event, contents: Contents = {}) -> None:  # noqa: B006  # never changed
        """Has the core take a step, and does what it says."""
        if not self.up or self._waits_for_room:
            return
        world = self._world
        world.steps += 1
        self._memory.update(contents)
        before = self.state.committed
        self.state, effects = core.step(self.settings, self.state, event, self.clock())
        if self.state.committed < before:
            raise Violation(f"{self.name} knew {before} to be committed, and now {self.state.committed}")
        if self.state.role == "leader":
            self.leads_until = self.state.lease_until
        ends_at = world.rng.randrange(len(effects)) if self.breaks and effects and world.likely(0.003) else -1
        epoch = self.epoch
        for index, effect in enumerate(effects):
            if index == ends_at:
                world.note(self.name, f"crashes before {type(effect).__name__}")
                self.crash()
                world.after(world.rng.uniform(0.05, 1.5), self.boot)
            if self.epoch != epoch:
                return
            try:
                self._carry_out(effect)
            except DiskIsFull:
                self._anew()

    def _carry_out(self, effect: do.Effect) -> None:
        world = self._world
        if world.traced and not (isinstance(effect, do.Send) and isinstance(effect.message, Append)):
            world.note(self.name, str(effect)[:150])
        match effect:
            case do.SaveRow():
                self._save(effect.row, effect.fresh)
            case do.Store():
                self._store(effect.heads)
            case do.Send():
                self._send(effect.to, effect.message)
            case do.Mend():
                content = self._memory[effect.head.position]
                self._soon(world.rng.uniform(0.001, 0.02), self._mend, effect.head, content)
            case do.Trim():
                self.disk.trim(effect.before)
            case do.Committed():
                self._committed(effect.position)
            case do.Lead():
                self._judge.elected(self.name, effect.term)
                self._wanted = effect.term
                self._lead_when_stored()
            case do.Serve():
                self._judge.serves(self.name, effect.term, self.disk.database)
            case do.StepDown():
                self.leads_until = NEVER
                self.tenure = self._wanted = None
                self._apply_soon()
            case do.StayLeader():
                if self.tenure is not None:
                    self.tenure.writing = True
            case do.Alarm():
                raise Violation(f"{self.name} raises an alarm: {effect.what}")

    def _save(self, row: do.Row, fresh: bool) -> None:
        if not self._flaws.row_unsynced:
            self.disk.save(row, fresh)
            return
        self.disk.unsynced_row = (row, fresh)
        self._soon(self._world.rng.uniform(0.01, 0.5), self._sync_row)

    def _sync_row(self) -> None:
        if self.disk.unsynced_row is not None and not self.disk.full:
            self.disk.save(*self.disk.unsynced_row)
            self.disk.unsynced_row = None

    def _store(self, heads: tuple[Head, ...]) -> None:
        rng = self._world.rng
        entries = [(head, self._memory[head.position]) for head in heads]
        slow = self._world.likely(0.02)
        self._busy = max(self._busy, self._world.now, self.stalled_until) + rng.uniform(
            0.0005, 0.4 if slow else 0.01
        )
        self._storing += 1
        if self._flaws.stores_told_early:
            self._soon(0.0, self.feed, Stored(heads[-1].position))
        self._soon(self._busy - self._world.now, self._stored, entries)

    def _stored(self, entries: list[tuple[Head, Content]]) -> None:
        self._storing -= 1
        try:
            self.disk.store(entries)
        except DiskIsFull:
            self._anew()
            return
        for head, _ in entries:
            self._judge.stored(self.name, head)
        if not self._flaws.stores_told_early:
            self.feed(Stored(entries[-1][0].position))

    def _mend(self, head: Head, content: Content) -> None:
        self.disk.mend(head, content)
        self.feed(Mended(head.position))

    def _send(self, to: str, message: AnyMessage) -> None:
        if isinstance(message, Vote) and message.yes:
            self._judge.voted(self.disk.node_id, message.term, to)
        elif isinstance(message, Ask):
            self._judge.voted(self.disk.node_id, message.term, self.name)
        contents: dict[Position, Content] = {}
        if isinstance(message, Append | Lend):
            for head in message.heads:
                content = self._memory.get(head.position)
                if content is None and head.position not in self.disk.bad:
                    content = self.disk.contents.get(head.position)
                if content is None:
                    return  # what is gone, or damaged, reaches nobody
                contents[head.position] = content
        peer, disk_id = self.others[to], self.disk.node_id
        self._network.send(
            self.name, to, lambda: peer.receive(Received(self.name, disk_id, message), contents)
        )

    def receive(self, event: Received, contents: Contents) -> None:
        """A message has arrived at the machine."""
        if self.up:
            self._soon(0.0, self.feed, event, contents)

    # -- leading ---------------------------------------------------------------------------

    def _lead_when_stored(self) -> None:
        if self._wanted is None:
            return
        if self._storing:
            self._soon(0.002, self._lead_when_stored)
            return
        self._soon(self._world.rng.uniform(0.005, 0.15), self._open, self._wanted)

    def _open(self, term: int) -> None:
        """Applies the whole log and opens the database."""
        if self._wanted != term:
            return
        disk = self.disk
        if disk.full or (disk.last > disk.applied and not self._apply_to(disk.last)):
            self.feed(CannotLead(term))
            return
        if not self._flaws.forgets_to_be_ahead:
            disk.applied = Position(term, AHEAD)
        self.tenure = Tenure(term)
        self.tenure.coming = True
        self._soon(self._world.rng.uniform(0.01, 0.2), self._produce, term)

    def write(self, operation: int) -> None:
        """A client's operation: committed on this disk, to be answered later."""
        tenure = self.tenure
        ready = tenure is not None and tenure.writing and self.state.serving and self.leads
        if not self.up or not ready or self.disk.full or self._world.now < self.paused_until:
            return
        assert tenure is not None
        self.disk.database.append(operation)
        tenure.held.setdefault(tenure.txid + 1, []).append(operation)
        if not tenure.coming:
            tenure.coming = True
            self._soon(self._world.rng.uniform(0.001, 0.02), self._produce, tenure.term)

    def _produce(self, term: int) -> None:
        """The log writer makes an entry of all that is new; the first one is a snapshot."""
        tenure = self.tenure
        if tenure is None or tenure.term != term:
            return
        tenure.coming = False
        database = self.disk.database
        start = 0 if tenure.txid == 0 else tenure.logged
        content = Content(start, tuple(database[start:]))
        tenure.txid += 1
        tenure.logged = len(database)
        position = Position(term, tenure.txid)
        told = f"{self.name} {position} {content} {tenure.sha256.hex()}"
        head = Head(
            *position, hashlib.sha256(told.encode()).digest(), tenure.sha256, 10 + len(content.operations)
        )
        tenure.sha256 = head.sha256
        self._judge.produced(position, database)
        self.feed(Produced((head,)), {position: content})

    def hand_over(self) -> None:
        """Somebody wants another one to lead."""
        tenure = self.tenure
        if tenure is None or not self.leads or not tenure.writing:
            return
        tenure.writing = False
        if tenure.held.get(tenure.txid + 1):
            self._produce(tenure.term)
        self.feed(HandOver(None))

    def cannot_lead(self) -> bool:
        """Its log writer fails."""
        if not self.up or self.tenure is None:
            return False
        self._soon(0.0, self.feed, CannotLead(self.tenure.term))
        return True

    def damage(self, position: Position) -> None:
        """A stored entry goes bad on the disk, and that is found."""
        self.disk.bad.add(position)
        self._memory.pop(position, None)
        if self.up:
            self._soon(0.0, self.feed, Damaged(position))

    def _committed(self, position: Position) -> None:
        if position.term != self.state.led:
            if not self.settings.witness:
                self._target = position
                self._apply_soon()
            return
        self._judge.committed(self.name, position)
        if self.tenure is None or not self.leads:
            return
        for txid in sorted(self.tenure.held):
            if txid <= position.txid:
                for operation in self.tenure.held.pop(txid):
                    self._judge.answered(self.name, operation, Position(position.term, txid))

    # -- following -------------------------------------------------------------------------

    def _apply_soon(self) -> None:
        if not self._applying and self._wanted is None:
            self._applying = True
            self._soon(self._world.rng.uniform(0.001, 0.05), self._apply)

    def _apply(self) -> None:
        self._applying = False
        target = self.disk.last if self._flaws.applies_uncommitted else self._target
        if self._wanted is not None or target <= self.disk.applied or self.disk.full:
            return
        if self.disk.last.term != target.term:
            return  # a newer term's entries have taken the log's place
        if self._apply_to(target):
            self._judge.applied(self.name, target, self.disk.database)
            self.feed(Applied(target))
        elif self.up:
            self._soon(0.1, self._apply_soon)

    def _apply_to(self, target: Position) -> bool:
        """Whether the database is at ``target`` now: all entries that it takes are there and sound."""
        disk = self.disk
        anew = disk.applied.term != target.term
        first = 1 if anew else disk.applied.txid + 1
        for txid in range(first, target.txid + 1):
            position = Position(target.term, txid)
            if position not in disk.contents or position in disk.bad:
                if position in disk.bad:
                    self.feed(Damaged(position))
                return False
        if anew:
            disk.applied = NOTHING
        for txid in range(first, target.txid + 1):
            disk.apply(Position(target.term, txid))
        if self.breaks and self._world.likely(0.01):
            # The database is changed, and that is not noted.
            self._world.note(self.name, "crashes before what it applied is noted")
            self.crash()
            self._world.after(self._world.rng.uniform(0.05, 1.5), self.boot)
            return False
        disk.applied = target
        return True
