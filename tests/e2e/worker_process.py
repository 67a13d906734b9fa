"""Real ``tq worker`` processes for the end-to-end tests, and the handlers that they run."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from tests.waiting import eventually

ROOT = Path(__file__).parent.parent.parent
IDLE_STOP_S = 3.0
APP = "tests.e2e.worker_app"


class WorkerProcess:
    """One ``tq worker``; the constructor returns once it is registered and claims.

    Args:
        folder: where its log is; also what handlers see as ``TQ_TEST_FOLDER``.
        url: of the node.
        flags: of the command.
        claims: whether to wait for it to claim.
    """

    def __init__(self, folder: Path, url: str, *flags: str, claims: bool = True) -> None:
        self.log_file = folder / "worker.log"
        self._read_from = self.log_file.stat().st_size if self.log_file.exists() else 0
        environ = os.environ | {"TQ_TEST_FOLDER": str(folder), "TQ_URL": url}
        with self.log_file.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tq", "worker", *flags],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environ,
                cwd=ROOT,
            )
        if claims:
            try:
                eventually(lambda: self.said("working"), within_s=30)
            except BaseException:
                self.end()
                raise

    @property
    def log(self) -> str:
        """What this process wrote."""
        return self.log_file.read_bytes()[self._read_from :].decode()

    def said(self, words: str) -> bool:
        """Whether its log holds ``words``; fails when it has ended without them."""
        if words in self.log:
            return True
        if self.process.poll() is not None and words not in self.log:
            raise RuntimeError(f"the worker ended with {self.process.returncode}:\n{self.log}")
        return False

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def wait(self, *, within_s: float = 15.0) -> int:
        """The exit code.

        Raises:
            subprocess.TimeoutExpired: it did not end in time.
        """
        return self.process.wait(within_s)

    def end(self) -> None:
        """Whatever state it is in: afterwards it does not run."""
        if self.process.poll() is not None:
            return
        self.process.terminate()
        try:
            self.process.wait(IDLE_STOP_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
