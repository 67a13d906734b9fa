"""What holds at every step, whatever happens; the simulation beside this holds whole clusters to more."""

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.tqnode.replication.core_node import TTL_S, CoreNode, append, heads_of_term
from tqnode.replication.effects import Committed, Lead, Row, SaveRow, Send, StepDown, Store
from tqnode.replication.entry import NOTHING, Position
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
from tqnode.replication.messages import (
    AnyMessage,
    Append,
    Appended,
    Ask,
    Lend,
    Release,
    TakeOver,
    Vote,
    Would,
    WouldYou,
)
from tqnode.replication.state import Settings, State
from tqnode.replication.step import step

TERMS, TXIDS = 4, 4
LOGS = {term: heads_of_term(term, TXIDS) for term in range(1, TERMS + 1)}

terms = st.integers(1, TERMS)
txids = st.integers(0, TXIDS)
positions = st.builds(Position, terms, txids)
times = st.floats(990, 1010)
bools = st.booleans()
peers = st.sampled_from("bc")
rounds = st.integers(0, 5)


@st.composite
def runs(draw: st.DrawFn) -> tuple[int, tuple[object, ...]]:
    term, first, last = draw(terms), draw(txids), draw(txids)
    return term, LOGS[term][first:last]


messages: st.SearchStrategy[AnyMessage] = st.one_of(
    st.builds(WouldYou, terms, positions, rounds, terms),
    st.builds(Would, terms, rounds, bools, bools),
    st.builds(Ask, terms, positions, rounds, terms),
    st.builds(Vote, terms, rounds, bools),
    runs().flatmap(
        lambda run: st.builds(
            Append, st.just(run[0]), st.just(run[1]), txids, times, st.sampled_from([None, "disk-a"]), txids
        )
    ),
    st.builds(Appended, terms, txids, txids, positions, times, bools, bools, bools, bools),
    runs().map(lambda run: Lend(run[0], run[1])),  # type: ignore[arg-type]  # heads, which runs() draws
    st.builds(Release, terms),
    st.builds(TakeOver, terms),
)
events: st.SearchStrategy[Event] = st.one_of(
    st.builds(Received, peers, st.sampled_from(["disk-b", "disk-c", "new"]), messages),
    st.builds(Tick, st.floats(0, 0.99), bools),
    st.builds(Stored, positions),
    st.builds(Applied, positions),
    st.builds(Damaged, positions),
    st.builds(Mended, positions),
    st.builds(CannotLead, terms),
    st.builds(HandOver, st.sampled_from([None, "b", "c"])),
    runs().map(lambda run: Produced(run[1])),  # type: ignore[arg-type]  # heads, which runs() draws
)


def vouched(node: CoreNode, before: State) -> None:
    """Whatever leaves the node is backed by what is on its disk before it leaves."""
    row = before.row
    for effect in node.effects:
        match effect:
            case SaveRow():
                assert effect.row.term >= row.term
                row = effect.row
            case Send(to, Vote(term, _, True)):
                assert row == Row(term, to)
                assert not node.state.fresh
            case Send(_, Ask(term)):
                assert row == Row(term, node.settings.name)
            case Send(_, Append(term)) | Lead(term):
                assert row == Row(term, node.settings.name)
                assert node.state.role == "leader"
            case Send(_, Appended(term, last, _)):
                assert term == row.term
                assert Position(term, last) <= node.state.stored or last == 0
            case Committed(position):
                assert position.term == row.term
            case Store(heads):
                assert {head.term for head in heads} <= set(range(1, row.term + 1))
    assert node.state.row == row


