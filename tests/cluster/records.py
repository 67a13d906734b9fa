"""The recorded history: one line for each thing a client asked, when, and what it knows of the outcome.

Times are CLOCK_MONOTONIC, which all processes of one machine share and no test can set. A line is written in
one go when its outcome is known, so that a killed client leaves whole lines.
"""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Literal

import msgspec

Outcome = Literal["ok", "refused", "fail", "info"]
"""ok: done, as answered. refused: answered that the token is not the current one. fail: certainly not done.
info: nobody knows, so it may have been done, or be done later."""
What = Literal["enqueue", "claim", "heartbeat", "complete", "fail", "bury", "snooze"]


class Op(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """One request for one task; a request for many is as many of these.

    Args:
        client: who asked.
        what: what for.
        invoked, returned: before it was sent, after its answer was there; monotonic seconds.
        outcome: see :data:`Outcome`.
        node: address that answered.
        code: the problem's code, or why there was no answer.
        tag: names the wish for a task; a retry has the same.
        keyed: an enqueue's request carried an idempotency key.
        task, token, attempt: as answered, or as held.
        lease_s: of a claim or heartbeat.
        state: where a finish took the task.
        abandoned: the holder will never be heard of again.
    """

    client: str
    what: What
    invoked: float
    returned: float
    outcome: Outcome
    node: str = ""
    code: str = ""
    tag: str = ""
    keyed: bool = False
    task: str = ""
    token: str = ""
    attempt: int = 0
    lease_s: float = 0.0
    state: str = ""
    abandoned: bool = False


MAJORITY = "majority "
"""How the kinds of faults begin that leave no majority."""


class FaultRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One fault, from its beginning to the moment the nodes it hit were whole again.

    Args:
        kind: what was done.
        victims: the nodes it was done to.
        leader: the node that led when it began; empty if none was known.
        began, ended: monotonic seconds.
    """

    kind: str
    victims: list[str]
    leader: str
    began: float
    ended: float


class Recorder:
    """Writes one client process's history.

    Args:
        file: made anew.
    """

    def __init__(self, file: Path) -> None:
        # Unbuffered: a line is there, whole, when the next request is sent.
        self._stream: IO[bytes] = file.open("wb", buffering=0)
        self._encoder = msgspec.json.Encoder()

    def write(self, *ops: Op) -> None:
        self._stream.write(b"".join(self._encoder.encode(op) + b"\n" for op in ops))

    def close(self) -> None:
        self._stream.close()


def read(files: Iterable[Path]) -> list[Op]:
    """All ops of all clients, in the order they were invoked."""
    return sorted((op for file in files for op in _lines(file)), key=lambda op: op.invoked)


def _lines(file: Path) -> Iterator[Op]:
    decoder = msgspec.json.Decoder(Op)
    with file.open("rb") as stream:
        for line in stream:
            # The last line of a client that was killed may be cut off.
            if line.endswith(b"\n"):
                yield decoder.decode(line)


def tag_of(payload: object) -> str:
    """The tag in a task's payload."""
    tag = payload["tag"] if isinstance(payload, dict) else json.dumps(payload)
    assert isinstance(tag, str)
    return tag
