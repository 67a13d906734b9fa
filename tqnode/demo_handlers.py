"""What the demo's worker can do: the same four handlers as ``tq worker --app tqnode.demo_handlers:app``."""

import hashlib
from pathlib import Path
from typing import TypedDict

import httpx

import tq

app = tq.App()

CHUNK_BYTES = 1024 * 1024
FETCH_S = 10.0
STUMBLE_DELAY_S = 0.3
STUMBLES = 2
REPORTS = 100
LONG_LEASE_S = 4.5
"""Short, so that the heartbeats which renew it, and carry the progress, come often."""


class Digest(TypedDict):
    """A file's content in short."""

    path: str
    bytes: int
    sha256: str


class Fetched(TypedDict):
    """What a URL answered."""

    url: str
    status: int
    bytes: int


class Stumbled(Exception):
    """What :func:`stumble` fails with on purpose."""


@app.task(queue="files")
def hash_file(path: str) -> Digest:
    """Reads a file and returns its SHA-256."""
    digest = hashlib.sha256()
    with Path(path).open("rb") as stream:
        while chunk := stream.read(CHUNK_BYTES):
            digest.update(chunk)
        return {"path": path, "bytes": stream.tell(), "sha256": digest.hexdigest()}


@app.task(queue="web")
async def fetch(url: str) -> Fetched:
    """Fetches a URL; an answer from 400 on is a failure."""
    async with httpx.AsyncClient(timeout=FETCH_S, trust_env=False) as client:
        answer = await client.get(url)
    answer.raise_for_status()
    return {"url": url, "status": answer.status_code, "bytes": len(answer.content)}


@app.task(queue="stumbling", retry=tq.Fixed(delay_s=STUMBLE_DELAY_S))
def stumble() -> str:
    """Fails twice, then succeeds: the node tries it again after a short while."""
    attempt = tq.current_task().attempt
    if attempt <= STUMBLES:
        raise Stumbled(f"attempt {attempt} fails on purpose; attempt {STUMBLES + 1} will not")
    return f"succeeded at attempt {attempt}"


@app.task(queue="long", lease_s=LONG_LEASE_S)
def count_primes(below: int) -> int:
    """Counts the primes below a number the slow way, and reports how far it is."""
    task = tq.current_task()
    primes: list[int] = []
    step = max(1, below // REPORTS)
    for number in range(2, below):
        if number % step == 0:
            if task.cancelled:
                raise tq.Cancelled
            task.progress({"tested": number, "of": below, "primes": len(primes)})
        if all(number % prime for prime in primes if prime * prime <= number):
            primes.append(number)
    return len(primes)
