"""What the environments of the queues are made from."""

import re

import pytest

from bench.peers.environment import LOCKS, folder_of
from bench.peers.roster import OURS, PEERS


@pytest.mark.parametrize("lock", sorted({peer.lock for peer in PEERS if peer.lock}))
def test_each_pin_of_a_queue_has_a_hash_and_no_address(lock: str) -> None:
    text = (LOCKS / lock).read_text()
    assert not re.search(r"://|--index|(^|\s)/\w", text)
    entries = re.split(r"^(?=[\w.-]+==)", text, flags=re.MULTILINE)[1:]
    assert entries
    assert [entry.partition(" ")[0] for entry in entries if "--hash=sha256:" not in entry] == []


def test_each_lock_has_a_private_environment_of_its_own() -> None:
    assert folder_of("requirements.lock").name == ".venv-peers"
    assert folder_of("requirements-arq.lock").name == ".venv-peers-arq"


def test_no_two_queues_have_the_same_name_or_lack_a_module() -> None:
    names = [peer.name for peer in [OURS, *PEERS]]
    assert len(set(names)) == len(names)
    assert [peer.name for peer in PEERS if not (LOCKS / "work" / f"{peer.module}.py").is_file()] == []
