"""The database of a simulated node that does not lead: brought to where the log is committed."""

from collections.abc import Callable

from tests.tqnode.replication.simulation.disk import AHEAD, Content
from tests.tqnode.replication.simulation.flaws import Flaws
from tests.tqnode.replication.simulation.judge import Judge
from tests.tqnode.replication.simulation.machine import Machine
from tests.tqnode.replication.simulation.world import World
from tqnode.replication.entry import NOTHING, Position
from tqnode.replication.events import Applied, Damaged, Event

BATCH_ENTRIES = 4
AGAIN_S = 0.1


class Standby:
    """Lives as long as the process.

    Args:
        name: of the node.
        machine: it runs on.
        world: time and chance.
        judge: hears what is applied.
        flaws: what it does wrong.
        feed: tells the core.
    """

    def __init__(
        self,
        name: str,
        machine: Machine,
        *,
        world: World,
        judge: Judge,
        flaws: Flaws,
        feed: Callable[[Event], None],
    ) -> None:
        self._name = name
        self._machine = machine
        self._disk = machine.disk
        self._world = world
        self._judge = judge
        self._flaws = flaws
        self._feed = feed
        self._target = NOTHING
        self._halted = False
        self.working = False
        self.applied = machine.disk.applied

    def reach(self, committed: Position) -> None:
        """Has it apply all up to ``committed``."""
        self._target = max(self._target, committed)
        self._wake()

    def halt(self) -> None:
        """Begins nothing from now on."""
        self._halted = True

    def go_on(self) -> None:
        self._halted = False
        self._wake()

    def _wake(self) -> None:
        if not self.working and not self._halted:
            self.working = True
            self._machine.soon(self._world.rng.uniform(0.001, 0.05), self._work)

    def _work(self) -> None:
        self.working = False
        target = self._disk.last if self._flaws.applies_uncommitted else self._target
        if self._halted or target <= self.applied or self._disk.last.term != target.term:
            return  # or a newer term's entries have taken the log's place: they are committed later
        first = self._first(target)
        target = Position(target.term, min(target.txid, first + BATCH_ENTRIES - 1))
        contents = self._read(first, target)
        if contents is None:
            self._machine.soon(AGAIN_S, self._wake)
            return
        self.working = True
        if first == 1 and self.applied != NOTHING:
            # Should the snapshot be half there after a crash, what was there before is worth nothing.
            self._machine.write(lambda: self._disk.note(NOTHING), lambda: self._apply(target, contents))
        else:
            self._apply(target, contents)

    def _first(self, target: Position) -> int:
        return self.applied.txid + 1 if self.applied.term == target.term else 1

    def _read(self, first: int, target: Position) -> list[Content] | None:
        """The entries' contents; None if some are damaged, which is told, or not there."""
        disk = self._disk
        contents: list[Content] = []
        for txid in range(first, target.txid + 1):
            position = Position(target.term, txid)
            if position not in disk.contents:
                return None
            if position in disk.bad:
                self._machine.soon(0.0, self._feed, Damaged(position))
                return None
            contents.append(disk.contents[position])
        return contents

    def _apply(self, target: Position, contents: list[Content]) -> None:
        disk = self._disk
        disk.tear(contents[0])
        self._machine.write(lambda: disk.apply(contents), lambda: self._note(target))

    def _note(self, target: Position) -> None:
        self._judge.applied(self._name, target, self._disk.database)
        self._machine.write(
            lambda: self._disk.note(target),
            lambda: self._noted(target),
            told_early=self._flaws.applied_told_early,
        )

    def _noted(self, target: Position) -> None:
        self.applied = target
        self.working = False
        self._feed(Applied(target))
        self._wake()

    def take_all(self, term: int, then: Callable[[], object]) -> bool:
        """Applies the whole log, committed or not, and notes that ``term`` writes; False if it can't."""
        disk = self._disk
        last = disk.last
        if last > self.applied:
            contents = self._read(self._first(last), last)
            if contents is None or disk.full:
                return False
            disk.tear(contents[0])
            self._machine.write(lambda: disk.apply(contents), lambda: None)
        if self._flaws.forgets_to_be_ahead:
            self.applied = last
        else:
            self.applied = Position(term, AHEAD)
        ahead = self.applied
        self._machine.write(lambda: disk.note(ahead), then)
        return True
