"""Who is let in to a node's peer port, who is not, and what both sides are told."""

import asyncio
import logging
from collections.abc import Sequence
from pathlib import Path

import pytest
import trustme
import uvloop

from tests.certificates import write_certificate
from tests.tqnode.replication.log_entries import chain
from tests.tqnode.replication.node_db_folder import LARGE
from tests.tqnode.replication.peer_nodes import Talker, Wire, card_of, free_ports, pair, talker, until_heard
from tests.tqnode.replication.test_peers import ship
from tests.waiting import eventually_async
from tqnode.replication.messages import TakeOver
from tqnode.replication.peer_auth import Auth, AuthError, Certificates, Open, SharedSecret, choose_auth

SECRET = "an example of a secret, long enough"


def secret(folder: Path, text: str = SECRET, mode: int = 0o600) -> SharedSecret:
    file = folder / f"secret-{len(list(folder.iterdir()))}"
    file.write_text(text)
    file.chmod(mode)
    return SharedSecret(file)


def certificates(folder: Path, authority: trustme.CA, name: str) -> Certificates:
    """The certificate of a node, in files of its own."""
    own = folder / f"tls-{name}"
    own.mkdir(exist_ok=True)
    write_certificate(own, authority, name)
    return Certificates(own / "cert.pem", own / "key.pem", own / "ca.pem")


async def until_refused(refusing: Talker, reason: str) -> None:
    await eventually_async(lambda: refusing.peers.refusals().get(reason, 0) > 0)


async def check_nobody_talks(a: Talker, b: Talker) -> None:
    """Neither has heard the other, though both have tried."""
    a.peers.send("b", TakeOver(1))
    b.peers.send("a", TakeOver(1))
    assert not a.peers.contacts()["b"].connected
    assert not b.peers.contacts()["a"].connected
    assert (a.received, b.received) == ([], [])


async def check_refused(
    folder: Path, auths: Sequence[Auth], reason: str, caplog: pytest.LogCaptureFixture, detail: str
) -> None:
    """Nodes with these auths don't talk, and somebody says why."""
    with caplog.at_level(logging.WARNING):
        async with pair(folder, auths=auths) as (a, b):
            await eventually_async(
                lambda: reason in a.peers.refusals() and reason in b.peers.refusals(), within_s=20
            )
            await check_nobody_talks(a, b)
    assert detail in caplog.text


@pytest.mark.parametrize("kind", ["secret", "tls"])
async def test_nodes_that_prove_who_they_are_exchange_messages_entries_and_calls(
    tmp_path: Path, kind: str
) -> None:
    authority = trustme.CA()
    auths: list[Auth] = (
        [secret(tmp_path), secret(tmp_path)]
        if kind == "secret"
        else [certificates(tmp_path, authority, name) for name in ("a", "b")]
    )
    async with pair(tmp_path, auths=auths) as (a, b):
        await until_heard(a, b, "b", 1)
        await until_heard(b, a, "a", 1)
        await ship(a, b, chain(1, [0, 10, 200_000, LARGE]))
        assert (await b.peers.call("a", "echo", 5, timeout_s=20))["payload"] == 5
        assert (dict(a.peers.refusals()), dict(b.peers.refusals())) == ({}, {})


def test_certificates_work_on_the_event_loop_of_production_as_well(tmp_path: Path) -> None:
    authority = trustme.CA()

    async def talk() -> None:
        auths = [certificates(tmp_path, authority, name) for name in ("a", "b")]
        async with pair(tmp_path, auths=auths) as (a, b):
            await ship(a, b, chain(1, [10, LARGE]))
            await until_heard(b, a, "a", 1)
            assert not b.peers.refusals()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(talk())


