"""A real Litestream over one database, which tests write to and whose log they read."""

import json
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import apsw
import httpx

from tests.waiting import eventually

PROGRAM = Path(sys.executable).with_name("litestream")
START_S = 30.0
CALL_S = 60.0
STOP_S = 30.0


def open_database(path: Path, *, page_size: int = 4096, auto_vacuum: str = "none") -> apsw.Connection:
    """A connection that leaves every checkpoint to Litestream, as its log needs it."""
    connection = apsw.Connection(str(path))
    connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
    connection.set_busy_timeout(10_000)
    connection.execute(f"PRAGMA page_size = {page_size}")
    connection.execute(f"PRAGMA auto_vacuum = {auto_vacuum}")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA wal_autocheckpoint = 0")
    return connection


class Litestream:
    """One ``litestream replicate``; started by the constructor, which returns once its socket answers.

    Args:
        folder: where its configuration, its meta directory and its archive are; must be fresh.
        database: the file it follows; exists, in WAL mode.
        checkpoint_pages: pages in the write-ahead log from which it checkpoints.
    """

    def __init__(self, folder: Path, database: Path, *, checkpoint_pages: int = 1000) -> None:
        self.database = database
        self.archive = folder / "archive"
        self._meta = folder / "meta"
        self._log = folder / "litestream.log"
        self._folder = folder
        self._read = 0
        # A socket's name has at most 107 bytes, and a test's own folder can be longer than that.
        self._socket_folder = tempfile.TemporaryDirectory(prefix="ls-")
        self._socket = Path(self._socket_folder.name) / "s"
        folder.mkdir(parents=True)
        config = folder / "litestream.yml"
        config.write_text(json.dumps(self._config(checkpoint_pages)))  # JSON is YAML too
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [str(PROGRAM), "replicate", "-config", str(config), "-no-expand-env"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self._client = httpx.Client(
            transport=httpx.HTTPTransport(uds=str(self._socket)), base_url="http://litestream", timeout=CALL_S
        )
        try:
            eventually(self._listens, within_s=START_S, ignoring=(OSError,))
            assert self._client.get("/info").status_code == 200
        except BaseException:
            self.stop()
            raise

    def _config(self, checkpoint_pages: int) -> dict[str, Any]:
        return {
            "socket": {"enabled": True, "path": str(self._socket)},
            "levels": [{"interval": "1s"}, {"interval": "10s"}],
            # A node reads each file at once; a test that a loaded machine holds up must find it still there.
            "l0-retention": "1h",
            "l0-retention-check-interval": "1h",
            "shutdown-sync-timeout": "0s",
            "snapshot": {"interval": "1h", "retention": "24h"},
            "logging": {"level": "warn"},
            "dbs": [
                {
                    "path": str(self.database),
                    "meta-path": str(self._meta),
                    "monitor-interval": "1s",
                    "busy-timeout": "200ms",
                    "min-checkpoint-page-count": checkpoint_pages,
                    "replica": {"type": "file", "path": str(self.archive), "sync-interval": "1s"},
                }
            ],
        }

    @property
    def log(self) -> str:
        """All it wrote."""
        return self._log.read_text()

    def _listens(self) -> bool:
        if self._process.poll() is not None:
            raise RuntimeError(f"litestream ended with {self._process.returncode}:\n{self.log}")
        # By hand: the client leaves a descriptor open for each connection it could not make.
        with socket.socket(socket.AF_UNIX) as probe:
            probe.connect(str(self._socket))
        return True

    def sync(self, *, archive: bool = False) -> int:
        """Has all that is committed written to the log; returns the last txid.

        Args:
            archive: whether to wait until the archive has it too.
        """
        body = {"path": str(self.database), "wait": archive}
        answer = self._client.post("/sync", json=body)
        assert answer.status_code == 200, f"{answer.text}\n{self.log}"
        return int(answer.json()["txid"])

    def entries(self) -> list[bytes]:
        """The log's files that have come since the last call, in order."""
        last = self.sync()
        folder = self._meta / "ltx" / "0"
        txids = range(self._read + 1, last + 1)
        self._read = last
        return [(folder / f"{txid:016x}-{txid:016x}.ltx").read_bytes() for txid in txids]

    def restore(self, output: Path, *, txid: int) -> bytes:
        """What Litestream itself makes of its archive up to ``txid``: the database's bytes."""
        assert self.sync(archive=True) >= txid
        command = [str(PROGRAM), "restore", "-json", "-txid", f"{txid:016x}", "-o", str(output)]
        done = subprocess.run(
            [*command, f"file://{self.archive}"], capture_output=True, text=True, timeout=CALL_S, check=False
        )
        assert done.returncode == 0, done.stderr
        assert int(json.loads(done.stdout)["txid"], 16) == txid, done.stdout
        return output.read_bytes()

    def stop(self) -> None:
        """Ends it; its folder stays."""
        self._client.close()
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait(STOP_S)
        self._socket_folder.cleanup()


@contextmanager
def following(folder: Path, database: Path, *, checkpoint_pages: int = 1000) -> Iterator[Litestream]:
    """A Litestream for the length of a ``with`` block."""
    litestream = Litestream(folder, database, checkpoint_pages=checkpoint_pages)
    try:
        yield litestream
    finally:
        litestream.stop()


def write_entries(folder: Path, *writes: Callable[[apsw.Connection], object]) -> list[list[bytes]]:
    """The entries after each of some writes to a fresh database; the first list starts with a snapshot."""
    folder.mkdir(parents=True, exist_ok=True)
    connection = open_database(folder / "tq.db")
    written = []
    try:
        writes[0](connection)
        with following(folder / "litestream", folder / "tq.db") as litestream:
            written.append(litestream.entries())
            for write in writes[1:]:
                write(connection)
                written.append(litestream.entries())
    finally:
        connection.close()
    return written
