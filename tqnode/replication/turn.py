"""One step under way: what the modules of the core read the state from, and write their changes to."""

from typing import Any

import msgspec

from tqnode.replication.effects import Effect, SaveRow, Send, StepDown
from tqnode.replication.effects import Row as LeaseRow
from tqnode.replication.messages import AnyMessage
from tqnode.replication.messages import Release as ReleaseMessage
from tqnode.replication.state import NEVER, Settings, State


class Turn:
    """Lives for one step and is seen by nobody outside; the states before and after are values.

    Args:
        settings: of the node.
        state: before the step.
        now: the node's clock, in seconds.
    """

    __slots__ = ("effects", "now", "settings", "state")

    def __init__(self, settings: Settings, state: State, now: float) -> None:
        self.settings = settings
        self.state = state
        self.now = now
        self.effects: list[Effect] = []

    # mypy can't check replace()'s keywords against the struct's fields; an unknown one raises TypeError.
    def put(self, **changes: Any) -> None:
        self.state = msgspec.structs.replace(self.state, **changes)

    def do(self, effect: Effect) -> None:
        self.effects.append(effect)

    def send(self, to: str, message: AnyMessage) -> None:
        self.effects.append(Send(to, message))


def adopt(turn: Turn, term: int, holder: str) -> None:
    """Saves a new row; what the node was in the old term is over."""
    state = turn.state
    if state.role == "leader":
        step_down(turn, f"term {term} has begun")
    row = LeaseRow(term, holder)
    turn.put(
        row=row,
        seen=max(state.seen, term),
        role="follower",
        leader=None,
        campaign=None,
        sent=NEVER,
        leader_commit=0,
        leader_kept=0,
    )
    turn.do(SaveRow(row, turn.state.fresh))


def step_down(turn: Turn, why: str) -> None:
    """From leader to follower."""
    state = turn.state
    turn.put(
        role="follower",
        leader=None,
        lease_until=turn.now,
        campaign=None,
        peers={},
        newcomers={},
        serving=False,
        handover=None,
    )
    if state.heads.term == state.term:
        turn.put(applied=state.heads.position)
    turn.do(StepDown(state.term, why))


def give_up(turn: Turn, why: str) -> None:
    """From leader to follower by will: the others need not wait for the lease to run out."""
    term = turn.state.term
    step_down(turn, why)
    for peer in sorted(turn.settings.peers):
        turn.send(peer, ReleaseMessage(term))


def learn_disk(turn: Turn, name: str, node_id: str, *, fresh: bool) -> None:
    """Remembers who has an empty disk, until that name speaks with one that counts.

    A late word of the disk before may make it forget too early. Then the new one is admitted later, no more:
    by itself it gives no vote.
    """
    strangers = turn.state.strangers
    if fresh and strangers.get(name) != node_id:
        turn.put(strangers={**strangers, name: node_id})
    elif not fresh and name in strangers:
        turn.put(strangers={other: of for other, of in strangers.items() if other != name})


def learn_term(turn: Turn, term: int) -> None:
    """Remembers a higher term, so as to ask for a higher one still."""
    if term > turn.state.seen:
        turn.put(seen=term)
