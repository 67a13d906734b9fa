"""Nodes that talk to each other: messages, entries and calls, over connections that come and go."""

import asyncio
import contextlib
from pathlib import Path

import pytest
import uvloop

from tests.tqnode.replication.log_entries import chain
from tests.tqnode.replication.node_db_folder import LARGE
from tests.tqnode.replication.peer_nodes import (
    Talker,
    Wire,
    card_of,
    free_ports,
    pair,
    talker,
    until_heard,
)
from tests.waiting import eventually_async
from tqnode.clock import SystemClock
from tqnode.replication.entry import Head
from tqnode.replication.messages import Append, Lend, TakeOver
from tqnode.replication.node_db import Staged
from tqnode.replication.peers import CallFailed, PeerListenError


def append_of(heads: tuple[Head, ...], *, term: int = 1, sent: float = 0.0) -> Append:
    return Append(term=term, heads=heads, commit=0, sent=sent, admit=None, kept=1)


async def test_messages_come_with_the_name_and_the_disk_of_their_sender(tmp_path: Path) -> None:
    async with pair(tmp_path) as (a, b):
        await until_heard(a, b, "b", 3)
        await until_heard(b, a, "a", 4)
        assert (b.received[0].sender, b.received[0].node_id) == ("a", "disk-of-a")
        assert (a.received[0].sender, a.received[0].node_id) == ("b", "disk-of-b")


async def test_messages_of_one_connection_keep_their_order(tmp_path: Path) -> None:
    async with pair(tmp_path) as (a, b):
        await a.until_connected("b")
        for term in range(1, 101):
            a.peers.send("b", TakeOver(term))
        await eventually_async(lambda: len(b.received) == 100)
        assert b.messages() == [TakeOver(term) for term in range(1, 101)]


async def ship(a: Talker, b: Talker, entries: list[tuple[Head, bytes]]) -> None:
    """Sends entries until they have come."""
    heads = tuple(head for head, _ in entries)
    message = append_of(heads)

    def sent_and_come() -> bool:
        if message not in b.messages():
            a.peers.send("b", message, [content for _, content in entries])
        return message in b.messages()

    await eventually_async(sent_and_come, within_s=30)


async def test_entries_of_any_size_arrive_whole_and_can_be_stored(tmp_path: Path) -> None:
    entries = chain(1, [0, 1, 70_000, LARGE, 3 * LARGE, 500])
    async with pair(tmp_path) as (a, b):
        await ship(a, b, entries)
        received = next(found for found in b.received if found.entries)
        assert [isinstance(content, Staged) for content in received.entries] == [
            len(content) >= LARGE for _, content in entries
        ]
        await b.db.store(
            zip(append_of(tuple(head for head, _ in entries)).heads, received.entries, strict=True)
        )
        assert await b.db.verify() == ()
        assert (await b.db.kept()).heads == tuple(head for head, _ in entries)


async def test_an_entry_goes_out_from_the_file_that_has_it(tmp_path: Path) -> None:
    ((head, content),) = chain(1, [2 * LARGE])
    async with pair(tmp_path) as (a, b):
        await a.db.store([(head, content)])
        file = await a.db.read(head.position)
        assert isinstance(file, Path)
        await a.until_connected("b")
        await eventually_async(lambda: a.peers.send("b", Lend(1, (head,)), [file]))
        await eventually_async(lambda: b.received)
        (staged,) = b.received[0].entries
        assert isinstance(staged, Staged)
        await b.db.store([(head, staged)])
        assert await b.db.verify() == ()


async def test_a_file_that_was_trimmed_meanwhile_is_left_out_and_the_rest_goes_on(tmp_path: Path) -> None:
    (first, _), (second, content) = chain(1, [LARGE, 10])
    async with pair(tmp_path) as (a, b):
        await until_heard(a, b, "b", 1)
        await eventually_async(lambda: a.peers.send("b", Lend(1, (first,)), [tmp_path / "gone"]))
        await eventually_async(lambda: a.peers.send("b", Lend(1, (second,)), [content]))
        await eventually_async(lambda: Lend(1, (second,)) in b.messages())
        assert Lend(1, (first,)) not in b.messages()