async def test_another_secret_is_refused(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    auths = (secret(tmp_path), secret(tmp_path, SECRET + "!"))
    await check_refused(tmp_path, auths, "secret", caplog, "give all nodes the same peer_secret_file")


async def test_a_node_without_any_proof_is_refused_by_one_that_wants_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    await check_refused(
        tmp_path, (secret(tmp_path), Open()), "auth", caplog, "configure the same on all nodes"
    )


async def test_a_certificate_of_another_name_is_refused(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    authority = trustme.CA()
    auths = (certificates(tmp_path, authority, "a"), certificates(tmp_path, authority, "c"))
    with caplog.at_level(logging.WARNING):
        async with pair(tmp_path, auths=auths) as (a, b):
            await until_refused(a, "certificate")
            await eventually_async(lambda: b.peers.contacts()["a"].trouble)
            await check_nobody_talks(a, b)
    assert "its certificate is of c, not of 'b'" in caplog.text


async def test_a_certificate_of_another_authority_is_refused(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    auths = (certificates(tmp_path, trustme.CA(), "a"), certificates(tmp_path, trustme.CA(), "b"))
    await check_refused(tmp_path, auths, "tls", caplog, "TLS with it failed")


async def test_tls_on_one_side_alone_is_told_as_that(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    auths = (certificates(tmp_path, trustme.CA(), "a"), secret(tmp_path))
    with caplog.at_level(logging.WARNING):
        async with pair(tmp_path, auths=auths) as (a, b):
            await until_refused(a, "tls")
            await until_refused(b, "protocol")
            await check_nobody_talks(a, b)
    assert "it speaks TLS: configure peer_tls_cert on all nodes or on none" in caplog.text


async def test_the_same_refusal_is_logged_once_though_it_happens_often(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    auths = (secret(tmp_path), secret(tmp_path, SECRET + "!"))
    with caplog.at_level(logging.WARNING):
        async with pair(tmp_path, auths=auths) as (a, _b):
            await eventually_async(lambda: a.peers.refusals().get("secret", 0) >= 4, within_s=30)
    told = [record for record in caplog.records if getattr(record, "reason", "") == "secret"]
    assert 2 <= len(told) <= 4


# -- what a stranger on the line can do ----------------------------------------------------------


async def test_a_recorded_connection_says_nothing_a_second_time(tmp_path: Path) -> None:
    wire = Wire()
    auths = (secret(tmp_path), secret(tmp_path))
    async with pair(tmp_path, auths=auths, via=wire) as (a, b):
        await until_heard(a, b, "b", 1)
        a.peers.send("b", TakeOver(77))
        await eventually_async(lambda: TakeOver(77) in b.messages() and len(wire.heard) == 2)
        for recorded in list(wire.heard):
            reader, writer = await asyncio.open_connection("127.0.0.1", b.peers.port)
            writer.write(bytes(recorded))
            answer = await reader.read()
            assert b"give all nodes the same peer_secret_file" in answer
            writer.close()
        assert b.peers.refusals()["secret"] == 2
        assert b.messages().count(TakeOver(77)) == 1
        await until_heard(a, b, "b", 2)


@pytest.mark.parametrize("kind", ["secret", "tls"])
async def test_a_byte_changed_on_the_way_ends_the_connection_and_is_never_taken(
    tmp_path: Path, kind: str
) -> None:
    authority = trustme.CA()
    auths: list[Auth] = (
        [secret(tmp_path), secret(tmp_path)]
        if kind == "secret"
        else [certificates(tmp_path, authority, name) for name in ("a", "b")]
    )
    wire = Wire()
    changed: list[bytes] = []

    def change(block: bytes) -> bytes:
        # Near the end: it is in a message or its MAC, not in the length of a frame.
        if changed:
            return block
        changed.append(block)
        return block[:-3] + bytes([block[-3] ^ 1]) + block[-2:]

    async with pair(tmp_path, auths=auths, via=wire) as (a, b):
        await until_heard(a, b, "b", 1)
        wire.change = change
        for term in range(10, 20):
            a.peers.send("b", TakeOver(term))
        await eventually_async(lambda: changed)
        await until_heard(a, b, "b", 2)
        if kind == "secret":
            assert b.peers.refusals()["mac"] == 1
        assert all(message.term in {1, 2, *range(10, 20)} for message in b.messages())


async def test_damaged_entries_are_not_taken_even_without_any_proof(tmp_path: Path) -> None:
    wire = Wire()
    entries = chain(1, [100_000])
    damaged: list[int] = []

    def change(block: bytes) -> bytes:
        if entries[0][1][:64] in block and not damaged:
            damaged.append(1)
            return block.replace(entries[0][1][:64], entries[0][1][1:65])
        return block

    async with pair(tmp_path, via=wire) as (a, b):
        await until_heard(a, b, "b", 1)
        wire.change = change
        await ship(a, b, entries)
        assert damaged
        assert b.peers.refusals()["damaged"] == 1
        taken = [found.entries for found in b.received if found.entries]
        assert taken
        assert all(entry == [entries[0][1]] for entry in taken)


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (b"GET / HTTP/1.1\r\nHost: b\r\n\r\n", "protocol"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "protocol"),
        (b"\x00\x10\x00\x00\x01", "too_large"),
        (b"\x00\x00\x00\x03\x01\xc1\xc1\xc1", "malformed"),
        (b"\x00\x00\x00\x00\x10", "malformed"),
    ],
    ids=["HTTP", "TLS", "a megabyte", "no MessagePack", "a message before the handshake"],
)
async def test_whoever_does_not_speak_the_protocol_is_sent_away(
    tmp_path: Path, said: bytes, reason: str
) -> None:
    (port,) = free_ports(1)
    async with talker(tmp_path / "b", card_of("b"), {}, listen=("127.0.0.1", port)) as b:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(said)
        assert await reader.read()
        writer.close()
        assert dict(b.peers.refusals()) == {reason: 1}


async def test_connections_that_say_nothing_are_few_and_keep_nobody_else_out(tmp_path: Path) -> None:
    port_a, port_b = free_ports(2)
    to_a, to_b = ("127.0.0.1", port_a), ("127.0.0.1", port_b)
    async with talker(tmp_path / "b", card_of("b"), {"a": to_a}, listen=to_b) as b:
        silent = [await asyncio.open_connection(*to_b) for _ in range(40)]
        await until_refused(b, "crowded")
        async with talker(tmp_path / "a", card_of("a"), {"b": to_b}, listen=to_a) as a:
            # From the same host, so it is in once the silent ones have run out of time.
            await eventually_async(lambda: a.peers.contacts()["b"].connected, within_s=30)
            await until_heard(a, b, "b", 1)
        for _, writer in silent:
            writer.close()
        assert b.peers.refusals()["crowded"] >= 24


# -- the files -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "mode", "said"),
    [
        (SECRET, 0o644, "chmod 600"),
        (SECRET, 0o620, "chmod 600"),
        ("short", 0o600, "openssl rand -hex 32"),
        ("", 0o600, "openssl rand -hex 32"),
        ("x" * 5000, 0o600, "openssl rand -hex 32"),
    ],
)
def test_a_secret_that_others_can_read_or_guess_is_refused(
    tmp_path: Path, text: str, mode: int, said: str
) -> None:
    with pytest.raises(AuthError, match=said):
        secret(tmp_path, text, mode)


def test_a_secret_or_a_certificate_that_is_not_there_is_told_by_its_file(tmp_path: Path) -> None:
    with pytest.raises(AuthError, match="nothing cannot be read: No such file"):
        SharedSecret(tmp_path / "nothing")
    with pytest.raises(AuthError, match="nothing cannot be read: No such file"):
        Certificates(tmp_path / "nothing", tmp_path / "nothing", tmp_path / "nothing")


def test_a_key_for_everybody_to_read_and_a_certificate_that_is_none_are_refused(tmp_path: Path) -> None:
    certificates(tmp_path, trustme.CA(), "a")
    own = tmp_path / "tls-a"
    (own / "key.pem").chmod(0o644)
    with pytest.raises(AuthError, match="chmod 600"):
        Certificates(own / "cert.pem", own / "key.pem", own / "ca.pem")
    (own / "key.pem").chmod(0o600)
    (own / "cert.pem").write_text("no certificate")
    with pytest.raises(AuthError, match="the peers' certificate cannot be used"):
        Certificates(own / "cert.pem", own / "key.pem", own / "ca.pem")


def test_without_a_proof_nodes_are_let_be_on_one_machine_alone(tmp_path: Path) -> None:
    def choose(*hosts: str, secret_file: str = "", tls: str = "") -> Auth:
        return choose_auth(secret_file=secret_file, cert=tls, key=tls, authority=tls, hosts=hosts)

    assert choose("127.0.0.1", "::1", "localhost").kind == "open"
    for host in ("0.0.0.0", "10.0.0.1", "b.example"):
        with pytest.raises(AuthError, match="could pass for a node"):
            choose("127.0.0.1", host)
    secret(tmp_path)
    assert choose("10.0.0.1", secret_file=str(tmp_path / "secret-0")).kind == "secret"
    with pytest.raises(AuthError, match="cannot be read"):
        choose("127.0.0.1", tls="/nothing")


async def test_a_secret_changed_in_its_file_holds_for_the_next_connections(tmp_path: Path) -> None:
    auths = [secret(tmp_path), secret(tmp_path)]
    async with pair(tmp_path, auths=auths) as (a, b):
        await until_heard(a, b, "b", 1)
        (tmp_path / "secret-0").write_text("another secret of the cluster")
        a.peers.introduce(card_of("a", url="http://elsewhere"))
        await until_refused(b, "secret")
        (tmp_path / "secret-1").write_text("another secret of the cluster")
        await until_heard(a, b, "b", 2)
        (tmp_path / "secret-1").write_text("bad")
        b.peers.introduce(card_of("b", url="http://elsewhere"))
        await until_heard(a, b, "b", 3)


async def test_certificates_replaced_in_their_files_hold_for_the_next_connections(tmp_path: Path) -> None:
    first, second = trustme.CA(), trustme.CA()
    auths = [certificates(tmp_path, first, name) for name in ("a", "b")]
    async with pair(tmp_path, auths=auths) as (a, b):
        await until_heard(a, b, "b", 1)
        write_certificate(tmp_path / "tls-a", second, "a")
        a.peers.introduce(card_of("a", url="http://elsewhere"))
        await until_refused(b, "tls")
        write_certificate(tmp_path / "tls-b", second, "b")
        await until_heard(a, b, "b", 2)
        await until_heard(b, a, "a", 2)


# -- nodes that don't match ----------------------------------------------------------------------


async def test_a_node_of_another_cluster_is_refused_and_one_of_none_is_let_in(tmp_path: Path) -> None:
    async with pair(tmp_path / "1", cards=(card_of("a"), card_of("b", cluster_id="c2"))) as (a, b):
        await eventually_async(lambda: "cluster" in a.peers.refusals() and "cluster" in b.peers.refusals())
        await check_nobody_talks(a, b)
        await eventually_async(lambda: "it belongs to cluster" in a.peers.contacts()["b"].trouble)
    async with pair(tmp_path / "2", cards=(card_of("a"), card_of("b", cluster_id=""))) as (a, b):
        await until_heard(a, b, "b", 1)
        await until_heard(b, a, "a", 1)


async def test_a_node_that_is_no_peer_is_refused(tmp_path: Path) -> None:
    async with pair(tmp_path, cards=(card_of("x"), card_of("b"))) as (x, b):
        await until_refused(b, "unknown")
        await eventually_async(lambda: "no peer is named 'x'" in x.peers.contacts()["b"].trouble)
        await eventually_async(lambda: "name" in b.peers.refusals())
        assert x.received == b.received == []


async def test_an_older_version_of_the_protocol_is_spoken_if_both_know_it(tmp_path: Path) -> None:
    async with pair(tmp_path, versions=((1, 2), (1, 1))) as (a, b):
        await until_heard(a, b, "b", 1)
        await until_heard(b, a, "a", 1)
        assert a.peers.contacts()["b"].protocol == b.peers.contacts()["a"].protocol == 1


async def test_without_a_common_version_both_are_told_which_node_to_upgrade(tmp_path: Path) -> None:
    async with pair(tmp_path, versions=((2, 3), (1, 1))) as (a, b):
        await eventually_async(lambda: "protocol" in a.peers.refusals() and "protocol" in b.peers.refusals())
        await check_nobody_talks(a, b)
        await eventually_async(lambda: "upgrade b" in a.peers.contacts()["b"].trouble)
        await eventually_async(lambda: "upgrade b" in b.peers.contacts()["a"].trouble)


async def test_a_message_that_a_version_does_not_know_is_refused_with_what_to_do(tmp_path: Path) -> None:
    class Unheard(TakeOver, frozen=True, tag="Unheard"):
        """A message of some later version."""

    async with pair(tmp_path) as (a, b):
        await until_heard(a, b, "b", 1)
        a.peers.send("b", Unheard(1))
        await until_refused(b, "malformed")
        await eventually_async(lambda: "malformed" in a.peers.refusals())
        await until_heard(a, b, "b", 2)
