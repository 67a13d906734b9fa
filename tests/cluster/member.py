"""One node of a cluster under test: its process, its disk, its wall clock, and what it says of itself."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx

from tests.cluster.disk import PowerDisk
from tests.cluster.namespaces import command
from tests.cluster.network import Network
from tests.waiting import eventually

API_PORT: Final = 7333
PEER_PORT: Final = 7334
START_S: Final = 60.0
STOP_S: Final = 30.0
ASK_S: Final = 2.0
DISK_MIB: Final = 2048
FAKE_TIME: Final = "libfaketimeMT.so.1"


class NoFakeTime(Exception):
    """The library that gives a process another wall clock is not installed."""


def fake_time_library() -> Path:
    """Where it is.

    Raises:
        NoFakeTime: it is not installed.
    """
    found = sorted(Path("/usr/lib").glob(f"*/faketime/{FAKE_TIME}"))
    if not found:
        raise NoFakeTime("apt-get install libfaketime")
    return found[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """What all nodes of a cluster have in common.

    Args:
        names: of all nodes.
        settings: further lines of their configuration files.
        disk_mib: size of each node's own disk, in memory; 0 for the disk the test's folder is on.
        power: instead of that, whether each node has a disk that can lose its power.
        fake_time: whether their wall clocks can be set.
    """

    names: Sequence[str]
    settings: Sequence[str] = ()
    disk_mib: int = DISK_MIB
    power: bool = False
    fake_time: bool = True


class Member:
    """One node. It is made stopped.

    Args:
        network: that it is part of.
        folder: for all its files.
        name: its name.
        shape: what it has in common with the others.
    """

    def __init__(self, network: Network, folder: Path, name: str, shape: Shape) -> None:
        self.name = name
        self.url = f"http://{network.addresses[name]}:{API_PORT}"
        self.folder = folder / name
        self.data_dir = self.folder / "data"
        self.log_file = self.folder / "node.log"
        self._namespace = network.nodes[name]
        self._shape = shape
        self._clock_file = self.folder / "clock"
        self._process: subprocess.Popen[bytes] | None = None
        self.data_dir.mkdir(parents=True)
        self._disk: PowerDisk | None = None
        if shape.power:
            self._disk = PowerDisk(self.data_dir, name)
        elif shape.disk_mib:
            memory = ["mount", "-t", "tmpfs", "-o", f"size={shape.disk_mib}m", "tqnode-test"]
            command(*memory, str(self.data_dir))
        self._config_file = self.folder / "tqnode.toml"
        self._config_file.write_text("\n".join(self._config(network)) + "\n")
        self._environ = self._environment()
        self._client = httpx.Client(base_url=self.url, timeout=ASK_S)

    def _config(self, network: Network) -> list[str]:
        lines = [
            f"name = {self.name!r}",
            f"data_dir = {str(self.data_dir)!r}",
            f"listen = '{network.addresses[self.name]}:{API_PORT}'",
            "crashes_max = 100",
            *self._shape.settings,
        ]
        if len(self._shape.names) > 1:
            secret = self.folder / "secret"
            secret.write_text("the peers of one test know each other by this\n")
            secret.chmod(0o600)
            peers = [f"{name}={network.addresses[name]}:{PEER_PORT}" for name in self._shape.names]
            lines += [
                f"advertise = {self.url!r}",
                f"peer_listen = '{network.addresses[self.name]}:{PEER_PORT}'",
                f"peers = {peers!r}",
                f"peer_secret_file = {str(secret)!r}",
            ]
        return lines

    def _environment(self) -> dict[str, str]:
        # Measuring coverage would make a node that shares two cores with two others a slow one.
        environ = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
        if self._shape.fake_time:
            self.set_clock(0)
            environ |= {
                "LD_PRELOAD": str(fake_time_library()),
                "DONT_FAKE_MONOTONIC": "1",
                # Its own guess makes the interpreter's lock time out at once, or only after seconds.
                "FAKETIME_FORCE_MONOTONIC_FIX": "0",
                "FAKETIME_TIMESTAMP_FILE": str(self._clock_file),
                "FAKETIME_CACHE_DURATION": "1",
            }
        return environ

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def runs(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def log(self) -> str:
        """All it wrote to standard error, over every start."""
        return self.log_file.read_text(errors="replace")

    def start(self, *flags: str) -> None:
        """Starts it, and returns at once."""
        assert not self.runs
        module = "tests.cluster.other_time" if self._shape.fake_time else "tqnode"
        argv = [sys.executable, "-m", module, "run", "--config", str(self._config_file), *flags]
        with self.log_file.open("ab") as log:
            self._process = subprocess.Popen(
                self._namespace.inside(argv),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self._environ,
            )

    def wait_until_live(self, *, within_s: float = START_S) -> None:
        """Returns when it answers.

        Raises:
            AssertionError: it did not in time, or ended.
        """

        def answers() -> bool:
            if not self.runs:
                raise RuntimeError(f"{self.name} ended:\n{self.log[-4000:]}")
            return self.get("/livez") is not None

        eventually(answers, within_s=within_s, every_s=0.05)

    def get(self, path: str) -> httpx.Response | None:
        """What it answers; None without an answer in time."""
        try:
            return self._client.get(path)
        except httpx.TransportError:
            return None

    def says(self, path: str) -> Any:
        """The JSON it answers with 200; None otherwise."""
        answer = self.get(path)
        return answer.json() if answer is not None and answer.status_code == 200 else None

    @property
    def leads(self) -> bool:
        return self.says("/leader") is not None

    @property
    def ready(self) -> bool:
        return self.says("/readyz") is not None

    def children(self) -> list[int]:
        """The processes it started: Litestream."""
        if not self.runs:
            return []
        with contextlib.suppress(OSError):  # it may end while it is looked at
            tasks = Path(f"/proc/{self.pid}/task").glob("*/children")
            return [int(pid) for file in tasks for pid in file.read_text().split()]
        return []

    def litestream_pids(self) -> list[int]:
        """Every Litestream that works on its data, even one whose node has gone."""
        return [pid for pid in processes_about(str(self.folder)) if name_of(pid).startswith("litestream")]

    def kill(self) -> None:
        """SIGKILL to the node alone."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(STOP_S)

    def kill_litestream(self) -> bool:
        """SIGKILL to Litestream alone; whether there was one."""
        pids = self.litestream_pids()
        send(pids, signal.SIGKILL)
        return bool(pids)

    def kill_both(self) -> None:
        """SIGKILL to the node and to Litestream, in one go."""
        pids = self.litestream_pids()
        self.kill()
        send(pids, signal.SIGKILL)

    def freeze(self, *, litestream: bool) -> list[int]:
        """SIGSTOP; returns what was stopped, for :func:`send` with SIGCONT."""
        pids = [self.pid, *(self.litestream_pids() if litestream else [])]
        send(pids, signal.SIGSTOP)
        return pids

    def terminate(self) -> None:
        """SIGTERM."""
        if self._process is not None:
            self._process.terminate()

    def wait(self, *, within_s: float = STOP_S) -> int:
        """Its exit code, once it has ended."""
        assert self._process is not None
        return self._process.wait(within_s)

    def wipe(self) -> None:
        """Empties its disk; it must not run."""
        assert not self.runs
        for path in self.data_dir.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()

    def fill_disk(self) -> None:
        """Takes every free byte of its disk."""
        with (self.data_dir / "filler").open("wb", buffering=0) as file:
            for size in (1 << 20, 1 << 12, 1):
                with contextlib.suppress(OSError):  # no space is left
                    while True:
                        file.write(bytes(size))

    def free_disk(self) -> None:
        """Gives it back."""
        (self.data_dir / "filler").unlink(missing_ok=True)

    def cut_power(self, *, surviving: float) -> tuple[int, int]:
        """The power goes, for programs and disk at the same moment, and is back; the node is not started.

        Args:
            surviving: the share of what was not fsynced that survives all the same.

        Returns:
            How many changes to files and to folders are lost.
        """
        assert self._disk is not None
        lost = self._disk.cut(surviving=surviving)
        self.kill_both()
        self._disk.back()
        return lost

    def set_clock(self, ahead_s: int) -> None:
        """Its wall clock is that far from the machine's, within a second from now."""
        new = self._clock_file.with_suffix(".new")
        new.write_text(f"{ahead_s:+d}\n")
        new.replace(self._clock_file)

    def end(self) -> None:
        """Whatever state it is in: afterwards neither it nor its Litestream runs."""
        pids = self.litestream_pids()
        self.kill()
        send(pids, signal.SIGKILL)
        self._client.close()
        if self._disk is not None:
            self._disk.end()


def send(pids: Sequence[int], number: signal.Signals) -> None:
    """Sends a signal to processes of ours, some of which may have ended."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def name_of(pid: int) -> str:
    """What the process runs; empty if it has ended."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/comm").read_text().strip()
    return ""


def processes_about(path: str) -> list[int]:
    """The processes whose command line names something below ``path``."""
    found = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if any(word.startswith(path.encode()) for word in file.read_bytes().split(b"\0")):
                found.append(int(file.parent.name))
    return found