async def test_bytes_that_are_not_those_of_the_heads_are_not_sent(tmp_path: Path) -> None:
    ((head, content),) = chain(1, [10])
    async with pair(tmp_path) as (a, _b):
        for sources in ([], [content, content], [content[1:]]):
            with pytest.raises(ValueError, match=r"heads come|has 10 bytes"):
                a.peers.send("b", Lend(1, (head,)), sources)


@pytest.mark.timeout(240)
async def test_heartbeats_flow_while_64_megabytes_are_on_their_way(tmp_path: Path) -> None:
    ((head, content),) = chain(1, [64 * 1024 * 1024])
    wire = Wire()
    clock = SystemClock()
    async with pair(tmp_path, via=wire) as (a, b):
        await until_heard(a, b, "b", 1)
        wire.bytes_per_s = 40e6
        await eventually_async(lambda: a.peers.send("b", append_of((head,)), [content]))
        began = clock.monotonic()
        while not any(received.entries for received in b.received):
            a.peers.send("b", append_of((), sent=clock.monotonic()))
            await clock.sleep(0.05)
            assert clock.monotonic() < began + 120
        beats = [found for found in b.received if isinstance(found.message, Append) and found.message.sent]
        took = next(found.at for found in b.received if found.entries) - began
        assert took > 1
        assert len(beats) > 10
        assert max(beat.at - beat.message.sent for beat in beats) < 1.0  # type: ignore[union-attr]  # appends, all


async def test_an_entry_on_its_way_is_not_sent_twice_and_its_lease_is_renewed_at_once(
    tmp_path: Path,
) -> None:
    ((head, content),) = chain(1, [4 * LARGE])
    wire = Wire()
    async with pair(tmp_path, via=wire) as (a, b):
        await until_heard(a, b, "b", 1)
        wire.bytes_per_s = 2e6
        await eventually_async(lambda: a.peers.send("b", append_of((head,), sent=1.0), [content]))
        assert not a.peers.send("b", append_of((head,), sent=2.0), [content])
        await eventually_async(lambda: append_of((), sent=2.0) in b.messages())
        assert append_of((), sent=1.0) in b.messages()
        assert not any(found.entries for found in b.received)
        await eventually_async(lambda: any(found.entries for found in b.received), within_s=60)
        assert append_of((head,), sent=2.0) not in b.messages()


async def test_to_a_peer_that_takes_nothing_no_more_than_a_bound_is_kept(tmp_path: Path) -> None:
    wire = Wire()
    entries = chain(1, [1_000_000] * 100)
    async with pair(tmp_path, via=wire) as (a, b):
        await until_heard(a, b, "b", 1)
        wire.cut = True
        taken = [a.peers.send("b", Lend(1, (head,)), [content]) for head, content in entries]
        assert 10 < taken.count(True) < 80
        for term in range(100_000, 102_000):
            a.peers.send("b", TakeOver(term))
        wire.cut = False
        await until_heard(a, b, "b", 2)
        late = [message for message in b.messages() if isinstance(message, TakeOver)]
        assert len(late) <= 256


async def test_a_peer_that_falls_silent_without_a_word_is_noticed_and_found_again(tmp_path: Path) -> None:
    wire = Wire()
    async with pair(tmp_path, via=wire, ttl_s=1.0) as (a, b):
        await until_heard(a, b, "b", 1)
        await eventually_async(lambda: a.peers.contacts()["b"].round_trip_s is not None)
        wire.cut = True
        await eventually_async(lambda: not a.peers.contacts()["b"].connected, within_s=20)
        assert a.peers.contacts()["b"].trouble
        wire.cut = False
        await until_heard(a, b, "b", 2)
        await a.until_connected("b")


async def test_a_peer_that_restarts_is_found_again_with_its_new_disk(tmp_path: Path) -> None:
    port_a, port_b = free_ports(2)
    to_a, to_b = ("127.0.0.1", port_a), ("127.0.0.1", port_b)
    async with talker(tmp_path / "a", card_of("a"), {"b": to_b}, listen=to_a) as a:
        for number, node_id in enumerate(("first", "second"), start=1):
            card = card_of("b", node_id=node_id)
            async with talker(tmp_path / node_id, card, {"a": to_a}, listen=to_b) as b:
                await until_heard(a, b, "b", number)
                await until_heard(b, a, "a", number)
                assert a.received[-1].node_id == node_id
                met = a.peers.contacts()["b"].card
                assert met is not None
                assert met.node_id == node_id
        await eventually_async(lambda: not a.peers.contacts()["b"].connected)


