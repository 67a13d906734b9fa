"""A node with its Litestream, as the tests of the archive look at it from outside."""

import json
import os
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import apsw
import httpx

from tests.e2e.processes import NodeProcess, running_node
from tests.waiting import eventually
from tqnode.clock import SystemClock

SLOW_S = 60.0


def node_of(folder: Path, *flags: str, **options: Any) -> Any:
    return running_node(folder, "--litestream", "auto", *flags, **options)


def checks(node: NodeProcess) -> dict[str, str]:
    found: dict[str, str] = httpx.get(f"{node.url}/readyz").json()["checks"]
    return found


def archived(node: NodeProcess) -> bool:
    return checks(node)["litestream"] == checks(node)["archive"] == "ok"


def metric(node: NodeProcess, name: str) -> float:
    text = httpx.get(f"{node.url}/metrics").text
    (value,) = [line.split()[1] for line in text.splitlines() if line.startswith(f"{name} ")]
    return float(value)


def children(node: NodeProcess) -> list[int]:
    """Its Litestream; nothing when it is being started again."""
    listed = Path(f"/proc/{node.pid}/task/{node.pid}/children").read_text().split()
    return [pid for pid in map(int, listed) if b"litestream\0replicate" in command_line(pid)]


def stands_still(pid: int) -> bool:
    """Whether every thread of a process is stopped."""
    threads = Path(f"/proc/{pid}/task").glob("*/stat")
    return all(thread.read_text().rpartition(")")[2].split()[0] == "T" for thread in threads)


def command_line(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""


def run(*arguments: str, environ: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tqnode", *arguments],
        capture_output=True,
        text=True,
        timeout=SLOW_S,
        env=os.environ | (environ or {}),
        check=False,
    )


def restored(archive: Path, to: Path, *arguments: str) -> dict[str, Any]:
    done = run("restore", "--archive", f"file://{archive}", "--to", str(to), "--json", *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def ids_in(file: Path) -> set[str]:
    connection = apsw.Connection(str(file), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        rows = [row[0].hex() for row in connection.execute("SELECT id FROM task")]
    finally:
        connection.close()
    return {f"{row[:8]}-{row[8:12]}-{row[12:16]}-{row[16:20]}-{row[20:]}" for row in rows}


def stamp(at: datetime) -> str:
    return at.isoformat(timespec="milliseconds")


def now() -> datetime:
    return datetime.fromtimestamp(SystemClock().now_ms() / 1000, UTC)


def settle(node: NodeProcess, archive: Path) -> datetime:
    """Has all that is committed in the archive of the first term, so that this moment can be told from later.

    Returns:
        The moment.
    """
    eventually(lambda: archived(node), within_s=SLOW_S)
    # A socket's name may have 107 bytes, and a test's folder can be longer.
    with tempfile.TemporaryDirectory(prefix="ls-") as short:
        os.symlink(node.data_dir, f"{short}/d")
        socket = f"{short}/d/litestream.sock"
        with httpx.Client(transport=httpx.HTTPTransport(uds=socket), timeout=SLOW_S) as client:
            asked = {"path": str(node.data_dir / "tq.db"), "wait": True}
            synced = client.post("http://litestream/sync", json=asked).raise_for_status().json()
    level = archive / "1" / "ltx" / "1"

    def put_together() -> bool:
        names = [file.stem.partition("-")[2] for file in level.glob("*.ltx")]
        return bool(names) and int(max(names), 16) >= synced["txid"]

    eventually(put_together, within_s=SLOW_S)
    return now()
