"""What must hold in every run, whatever happens: seen from outside, with more knowledge than any node has."""

from collections.abc import Collection

from tqnode.replication.entry import Head, Position
from tqnode.replication.state import State


class Violation(AssertionError):
    """A promise was broken."""


class Judge:
    """Hears of all that nodes do, and raises as soon as something can't be.

    Args:
        nodes: how many are configured.
    """

    def __init__(self, nodes: int) -> None:
        self._majority = nodes // 2 + 1
        self._votes: dict[tuple[str, int], str] = {}
        self._elected: dict[int, str] = {}
        self._shas: dict[Position, bytes] = {}
        self._holders: dict[Position, set[str]] = {}
        self._committed: dict[int, int] = {}
        self._states: dict[Position, tuple[int, ...]] = {}
        self._history: tuple[int, ...] = ()
        """The longest database that was ever committed."""
        self._answering: dict[int, str] = {}
        self._places: dict[int, tuple[int, int]] = {}
        """By term, the lowest and the highest place in the history that was answered."""
        self._bases: dict[int, frozenset[int]] = {}
        self._floors: dict[int, int] = {}
        self._floor = -1
        self.acked: dict[int, Position] = {}
        """The operations that clients were told to be done, and where they stand."""
        self.clocks_run = True
        """No clock stands still: then one node at most may believe at a moment that its lease holds."""
        self.shared_leases = 0
        """How often two nodes were seen to believe at one moment that they lead."""

    def stepped(self, name: str, before: State, after: State) -> None:
        """A core has taken a step."""
        if after.committed is not before.committed and after.committed < before.committed:
            raise Violation(f"{name} knew {before.committed} to be committed, and now {after.committed}")
        if after.row is not before.row and after.row.term < before.row.term:
            raise Violation(f"{name} goes from {before.row} back to {after.row}")

    def voted(self, node_id: str, term: int, candidate: str) -> None:
        """A disk gave a vote; it is told of at this moment."""
        before = self._votes.setdefault((node_id, term), candidate)
        # One more for whom a majority has elected already changes nothing.
        if before != candidate and self._elected.get(term) != candidate:
            raise Violation(f"disk {node_id} voted for {before} and for {candidate} in term {term}")

    def elected(self, name: str, term: int) -> None:
        """A node was elected, as it believes."""
        if self._elected.setdefault(term, name) != name:
            raise Violation(f"{name} was elected in term {term}, and so was {self._elected[term]}")

    def stored(self, name: str, heads: tuple[Head, ...]) -> None:
        """A node's disk has entries, synced."""
        for head in heads:
            position = head.position
            if self._shas.setdefault(position, head.sha256) != head.sha256:
                raise Violation(f"two entries stand at {position}")
            self._holders.setdefault(position, set()).add(name)

    def produced(self, position: Position, database: list[int]) -> None:
        """A leader's log has come to ``position``; its database is as given there."""
        self._states[position] = tuple(database)

    def committed(self, name: str, position: Position) -> None:
        """A leader says that a majority has all up to ``position``."""
        holders = self._holders.get(position, set())
        if len(holders) < self._majority:
            raise Violation(
                f"{name} says that {position} is committed, and only {sorted(holders)} ever had it"
            )
        term, txid = position
        before = self._committed.get(term, 0)
        if txid < before:
            raise Violation(f"{name} says that term {term} is committed up to {txid}: it was {before}")
        self._committed[term] = txid
        self._history = self._longer(f"{name} commits {position}", self._states[position])

    def _longer(self, what: str, state: tuple[int, ...]) -> tuple[int, ...]:
        """The longer one of the history and ``state``; one must begin with the other."""
        history = self._history
        short, long = (state, history) if len(state) < len(history) else (history, state)
        if long[: len(short)] != short:
            raise Violation(f"{what}, which is another history: {_parting(history, state)}")
        return long

    def invoked(self, operation: int) -> None:
        """A client sends an operation: it must come after all that were answered before."""
        self._floors[operation] = self._floor

    def answered(self, name: str, operation: int, position: Position) -> None:
        """A client was told that its operation is done."""
        term = position.term
        if self._answering.setdefault(term, name) != name:
            raise Violation(f"{name} answers in term {term}, and so did {self._answering[term]}")
        for newer, base in self._bases.items():
            if newer > term and operation not in base:
                raise Violation(
                    f"{name} answers operation {operation} at {position}: term {newer} never had it"
                )
        place = self._states[position].index(operation)
        if place <= self._floors[operation]:
            raise Violation(
                f"operation {operation} stands before one that was answered when it had not yet begun"
            )
        for other, (lowest, highest) in self._places.items():
            if (other < term and highest >= place) or (other > term and lowest <= place):
                raise Violation(f"place {place} is answered in term {term}, {lowest} to {highest} in {other}")
        lowest, highest = self._places.get(term, (place, place))
        self._places[term] = (min(lowest, place), max(highest, place))
        self._floor = max(self._floor, place)
        self.acked[operation] = position

    def serves(self, name: str, term: int) -> None:
        """A leader begins to answer from what its first entry has."""
        snapshot = self._states.get(Position(term, 1))
        if snapshot is None:
            raise Violation(f"{name} serves in term {term} without a snapshot")
        base = frozenset(snapshot)
        lost = [operation for operation, at in self.acked.items() if at.term < term and operation not in base]
        if lost:
            raise Violation(
                f"{name} serves in term {term} without {len(lost)} answered operations: {lost[:5]}"
            )
        self._longer(f"{name} serves in term {term}", snapshot)
        self._bases[term] = base

    def applied(self, name: str, position: Position, database: list[int]) -> None:
        """A standby's database was brought to ``position``."""
        if position.txid > self._committed.get(position.term, 0):
            raise Violation(f"{name} applied {position}, which is not committed")
        if self._states[position] != tuple(database):
            raise Violation(f"{name} has another database at {position} than its leader had")

    def alone(self, leading: Collection[str]) -> None:
        """These nodes believe at one moment that their lease holds."""
        if len(leading) > 1:
            self.shared_leases += 1
            if self.clocks_run:
                raise Violation(f"{sorted(leading)} hold a lease at the same time")

    def ends(self, databases: dict[str, list[int]]) -> None:
        """All is well again, and everybody has had time."""
        if len({tuple(database) for database in databases.values()}) != 1:
            sizes = {name: len(database) for name, database in databases.items()}
            raise Violation(f"the databases differ though all is well: {sizes}")
        for name, database in databases.items():
            lost = self.acked.keys() - set(database)
            if lost:
                raise Violation(
                    f"{name} lacks {len(lost)} answered operations at the end: {sorted(lost)[:5]}"
                )
            self._longer(f"{name} ends", tuple(database))


def _parting(one: tuple[int, ...], other: tuple[int, ...]) -> str:
    place = next(at for at in range(min(len(one), len(other))) if one[at] != other[at])
    return f"at place {place} there are {one[place]} and {other[place]}"
