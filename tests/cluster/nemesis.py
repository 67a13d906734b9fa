"""Picks faults and victims by a seed, one after another, and never harms more than a minority at a time."""

import random
from collections import Counter
from collections.abc import Callable, Sequence

from tests.cluster.cluster import Cluster, now
from tests.cluster.faults import FAULTS, Scene, fitting
from tests.cluster.records import FaultRecord

CALM_S = (0.5, 3.0)
"""Between two faults: at random between the two."""
LEADER_SHARE = 0.5
"""How often the leader is among the victims; chance alone would rarely hit it."""

LEADERS = ("hand-over", "rolling restart")
"""Kinds that always hit the leader; the second, one after another, all the others as well."""


class Nemesis:
    """The source of all faults of a run.

    Args:
        cluster: what it harms.
        seed: of its choices.
        loaded: returns when clients get answers; called before each fault, so that none meets idle nodes.
        kinds: of faults, by the names of :data:`FAULTS`; all that fit if empty.
        say: told of each fault as it begins.
    """

    def __init__(
        self,
        cluster: Cluster,
        seed: str,
        *,
        loaded: Callable[[], None],
        kinds: Sequence[str] = (),
        say: Callable[[str], None] = print,
    ) -> None:
        self._cluster = cluster
        self._chance = random.Random(seed)
        self._kinds = list(kinds) or fitting(cluster)
        self._say = say
        self._loaded = loaded
        self.records: list[FaultRecord] = []

    def run(self, until: float) -> None:
        """Harms and waits for recovery until that moment; every node is whole when it returns.

        Raises:
            AssertionError: nodes did not recover in time, from what should have left them able to.
        """
        while now() < until:
            self._loaded()
            self.strike(self._next_kind())
            self._cluster.pass_time(self._chance.uniform(*CALM_S))

    def _next_kind(self) -> str:
        """One of those that were rarest so far, so that each gets its share even in a short run."""
        counts = Counter(dict.fromkeys(self._kinds, 0))
        counts.update(record.kind for record in self.records)
        fewest = min(counts.values())
        return self._chance.choice([kind for kind in self._kinds if counts[kind] == fewest])

    def strike(self, kind: str) -> None:
        """One fault, from its beginning until its victims count again."""
        leader = self._cluster.leader()
        victims = choose_victims(self._cluster.names, leader.name if leader else None, self._chance)
        if kind in LEADERS and leader is not None:
            victims = (leader.name,)
        self._say(f"{kind}: {', '.join(victims)}{' (leads)' if leader and leader.name in victims else ''}")
        began = now()
        FAULTS[kind](Scene(self._cluster, victims, self._chance))
        # Not only the victims: whoever else lost something by it counts as harmed as well.
        self._cluster.wait_until_whole(self._cluster.names)
        self.records.append(
            FaultRecord(
                kind=kind,
                victims=list(victims),
                leader=leader.name if leader else "",
                began=began,
                ended=now(),
            )
        )


def choose_victims(names: Sequence[str], leader: str | None, chance: random.Random) -> tuple[str, ...]:
    """Some nodes, but never so many that the others are no majority; one, where there is none to spare.

    Args:
        names: of all nodes.
        leader: who leads, if anybody knows.
        chance: for the choice.
    """
    count = chance.randint(1, max(1, (len(names) - 1) // 2))
    if leader is not None and chance.random() < LEADER_SHARE:
        others = [name for name in names if name != leader]
        return (leader, *chance.sample(others, count - 1))
    return tuple(chance.sample(list(names), count))
