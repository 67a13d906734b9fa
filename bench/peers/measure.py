"""One queue's turn: start what it needs, enqueue, consume, stop."""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from bench.peers import environment
from bench.peers.children import running
from bench.peers.peer import Figures, Peer

LOOK_S: Final = 0.001
"""How often the file's size is read while a consumer works."""
SILENCE_S: Final = 20.0
"""A consumer that finishes no task for so long has failed."""
ENQUEUE_S: Final = 600.0


class Failed(Exception):
    """A queue did not do the work. The message says what it wrote last."""


def measure(peer: Peer, tasks: int, folder: Path) -> Figures:
    """What one queue does, with processes and files that are gone afterwards.

    Args:
        peer: the queue.
        tasks: how many each step is about; two at least.
        folder: on the disk to measure.

    Raises:
        Failed: it did not do the work.
    """
    programs = environment.made(peer.lock) if peer.lock else Path(sys.executable).parent
    with ExitStack() as stack:
        work = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=folder, ignore_cleanup_errors=True)))
        work.chmod(0o711)  # a server that runs as somebody else has its folder below
        data = work / "data"
        data.mkdir()
        url = stack.enter_context(peer.serve(data))
        turn = _Turn(peer, tasks, work, url, programs)
        turn.prepare()
        one = turn.enqueue("one")
        consume = turn.consume()
        crowd = turn.enqueue("crowd")
        bulk = turn.enqueue("bulk") if peer.bulk else None
    return Figures(peer.name, peer.durability, one=one, crowd=crowd, bulk=bulk, consume=consume)


class _Turn:
    def __init__(self, peer: Peer, tasks: int, work: Path, url: str, programs: Path) -> None:
        self._peer = peer
        self._tasks = tasks
        self._work = work
        self._url = url
        self._programs = programs
        self._file = work / "bytes"
        self._log = work / "log"

    def prepare(self) -> None:
        """Has the queue's own command make its tables."""
        if self._peer.prepare:
            self._run(self._command(self._peer.prepare), "could not be prepared")

    def enqueue(self, way: str) -> float:
        """Tasks a second."""
        module = f"bench.peers.work.{self._peer.module}"
        words = ("python", "-m", "bench.peers.work.produce", module, way, str(self._tasks))
        said = self._run(self._command(words), f"could not enqueue ({way})")
        return float(json.loads(said.splitlines()[-1])["tasks_per_s"])

    def _command(self, words: Sequence[str]) -> list[str]:
        program, *rest = (word.replace("{url}", self._url) for word in words)
        return [str(self._programs / program), *rest]

    def _run(self, command: list[str], failure: str) -> bytes:
        with self._log.open("ab") as log:
            done = subprocess.run(
                command,
                env=self._environ,
                cwd=environment.ROOT,
                stdout=subprocess.PIPE,
                stderr=log,
                timeout=ENQUEUE_S,
            )
        if done.returncode:
            raise self._failed(failure)
        return done.stdout

    def consume(self) -> float:
        """Tasks a second, from the moment when the first are done to the last."""
        command = self._command(self._peer.consumer)
        with running(command, self._log, environ=self._environ, cwd=environment.ROOT) as consumer:
            took = self._watch(consumer)
        if self._size() != self._tasks:
            raise self._failed(f"ran {self._size()} tasks instead of {self._tasks}")
        return took

    def _watch(self, consumer: "subprocess.Popen[bytes]") -> float:
        began = changed = time.perf_counter()
        first = last = 0
        while last < self._tasks:
            time.sleep(LOOK_S)
            now, size = time.perf_counter(), self._size()
            if size != last:
                if not first:
                    first, began = size, now
                last, changed = size, now
            elif now - changed > SILENCE_S:
                raise self._failed(f"stopped after {last} tasks")
            elif consumer.poll() is not None:
                raise self._failed(f"ended after {last} tasks with exit code {consumer.returncode}")
        if first >= self._tasks:
            raise self._failed("was done at the first look: give it more tasks")
        return (self._tasks - first) / (changed - began)

    @property
    def _environ(self) -> Mapping[str, str]:
        # Nothing of the caller's Python gets into a queue's environment.
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "TQ"))}
        here = {"PYTHONPATH": str(environment.ROOT)}
        told = {"BENCH_URL": self._url, "BENCH_FILE": str(self._file), "BENCH_VARIANT": self._peer.variant}
        # A worker's own commands find the server by these.
        return kept | here | told | {"TQ_URL": self._url}

    def _size(self) -> int:
        return self._file.stat().st_size if self._file.exists() else 0

    def _failed(self, what: str) -> Failed:
        said = self._log.read_text(errors="replace").splitlines()[-15:] if self._log.exists() else []
        return Failed("\n".join([f"{self._peer.name} {what}", *said]))
