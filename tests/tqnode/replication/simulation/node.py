"""One simulated node: carries out the core's effects as the real driver does, on a simulated machine."""

from collections import deque
from collections.abc import Callable, Mapping

from tests.tqnode.replication.simulation.disk import Content, Disk
from tests.tqnode.replication.simulation.flaws import Flaws
from tests.tqnode.replication.simulation.judge import Judge, Violation
from tests.tqnode.replication.simulation.machine import Machine
from tests.tqnode.replication.simulation.network import Network
from tests.tqnode.replication.simulation.standby import Standby
from tests.tqnode.replication.simulation.tenure import Tenure
from tests.tqnode.replication.simulation.world import World
from tqnode.replication import effects as do
from tqnode.replication import step as core
from tqnode.replication.entry import Head, Position
from tqnode.replication.events import (
    CannotLead,
    Damaged,
    Event,
    HandOver,
    Mended,
    Received,
    Stored,
    Tick,
)
from tqnode.replication.messages import AnyMessage, Append, Ask, Lend, Vote
from tqnode.replication.state import NEVER, Settings, State

TICKS_IN_A_LEASE = 8
ANEW_S = 0.3
Contents = Mapping[Position, Content]
NOTHING_BESIDE: Contents = {}


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
        super().__init__(world, disk, rate=rate, offset=offset)
        self.name = settings.name
        self.settings = settings
        self.others: dict[str, Node] = {}
        self.moment: Callable[[Node, do.Effect], None] | None = None
        """Is told of each effect, before it is carried out; may crash the node, and more."""
        self.barred = False
        """It does not come up."""
        self.leads_until = NEVER
        self._network = network
        self._judge = judge
        self._flaws = flaws
        self._tenure: Tenure | None = None
        self._memory: dict[Position, Content] = {}
        self._inbox: deque[tuple[Event, Contents]] = deque()
        self._to_do: deque[do.Effect] = deque()
        self._taking = False
        self._waits_for_room = False
        self.state: State
        self._standby: Standby

    @property
    def leads(self) -> bool:
        """Whether it believes at this moment that its lease holds."""
        return self.up and self.clock() < self.leads_until

    # -- life and death --------------------------------------------------------------------

    def boot(self) -> None:
        if self.up or self.barred:
            return
        self.up = True
        self.epoch += 1
        self._begin()
        self.soon(0.0, self._tick)

    def _begin(self) -> None:
        self._forget()
        self._waits_for_room = False
        self._standby = Standby(
            self.name,
            self,
            world=self._world,
            judge=self._judge,
            flaws=self._flaws,
            feed=self.feed,
        )
        self.state = core.start(self.settings, self.disk.durable(), self.clock())
        for position in sorted(self.disk.bad):
            self.feed(Damaged(position))

    def _forget(self) -> None:
        self._memory.clear()
        self._inbox.clear()
        self._to_do.clear()
        self._taking = False
        self._tenure = None
        self.leads_until = NEVER

    def crash(self) -> None:
        """Ends at once; what is not synced is gone, or some of it."""
        self.lose_power()
        self._forget()

    def _disk_is_full(self) -> None:
        """Takes part in nothing for a while, and starts from what is on the disk."""
        if not self._waits_for_room:
            self._forget()
            self._waits_for_room = True
            self.epoch += 1
            self.soon(ANEW_S, self._restart)

    def _restart(self) -> None:
        if not self.disk.idle:
            self.soon(ANEW_S, self._restart)
            return
        self._begin()
        self.feed(CannotLead(self.state.term))
        self._tick()

    # -- events ----------------------------------------------------------------------------

    def _tick(self) -> None:
        self.feed(Tick(self._world.rng.random(), alive=self._world.now >= self.stalled_until))
        self.soon(self.settings.lease_ttl_s / TICKS_IN_A_LEASE / self._rate, self._tick)

    def receive(self, event: Received, contents: Contents) -> None:
        """A message has arrived at the machine."""
        if self.up:
            self._come(self.epoch, self.feed, (event, contents))

    def feed(self, event: Event, contents: Contents = NOTHING_BESIDE) -> None:
        """Has the core take a step, and does what it says; after what it does already."""
        if not self.up or self._waits_for_room:
            return
        self._inbox.append((event, contents))
        if not self._taking:
            self._take_all()

    def _take_all(self) -> None:
        epoch = self.epoch
        while self._inbox and self.epoch == epoch:
            self._taking = True
            self._take(*self._inbox.popleft())
            if not self._work():
                return
            self._taking = False

    def _take(self, event: Event, contents: Contents) -> None:
        world = self._world
        world.steps += 1
        if contents:
            self._memory.update(contents)
        if world.traced and _is_interesting(event):
            world.note(self.name, f"<- {event!s:.170}")
        before = self.state
        self.state, effects = core.step(self.settings, before, event, self.clock())
        self._judge.stepped(self.name, before, self.state)
        if self.state.role == "leader":
            self.leads_until = self.state.lease_until
        self._to_do.extend(effects)

    # -- effects ---------------------------------------------------------------------------

    def _work(self) -> bool:
        """Carries out what is to be done; False if something has to be waited for, or the node is down."""
        to_do = self._to_do
        epoch = self.epoch
        while to_do:
            effect = to_do.popleft()
            if self._world.traced and _is_interesting(effect):
                self._world.note(self.name, f"{effect!s:.170}")
            if self.moment is not None:
                self.moment(self, effect)
                if self.epoch != epoch:
                    return False
                if self._world.now < self.paused_until:
                    to_do.appendleft(effect)
                    self.soon(0.0, self._worked)
                    return False
            if isinstance(effect, do.SaveRow):
                self._save(effect)
                return False
            self._carry_out(effect)
        return self.epoch == epoch

    def _worked(self) -> None:
        if self._work():
            self._taking = False
            self._take_all()

    def _save(self, effect: do.SaveRow) -> None:
        disk = self.disk
        row, fresh = effect.row, effect.fresh
        self.write(lambda: disk.save(row, fresh), self._worked, told_early=self._flaws.rows_told_early)

    def _carry_out(self, effect: do.Effect) -> None:
        match effect:
            case do.Send():
                self._send(effect.to, effect.message)
            case do.Store():
                self._store(effect.heads)
            case do.Committed():
                self._committed(effect.position)
            case do.Mend():
                self._mend(effect.head)
            case do.Trim():
                disk, before = self.disk, effect.before
                if self._world.likely(0.7):
                    self.write(lambda: disk.trim(before), _nothing)
            case do.Lead():
                self._lead(effect.term)
            case do.Serve():
                self._judge.serves(self.name, effect.term)
                if self._tenure is not None:
                    self._tenure.serving = True
                self._look_who_leads()
            case do.StepDown():
                self.leads_until = NEVER
                if self._tenure is not None:
                    self._tenure.end()
                    self._tenure = None
            case do.StayLeader():
                if self._tenure is not None:
                    self._tenure.go_on()
            case do.Alarm():
                raise Violation(f"{self.name} raises an alarm: {effect.what}")

    def _store(self, heads: tuple[Head, ...]) -> None:
        disk, judge, name = self.disk, self._judge, self.name
        entries = [(head, self._memory[head.position]) for head in heads]

        def change() -> None:
            disk.store(entries)
            judge.stored(name, heads)

        last = heads[-1].position
        self.write(change, lambda: self._stored(last), told_early=self._flaws.stores_told_early)

    def _stored(self, last: Position) -> None:
        if self._flaws.answers_stored and self._tenure is not None and self.leads:
            self._tenure.answer(last.txid)
        self.feed(Stored(last))

    def _mend(self, head: Head) -> None:
        disk, content = self.disk, self._memory[head.position]
        self.write(lambda: disk.mend(head, content), lambda: self.feed(Mended(head.position)))

    def _send(self, to: str, message: AnyMessage) -> None:
        if isinstance(message, Vote) and message.yes:
            self._judge.voted(self.disk.node_id, message.term, to)
        elif isinstance(message, Ask):
            self._judge.voted(self.disk.node_id, message.term, self.name)
        contents = NOTHING_BESIDE
        if isinstance(message, Append | Lend) and message.heads:
            read = self._read(message.heads)
            if read is None:
                return
            contents = read
        event = Received(self.name, self.disk.node_id, message)
        self._network.send(self.name, to, self.others[to].receive, event, contents)

    def _read(self, heads: tuple[Head, ...]) -> Contents | None:
        """What goes with a message; None if some is gone, or damaged, which is told."""
        contents: dict[Position, Content] = {}
        for head in heads:
            position = head.position
            content = self._memory.get(position)
            if content is None and position in self.disk.bad:
                self.soon(0.0, self.feed, Damaged(position))
            elif content is None:
                content = self.disk.contents.get(position)
            if content is None:
                return None
            contents[position] = content
        return contents

    def _committed(self, position: Position) -> None:
        if position.term != self.state.led:
            if not self.settings.witness:
                self._standby.reach(position)
            return
        self._judge.committed(self.name, position)
        if self._tenure is not None and self.leads and self._tenure.answer(position.txid):
            self._look_who_leads()

    def _look_who_leads(self) -> None:
        self._judge.alone([name for name, node in self.others.items() if node.leads])

    # -- leading ---------------------------------------------------------------------------

    def _lead(self, term: int) -> None:
        self._judge.elected(self.name, term)
        self._tenure = Tenure(
            self.name,
            term,
            self,
            standby=self._standby,
            world=self._world,
            judge=self._judge,
            produce=self.feed,
            fail=lambda: self.feed(CannotLead(term)),
        )

    def write_operation(self, operation: int) -> bool:
        """A client's operation comes; False if it is refused, or not heard."""
        tenure = self._tenure
        if tenure is None or not self.leads or self._world.now < self.paused_until:
            return False
        return tenure.write(operation)

    def hand_over(self, to: str | None) -> bool:
        """Somebody wants another one to lead."""
        ready = self._tenure is not None and self.leads and self._world.now >= self.paused_until
        if not ready or self._tenure is None or not self._tenure.stop_writing():
            return False
        self.feed(HandOver(to))
        return True

    def cannot_lead(self) -> bool:
        """Its log writer fails."""
        if not self.up or self._tenure is None:
            return False
        self.soon(0.0, self.feed, CannotLead(self._tenure.term))
        return True

    def damage(self, position: Position, *, found: bool) -> None:
        """A stored entry goes bad on the disk: that is found now, or when it is read, or at a start."""
        self.disk.bad.add(position)
        if position.txid not in self.state.mending:  # else its bytes have just come again
            self._memory.pop(position, None)
        if self.up and found:
            self.soon(0.0, self.feed, Damaged(position))


def _nothing() -> None:
    """A change that nobody waits for."""


def _is_interesting(what: Event | do.Effect) -> bool:
    """Whether a reader of the trace wants to see it: renewals and ticks are too many."""
    if isinstance(what, Received | do.Send):
        return not isinstance(what.message, Append) or bool(what.message.heads)
    return not isinstance(what, Tick)
