"""One node's core for tests: fed with events by hand, its effects looked at."""

from collections.abc import Iterator
from typing import TypeVar

from tests.tqnode.replication.log_entries import chain
from tqnode.replication.effects import Effect, Row, SaveRow, Send, Store
from tqnode.replication.entry import NOTHING, Head, Position
from tqnode.replication.events import Event, Received, Stored, Tick
from tqnode.replication.messages import AnyMessage, Append, Appended, Ask, Vote, Would, WouldYou
from tqnode.replication.state import Durable, Settings, State
from tqnode.replication.step import start, step

TTL_S = 2.0
NO_ROW = Row(0, "")
EffectT = TypeVar("EffectT", bound=Effect)
MessageT = TypeVar("MessageT", bound=AnyMessage)


def heads_of_term(term: int, count: int, *, first: int = 1, size: int = 10) -> tuple[Head, ...]:
    """The entries (term, first), … of that term's one log."""
    return tuple(head for head, _ in chain(term, [size] * (first + count - 1)))[first - 1 :]


class CoreNode:
    """Node ``a`` of a cluster, by default of a, b and c; time stands still unless a call says ``at``.

    Args:
        row: the lease row on its disk.
        heads: the entries on its disk.
        applied: position up to which its database is.
        fresh: its disk came empty.
        options: of ``Settings``.
    """

    def __init__(
        self,
        *,
        row: Row = NO_ROW,
        heads: tuple[Head, ...] = (),
        applied: Position = NOTHING,
        fresh: bool = False,
        **options: object,
    ) -> None:
        fields: dict[str, object] = {"name": "a", "peers": frozenset({"b", "c"}), "lease_ttl_s": TTL_S}
        self.settings = Settings(**(fields | options))  # type: ignore[arg-type]  # any of its fields
        self.now = 1000.0
        self.disk = Durable(node_id="disk-a", row=row, fresh=fresh, heads=heads, applied=applied)
        self.state: State = start(self.settings, self.disk, self.now)
        self.effects: list[Effect] = []

    def step(self, event: Event, *, at: float | None = None) -> list[Effect]:
        """Feeds an event; ``at`` is in seconds since the node's start."""
        if at is not None:
            assert 1000.0 + at >= self.now
            self.now = 1000.0 + at
        self.state, self.effects = step(self.settings, self.state, event, self.now)
        return self.effects

    def hear(
        self, sender: str, message: AnyMessage, *, at: float | None = None, disk: str = ""
    ) -> list[Effect]:
        return self.step(Received(sender, disk or f"disk-{sender}", message), at=at)

    def tick(self, *, at: float | None = None, jitter: float = 0.0, alive: bool = True) -> list[Effect]:
        return self.step(Tick(jitter, alive), at=at)

    def store_all(self) -> list[Effect]:
        """Tells that all it has asked to store is stored."""
        return self.step(Stored(self.state.heads.position))

    def done(self, kind: type[EffectT]) -> list[EffectT]:
        """The effects of the last step that are of one kind."""
        return [effect for effect in self.effects if isinstance(effect, kind)]

    def sent(self, kind: type[MessageT], *, to: str | None = None) -> list[MessageT]:
        """The messages of one kind that the last step sent."""
        return [message for _, message in self._messages(kind, to)]

    def receivers(self, kind: type[MessageT]) -> set[str]:
        return {to for to, _ in self._messages(kind, None)}

    def _messages(self, kind: type[MessageT], to: str | None) -> Iterator[tuple[str, MessageT]]:
        for effect in self.done(Send):
            if isinstance(effect.message, kind) and to in (None, effect.to):
                yield effect.to, effect.message

    def stand(self, *, at: float | None = None) -> Ask:
        """Makes it a candidate, by the consent of b; the question for votes."""
        self.tick(at=at)
        question = self.sent(WouldYou, to="b")[0]
        self.hear("b", Would(self.state.term, question.round, True, False))
        return self.sent(Ask, to="b")[0]

    def lead(self, *, at: float | None = None) -> int:
        """Makes it leader, by the vote of b; the term."""
        question = self.stand(at=at)
        self.hear("b", Vote(question.term, question.round, True))
        assert self.state.role == "leader"
        return question.term

    def saved(self) -> Row | None:
        """The row that the last step saved."""
        rows = self.done(SaveRow)
        return rows[-1].row if rows else None

    def stored(self) -> list[int]:
        """The txids that the last step asked to store."""
        return [head.txid for store in self.done(Store) for head in store.heads]


def append(
    term: int,
    heads: tuple[Head, ...] = (),
    *,
    commit: int = 0,
    sent: float = 1.0,
    admit: str | None = None,
    kept: int = 1,
) -> Append:
    return Append(term, heads, commit, sent, admit, kept)


def appended(
    term: int,
    last: int = 0,
    *,
    taken: int = 0,
    applied: int = 0,
    sent: float = 1.0,
    counts: bool = True,
    eligible: bool = True,
    gap: bool = False,
    witness: bool = False,
) -> Appended:
    return Appended(
        term, last, max(last, taken), Position(term, applied), sent, counts, eligible, gap, witness
    )