def sound(node: CoreNode, before: State) -> None:
    state = node.state
    assert state.stored >= before.stored
    assert state.committed >= before.committed
    assert state.heads.term <= state.row.term
    assert state.heads.term >= before.heads.term
    assert (state.role == "leader") == (state.leader == node.settings.name)
    if state.role == "leader":
        assert state.row.holder == node.settings.name
        assert node.now < state.lease_until
        assert not state.fresh
    elif before.role == "leader":
        assert node.done(StepDown)
        assert state.peers == {}


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(events, st.floats(0, 1.5)), max_size=40), bools, bools)
def test_no_event_makes_a_node_say_what_is_not_on_its_disk(
    happenings: list[tuple[Event, float]], fresh: bool, witness: bool
) -> None:
    node = CoreNode(fresh=fresh, witness=witness)
    for event, pause in happenings:
        if isinstance(event, Stored) and event.position > node.state.heads.position:
            continue  # nobody asked to store it
        node.now += pause
        before = node.state
        node.step(event)
        vouched(node, before)
        sound(node, before)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(events, st.floats(0, 1.5)), max_size=30))
def test_same_step_from_the_same_state_is_the_same_and_leaves_the_state_as_it_was(
    happenings: list[tuple[Event, float]],
) -> None:
    node = CoreNode()
    for event, pause in happenings:
        before, shown = node.state, repr(node.state)
        node.now += pause
        effects = node.step(event)
        assert repr(before) == shown
        assert step(node.settings, before, event, node.now) == (node.state, effects)


def deliver(nodes: dict[str, CoreNode], at: float, *, dead: str = "") -> None:
    """Ticks the living once, then carries out all effects until there is nothing left to do."""
    waiting: list[tuple[str, Event]] = [(name, Tick(0.0, True)) for name in nodes]
    for _ in range(1000):
        if not waiting:
            return
        name, event = waiting.pop(0)
        if name == dead:
            continue
        for effect in nodes[name].step(event, at=at):
            match effect:
                case Send(to, message):
                    waiting.append((to, Received(name, f"disk-{name}", message)))
                case Store(heads):
                    waiting.append((name, Stored(heads[-1].position)))
                case Lead(term):
                    waiting.append((name, Produced(LOGS[term][:2])))
    raise AssertionError("the nodes do not come to rest")


def test_three_nodes_elect_one_keep_its_log_and_replace_it_when_it_dies() -> None:
    nodes = {name: CoreNode(name=name, peers=frozenset("abc") - {name}) for name in "abc"}
    deliver(nodes, 0.0)
    (first,) = (name for name, node in nodes.items() if node.state.serving)
    deliver(nodes, TTL_S / 4)
    assert {node.state.committed for node in nodes.values()} == {Position(1, 2)}
    assert {node.state.leader for node in nodes.values()} == {first}
    for eighth in range(3, 13):
        deliver(nodes, eighth * TTL_S / 8, dead=first)
    alive = [node for name, node in nodes.items() if name != first]
    assert {node.state.term for node in alive} == {2}
    assert [node.state.serving for node in alive].count(True) == 1
    for eighth in range(13, 30):
        deliver(nodes, eighth * TTL_S / 8)
    assert {(node.state.committed, node.state.row) for node in nodes.values()} == {
        (Position(2, 2), alive[0].state.row)
    }


def test_node_starts_with_what_its_disk_says() -> None:
    node = CoreNode(row=Row(3, "b"), heads=LOGS[3][1:], applied=Position(3, 2))
    assert node.state.row == Row(3, "b")
    assert node.state.last == Position(3, 4)
    assert node.state.applied == Position(3, 2)
    assert node.state.committed == NOTHING
    assert (node.state.role, node.state.leader, node.state.serving) == ("follower", None, False)


def test_leases_of_two_nodes_do_not_overlap_though_their_clocks_run_apart() -> None:
    slow, fast = 0.99, 1.01
    for ttl_s in (0.5, 2.0, 10.0):
        leader, voter = CoreNode(lease_ttl_s=ttl_s), CoreNode(lease_ttl_s=ttl_s)
        leader.lead()
        voter.hear("b", append(1))
        led_s = (leader.state.lease_until - leader.now) / slow
        granted_s = (voter.state.lease_until - voter.now) / fast
        assert led_s < granted_s


def test_defaults_are_those_of_a_cluster_on_one_network() -> None:
    defaults = Settings(name="a", peers=frozenset())
    assert (defaults.lease_ttl_s, defaults.drift, defaults.witness) == (2.0, 0.02, False)
