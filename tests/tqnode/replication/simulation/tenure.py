"""A simulated leadership: clients write to the opened database, and the log writer makes entries of that."""

import hashlib
from collections.abc import Callable

from tests.tqnode.replication.simulation.disk import Content
from tests.tqnode.replication.simulation.judge import Judge
from tests.tqnode.replication.simulation.machine import Machine
from tests.tqnode.replication.simulation.standby import Standby
from tests.tqnode.replication.simulation.world import World
from tqnode.replication.entry import Head, Position
from tqnode.replication.events import Produced

Produce = Callable[[Produced, dict[Position, Content]], None]


class Tenure:
    """From ``Lead`` to ``StepDown``.

    Args:
        name: of the leader.
        term: that it leads.
        machine: it runs on.
        standby: whose database it takes.
        world: time and chance.
        judge: hears of all it does.
        produce: tells the core of an entry.
        fail: tells the core that it can't lead.
    """

    def __init__(
        self,
        name: str,
        term: int,
        machine: Machine,
        *,
        standby: Standby,
        world: World,
        judge: Judge,
        produce: Produce,
        fail: Callable[[], None],
    ) -> None:
        self.term = term
        self.writes = False
        """Whether it takes operations; not before its database is open, nor after a hand-over has begun."""
        self.serving = False
        """Whether clients are answered: a majority has its snapshot."""
        self.over = False
        self._name = name
        self._machine = machine
        self._standby = standby
        self._world = world
        self._judge = judge
        self._produce = produce
        self._fail = fail
        self._txid = 0
        self._sha256 = b""
        self._logged = 0
        self._coming = False
        self._held: dict[int, list[int]] = {}
        """By entry, the operations whose clients wait for it."""
        standby.halt()
        self._wait_for_stores()

    def end(self) -> None:
        """What is not answered by now never is."""
        self.over = True
        self.writes = False
        self._standby.go_on()

    def _wait_for_stores(self) -> None:
        if self.over:
            return
        if self._standby.working or not self._machine.disk.idle:
            self._machine.soon(0.002, self._wait_for_stores)
        else:
            self._machine.soon(self._world.rng.uniform(0.002, 0.1), self._open)

    def _open(self) -> None:
        """Applies the whole log and opens the database."""
        if not self.over and not self._standby.take_all(self.term, self._begin):
            self._fail()

    def _begin(self) -> None:
        if not self.over:
            self._coming = self.writes = True
            self._machine.soon(self._world.rng.uniform(0.005, 0.1), self._make_entry)

    def write(self, operation: int) -> bool:
        """Commits a client's operation on this disk, to be answered later; False if it is refused."""
        if not self.writes or not self.serving or self._machine.disk.full:
            return False
        self._machine.disk.database.append(operation)
        self._held.setdefault(self._txid + 1, []).append(operation)
        if not self._coming:
            self._coming = True
            self._machine.soon(self._world.rng.uniform(0.001, 0.02), self._make_entry)
        return True

    def _make_entry(self) -> None:
        """The log writer makes an entry of all that is new; the first one is a snapshot."""
        self._coming = False
        if self.over:
            return
        database = self._machine.disk.database
        start = 0 if self._txid == 0 else self._logged
        content = Content(start, tuple(database[start:]))
        self._txid += 1
        self._logged = len(database)
        position = Position(self.term, self._txid)
        told = f"{self._name} {position} {content} {self._sha256.hex()}"
        sha256 = hashlib.sha256(told.encode()).digest()
        head = Head(*position, sha256, self._sha256, 10 + len(content.operations))
        self._sha256 = sha256
        self._judge.produced(position, database)
        self._produce(Produced((head,)), {position: content})

    def stop_writing(self) -> bool:
        """Takes no operation from now on, and logs those it took; False if it takes none anyway."""
        if not self.writes or self._txid == 0:
            return False
        self.writes = False
        if self._held.get(self._txid + 1):
            self._make_entry()
        return not self.over

    def go_on(self) -> None:
        self.writes = True

    def answer(self, txid: int) -> bool:
        """Answers the clients whose operations are in the entries up to ``txid``; says if there are any."""
        before = len(self._held)
        for held in sorted(self._held):
            if held <= txid:
                for operation in self._held.pop(held):
                    self._judge.answered(self._name, operation, Position(self.term, held))
        return len(self._held) < before
