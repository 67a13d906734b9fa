"""What must hold in every run, whatever happens: seen from outside, with more knowledge than any node has."""

from collections.abc import Collection

from tqnode.replication.entry import Head, Position


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
        self._states: dict[Position, int] = {}
        self._answering: dict[int, str] = {}
        self._bases: dict[int, frozenset[int]] = {}
        self.acked: dict[int, Position] = {}
        """The operations that clients were told to be done, and where they stand."""

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

    def stored(self, name: str, head: Head) -> None:
        """A node's disk has an entry, synced."""
        if self._shas.setdefault(head.position, head.sha256) != head.sha256:
            raise Violation(f"two entries stand at {head.position}")
        self._holders.setdefault(head.position, set()).add(name)

    def produced(self, position: Position, database: Collection[int]) -> None:
        """A leader's log has come to ``position``; its database is as given there."""
        self._states[position] = hash(tuple(database))

    def committed(self, name: str, position: Position) -> None:
        """A leader says that a majority has all up to ``position``."""
        holders = self._holders.get(position, set())
        if len(holders) < self._majority:
            raise Violation(
                f"{name} says that {position} is committed, and only {sorted(holders)} ever had it"
            )
        before = self._committed.get(position.term, 0)
        if position.txid < before:
            raise Violation(
                f"{name} says that term {position.term} is committed up to {position.txid}: it was {before}"
            )
        self._committed[position.term] = position.txid

    def answered(self, name: str, operation: int, position: Position) -> None:
        """A client was told that its operation is done."""
        if self._answering.setdefault(position.term, name) != name:
            raise Violation(
                f"{name} answers in term {position.term}, and so did {self._answering[position.term]}"
            )
        for term, base in self._bases.items():
            if term > position.term and operation not in base:
                raise Violation(
                    f"{name} answers operation {operation} at {position}: term {term} never had it"
                )
        self.acked[operation] = position

    def serves(self, name: str, term: int, database: Collection[int]) -> None:
        """A leader begins to answer from its database."""
        base = frozenset(database)
        lost = [operation for operation, at in self.acked.items() if at.term < term and operation not in base]
        if lost:
            raise Violation(
                f"{name} serves in term {term} without {len(lost)} answered operations: {lost[:5]}"
            )
        self._bases[term] = base

    def applied(self, name: str, position: Position, database: Collection[int]) -> None:
        """A standby's database was brought to ``position``."""
        if position.txid > self._committed.get(position.term, 0):
            raise Violation(f"{name} applied {position}, which is not committed")
        if self._states[position] != hash(tuple(database)):
            raise Violation(f"{name} has another database at {position} than its leader had")

    def alone(self, leading: Collection[str]) -> None:
        """These nodes believe at one moment that their lease holds."""
        if len(leading) > 1:
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