async def test_a_call_is_answered_refused_or_runs_out_of_time(tmp_path: Path) -> None:
    async with pair(tmp_path) as (a, b):
        answer = await a.peers.call("b", "echo", {"fresh": [1, "x", None]}, timeout_s=20)
        assert answer == {"caller": "a", "payload": {"fresh": [1, "x", None]}}
        assert (await b.peers.call("a", "echo", 1, timeout_s=20))["caller"] == "b"
        with pytest.raises(CallFailed, match="there is no call dance"):
            await a.peers.call("b", "dance", None, timeout_s=20)
        with pytest.raises(CallFailed, match="an error within the node"):
            await a.peers.call("b", "fail", None, timeout_s=20)
        with pytest.raises(CallFailed, match="did not answer within"):
            await a.peers.call("b", "hang", None, timeout_s=0.2)


async def test_a_call_to_a_peer_that_is_down_says_so_and_one_that_loses_it_ends_at_once(
    tmp_path: Path,
) -> None:
    port_a, port_b = free_ports(2)
    to_a, to_b = ("127.0.0.1", port_a), ("127.0.0.1", port_b)
    async with talker(tmp_path / "a", card_of("a"), {"b": to_b}, listen=to_a) as a:
        with pytest.raises(CallFailed, match=r"(?i)did not answer within 0.5 s: .*connect"):
            await a.peers.call("b", "echo", 1, timeout_s=0.5)
        async with talker(tmp_path / "b", card_of("b"), {"a": to_a}, listen=to_b):
            await a.until_connected("b")
            call = asyncio.ensure_future(a.peers.call("b", "hang", None, timeout_s=60))
            await a.peers.call("b", "echo", 1, timeout_s=20)
        with pytest.raises(CallFailed, match="was lost before it answered"):
            await call


async def test_contacts_tell_what_a_peer_says_of_itself_and_how_far_away_it_is(tmp_path: Path) -> None:
    cards = (card_of("a"), card_of("b", software="0.2.0", schema=7, url="https://b.example"))
    async with pair(tmp_path, cards=cards) as (a, b):
        await eventually_async(lambda: a.peers.contacts()["b"].round_trip_s is not None)
        contact = a.peers.contacts()["b"]
        assert contact.card == cards[1]
        assert (contact.connected, contact.protocol, contact.trouble) == (True, 1, "")
        assert contact.round_trip_s is not None
        assert 0 <= contact.round_trip_s < 5
        heard = contact.heard
        assert heard is not None
        await eventually_async(lambda: (a.peers.contacts()["b"].heard or 0) > heard)
        assert set(b.peers.contacts()) == {"a"}


async def test_a_node_that_has_joined_a_cluster_tells_its_peers(tmp_path: Path) -> None:
    async with pair(tmp_path, cards=(card_of("a", cluster_id=""), card_of("b"))) as (a, b):
        await until_heard(a, b, "b", 1)
        a.peers.introduce(card_of("a", cluster_id="c1"))

        def told() -> bool:
            card = b.peers.contacts()["a"].card
            return card is not None and card.cluster_id == "c1"

        await eventually_async(told)
        await until_heard(a, b, "b", 2)


async def test_an_address_in_use_is_told_with_what_to_do(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    listen = ("127.0.0.1", port)
    async with talker(tmp_path / "a", card_of("a"), {}, listen=listen):
        with pytest.raises(PeerListenError, match="in use: stop what listens there, or set peer_listen"):
            async with talker(tmp_path / "b", card_of("b"), {}, listen=listen):
                pass


def test_nodes_talk_on_the_event_loop_of_production_as_well(tmp_path: Path) -> None:
    async def talk() -> None:
        async with pair(tmp_path) as (a, b):
            await ship(a, b, chain(1, [10, LARGE]))
            assert (await a.peers.call("b", "echo", 1, timeout_s=20))["payload"] == 1

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(talk())
    with contextlib.suppress(FileNotFoundError):
        assert list((tmp_path / "b" / "log").iterdir())
