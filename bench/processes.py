"""The processes a benchmark over HTTP needs: the servers and the load generator."""

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import IO, Any

from tests.e2e.processes import NodeProcess

__all__ = ["Load", "NodeProcess", "Server"]

END_S = 10.0


def _start(module: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", module], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def _end(process: "subprocess.Popen[str]") -> None:
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=END_S)


def _pipe(pipe: IO[str] | None) -> IO[str]:
    assert pipe is not None
    return pipe


class Server:
    """A baseline's server, in its own process.

    Args:
        module: which one.
    """

    def __init__(self, module: str) -> None:
        self._process = _start(module)
        self.url = _pipe(self._process.stdout).readline().strip()
        assert self.url, "it did not start"

    def end(self) -> None:
        _end(self._process)


class Load:
    """The load generator."""

    def __init__(self) -> None:
        self._process = _start("bench.load.orders")
        self.waits: list[dict[str, float]] = []

    def prepare(self, url: str, script: str, *, connections: int, requests: int, **options: Any) -> None:
        """Connects to ``url``; ``requests`` are of each connection."""
        order = {
            "url": url,
            "script": script,
            "connections": connections,
            "requests": requests,
            **options,
        }
        self._say(json.dumps(order))
        assert self._hear() == "connected"

    def run(self) -> None:
        """Sends the requests and returns when all are answered."""
        self._say("go")
        self.waits.append(json.loads(self._hear()))

    def _say(self, line: str) -> None:
        pipe = _pipe(self._process.stdin)
        pipe.write(line + "\n")
        pipe.flush()

    def _hear(self) -> str:
        line = _pipe(self._process.stdout).readline().strip()
        assert line, "the load generator failed"
        return line

    def end(self) -> None:
        _end(self._process)


def memory_and_cpu(pid: int) -> tuple[int, float]:
    """Resident bytes of a process, and the CPU seconds it has used."""
    status = Path(f"/proc/{pid}/status").read_text()
    resident = next(line for line in status.splitlines() if line.startswith("VmRSS"))
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    return int(resident.split()[1]) * 1024, (int(fields[11]) + int(fields[12])) / 100
