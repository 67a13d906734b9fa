"""The keys of a cluster: what each takes, and what does not go together."""

import json
from pathlib import Path
from typing import Any

import pytest

from tqnode.config import SETTINGS, Config, ConfigError, load
from tqnode.config.model import contradictions
from tqnode.config.peers import is_loopback, split_peers, wrong_peers, wrong_url
from tqnode.config.report import as_toml

THREE = "a=10.0.0.1:7334,b=10.0.0.2:7334,c=10.0.0.3:7334"
LOCAL = "a=127.0.0.1:7334,b=127.0.0.1:7335,c=[::1]:7336"


def certified(**keys: Any) -> Config:
    return Config(name="a", peers=THREE, peer_tls_cert="/c", peer_tls_key="/k", peer_tls_ca="/a", **keys)


def test_a_list_of_nodes_is_taken_apart() -> None:
    assert wrong_peers(LOCAL) is None
    assert split_peers(LOCAL + " , ") == {
        "a": ("127.0.0.1", 7334),
        "b": ("127.0.0.1", 7335),
        "c": ("::1", 7336),
    }
    assert split_peers("") == {}
    assert wrong_peers("") is None


@pytest.mark.parametrize(
    ("peers", "wrong"),
    [
        ("a", ["must be a list of name=host:port, not 'a'"]),
        ("a=h", ["the address of a must be host:port"]),
        ("a=h:0,b=i:1,c=j:1", ["the address of a must have a port that the others can know"]),
        ("a b=h:1,b=i:1,c=j:1", ["a name must be 1 to 64 letters"]),
        ("a=h:1,a=i:1,c=j:1", ["must name each node once, not a twice"]),
        ("a=h:1,b=h:1,c=j:1", ["must give each node an address of its own, not h:1 to two"]),
        ("a=h:1", ["must have at least 3 nodes; leave it out to run one node alone"]),
        ("a=h:1,b=i:1", ["must have at least 3 nodes: with 2", "witness = true"]),
        (",".join(f"n{n}=h:{n}" for n in range(1, 17)), ["must have at most 15 nodes, not 16"]),
        ("a,=h:1,c=h:x", ["not 'a'; ", "a name must be", "; the address of c must end in a port"]),
    ],
)
def test_all_that_is_wrong_with_a_list_of_nodes_is_told_at_once(peers: str, wrong: list[str]) -> None:
    told = wrong_peers(peers)
    assert told is not None
    assert all(part in told for part in wrong), told


def test_a_file_may_give_the_nodes_as_a_list(tmp_path: Path) -> None:
    peers = SETTINGS["peers"]
    assert peers.many
    file = tmp_path / "tqnode.toml"
    file.write_text(f"peers = {json.dumps([])}\n")
    assert load(file=file, environ={}, flags={}).config.peers == ""
    file.write_text('peers = ["a=h:1", 2]\n')
    with pytest.raises(ConfigError, match="must be a text"):
        load(file=file, environ={}, flags={})


def test_nodes_without_a_proof_of_who_they_are_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "tqnode.toml"
    file.write_text(f'name = "a"\npeers = {json.dumps(THREE.split(","))}\n')
    with pytest.raises(ConfigError, match="so that nobody else can pass for a node"):
        load(file=file, environ={}, flags={})


def test_a_whole_configuration_of_a_cluster_has_no_contradiction() -> None:
    assert contradictions(Config(name="a", peers=LOCAL)) == []
    assert contradictions(certified()) == []
    config = Config(name="b", peers=THREE, peer_secret_file="/s", witness=True, peer_listen="0.0.0.0:7400")
    assert contradictions(config) == []
    assert config.peer_address == ("0.0.0.0", 7400)
    assert Config(name="b", peers=THREE).peer_address == ("10.0.0.2", 7334)


def test_all_that_does_not_go_with_the_nodes_is_told_at_once() -> None:
    config = Config(
        name="x", peers=THREE, listen="10.0.0.9:7334", peer_listen="10.0.0.9:7334", peer_tls_key="/k"
    )
    found = contradictions(config)
    assert [key for key, _ in found] == ["name", "peer_listen", "peer_tls_cert", "peer_tls_ca"]
    assert found[0][1] == "must be one of the names in peers (a, b, c), not 'x'"
    assert found[2][1] == "must be given together with peer_tls_key"


@pytest.mark.parametrize(
    ("peers", "peer_listen"), [(THREE, ""), (LOCAL, "0.0.0.0:7334"), (LOCAL + ",d=elsewhere:1", "")]
)
def test_nodes_that_others_can_reach_need_a_proof_of_who_they_are(peers: str, peer_listen: str) -> None:
    ((key, detail),) = contradictions(Config(name="a", peers=peers, peer_listen=peer_listen))
    assert key == "peers"
    assert "or else peer_secret_file" in detail


def test_a_secret_beside_certificates_is_refused() -> None:
    ((key, _),) = contradictions(certified(peer_secret_file="/s"))
    assert key == "peer_secret_file"


def test_nodes_need_the_program_that_writes_their_log() -> None:
    ((key, _),) = contradictions(certified(litestream="off"))
    assert key == "litestream"


@pytest.mark.parametrize(
    "flag", ["witness", "peer_listen", "peer_secret_file", "peer_tls_cert", "peer_tls_key", "peer_tls_ca"]
)
def test_what_is_of_use_only_with_nodes_is_refused_without(flag: str) -> None:
    value = {"witness": "yes", "peer_listen": "127.0.0.1:7334"}.get(flag, "/file")
    with pytest.raises(ConfigError) as caught:
        load(file=None, environ={}, flags={flag: value})
    assert [mistake.source for mistake in caught.value.mistakes] == [f"--{flag.replace('_', '-')}"]


@pytest.mark.parametrize("text", ["true", "Yes", "1", "false", "no", "0"])
def test_yes_and_no_are_said_in_the_usual_words(text: str) -> None:
    assert SETTINGS["witness"].parse(text) is (text.lower() in ("true", "yes", "1"))


@pytest.mark.parametrize("value", ["maybe", "", "2", "on fire"])
def test_anything_else_is_neither_yes_nor_no(value: str) -> None:
    with pytest.raises(ConfigError, match="must be true or false"):
        load(file=None, environ={"TQNODE_WITNESS": value}, flags={})


def test_a_file_says_yes_and_no_as_toml_does(tmp_path: Path) -> None:
    file = tmp_path / "tqnode.toml"
    file.write_text("witness = false\n")
    effective = load(file=file, environ={}, flags={})
    assert effective.config.witness is False
    assert "witness = false" in as_toml(effective)
    file.write_text('witness = "false"\n')
    with pytest.raises(ConfigError, match="must be true or false"):
        load(file=file, environ={}, flags={})


@pytest.mark.parametrize("url", ["", "http://10.0.0.1:7333", "https://queue.example", "http://[::1]:7333/"])
def test_an_advertised_url_is_taken(url: str) -> None:
    assert wrong_url(url) is None


@pytest.mark.parametrize(
    "url",
    [
        "10.0.0.1:7333",
        "ftp://h",
        "http://",
        "http://h/path",
        "http://h?x=1",
        "http://me@h",
        "http://h:x",
        "http://h:0",
    ],
)
def test_an_advertised_url_that_is_none_is_refused(url: str) -> None:
    assert wrong_url(url) is not None


@pytest.mark.parametrize(
    ("host", "alone"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("h", False),
    ],
)
def test_the_loopback_is_known_by_its_addresses(host: str, alone: bool) -> None:
    assert is_loopback(host) is alone
