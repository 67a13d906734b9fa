"""Runs Litestream as a child of this node: started again when it dies, ended when the node ends."""

import asyncio
import logging
import os
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from tqnode.child_process import bound_to_this_process
from tqnode.clock import Clock
from tqnode.metrics import LitestreamMetrics
from tqnode.replication.sync_client import SyncClient, SyncError

BACKOFF_S: Final = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
"""Pauses before the starts after a death; the last for all that follow."""
STEADY_S: Final = 30.0
"""A child that ran for so long starts the pauses anew."""
ANSWER_S: Final = 20.0
"""Time it has after its start until its socket answers."""
LOOK_EVERY_S: Final = 0.02
INFO_S: Final = 5.0
LAST_WORDS_S: Final = 1.0
"""For how long its log is read after its end."""
LINE_BYTES_MAX: Final = 16_384
SHOWN_INSTEAD: Final = "[hidden]"
_LEVELS: Final = {
    "DEBUG": logging.DEBUG,
    "INFO": logging.INFO,
    "WARN": logging.WARNING,
    "ERROR": logging.ERROR,
}
_DISK_FAILED: Final = ("input/output error", "disk I/O error")
"""What the system says of a failed fsync, and what SQLite does."""
_KEPT: Final = frozenset(
    {
        *("PATH", "HOME", "USER", "LANG", "TZ", "TMPDIR", "SSH_AUTH_SOCK", "SSL_CERT_FILE", "SSL_CERT_DIR"),
        *("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy"),
    }
)
_KEPT_PREFIXES: Final = ("AWS_", "LITESTREAM_", "AZURE_", "GOOGLE_", "OSS_", "ALICLOUD_")

logger = logging.getLogger(__name__)


def environ_for(environ: Mapping[str, str]) -> dict[str, str]:
    """What of this node's environment Litestream gets: what it may need to reach an archive, nothing else."""
    kept = {name: text for name, text in environ.items() if name in _KEPT or name.startswith(_KEPT_PREFIXES)}
    # With this name set it refuses every S3 address; what the other names, it trusts for all of them.
    authorities = kept.pop("AWS_CA_BUNDLE", "")
    if authorities:
        kept.setdefault("SSL_CERT_FILE", authorities)
    return kept


class Litestream:
    """One supervised ``litestream replicate``.

    Args:
        program: the checked binary.
        config: its configuration file.
        folder: where it runs; its socket's path is relative to it.
        environ: its whole environment.
        client: speaks to its socket.
        clock: the node's clock.
        metrics: what is counted of it.
        secrets: texts that its log lines must not show.
    """

    def __init__(
        self,
        program: Path,
        *,
        config: Path,
        folder: Path,
        environ: Mapping[str, str],
        client: SyncClient,
        clock: Clock,
        metrics: LitestreamMetrics,
        secrets: Sequence[str],
    ) -> None:
        self._argv = [str(program), "replicate", "-no-expand-env", "-config", str(config)]
        self._folder = folder
        self._environ = dict(environ)
        self._client = client
        self._clock = clock
        self._metrics = metrics
        self._secrets = [secret for secret in secrets if secret]
        self._process: asyncio.subprocess.Process | None = None
        self.state = "starting"
        """``ok``, ``starting``, or ``down: ...``: for people."""
        self.up = asyncio.Event()
        """Set while its socket answers."""
        self.disk_failed = asyncio.Event()
        """Set when it met a disk error: it goes on after one, and what it writes then can't be relied on."""

    @property
    def pid(self) -> int | None:
        """Of the process that runs now."""
        return None if self._process is None else self._process.pid

    async def run(self) -> None:
        """Keeps it running until cancelled, then kills it."""
        deaths = 0
        while True:
            began = self._clock.monotonic()
            try:
                how = await self._run_once()
            except OSError as error:
                how = f"cannot be started: {error}"
            deaths = 1 if self._clock.monotonic() - began > STEADY_S else deaths + 1
            pause_s = BACKOFF_S[min(deaths, len(BACKOFF_S)) - 1]
            self.state = f"down: {how}"
            self._metrics.restarts.inc()
            logger.error("litestream %s; it is started again in %g s", how, pause_s)
            await self._clock.sleep(pause_s)

    async def _run_once(self) -> str:
        """Starts it and waits for its end; how it ended."""
        self.state = "starting"
        self._process = process = await asyncio.create_subprocess_exec(
            *bound_to_this_process(self._argv),
            cwd=self._folder,
            env=self._environ,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
        assert process.stderr is not None  # noqa: S101  # a pipe was asked for
        listening = asyncio.create_task(self._listen(process.stderr), name="litestream-log")
        answering = asyncio.create_task(self._await_answer(process.pid), name="litestream-answer")
        try:
            code = await process.wait()
            return f"ended with exit code {code}" if code >= 0 else f"was ended by {_name_of(-code)}"
        finally:
            answering.cancel()
            self.up.clear()
            self._metrics.up.set(0)
            self._client.close()
            if process.returncode is None:
                self.kill()
                await process.wait()
            self._process = None
            # The pipe ends with the process, unless something that it started holds it.
            await asyncio.wait([listening], timeout=LAST_WORDS_S)
            listening.cancel()
            await asyncio.gather(listening, answering, return_exceptions=True)

    async def _await_answer(self, pid: int) -> None:
        """Marks it as up once it answers; ends it if it doesn't."""
        until = self._clock.monotonic() + ANSWER_S
        said = ""
        while self._clock.monotonic() < until:
            try:
                info = await self._client.info(within_s=INFO_S)
            except SyncError as error:
                said = str(error)
            else:
                # The socket of one that is about to die may answer for a moment more.
                if _is_of_group(info.pid, pid):
                    self.state = "ok"
                    self._metrics.up.set(1)
                    self.up.set()
                    logger.info("litestream runs", extra={"pid": pid, "version": info.version})
                    return
            await self._clock.sleep(LOOK_EVERY_S)
        logger.error("litestream does not answer %g s after its start: %s", ANSWER_S, said)
        self.kill()

    def kill(self) -> None:
        """Ends it at once; unless the node ends too, it is started again."""
        if self._process is None or self._process.returncode is not None:
            return
        try:
            # It has a group of its own: what it may have been started through, or has started, goes with it.
            os.killpg(self._process.pid, signal.SIGKILL)
        except ProcessLookupError:  # killed before it had one
            self._process.kill()

    async def _listen(self, stream: asyncio.StreamReader) -> None:
        """Takes its lines over into this node's log."""
        rest = b""
        while part := await stream.read(LINE_BYTES_MAX):
            *lines, rest = (rest + part).split(b"\n")
            for line in lines:
                self._take(line[:LINE_BYTES_MAX])
            if len(rest) > LINE_BYTES_MAX:
                self._take(rest[:LINE_BYTES_MAX])
                rest = b""
        self._take(rest)

    def _take(self, line: bytes) -> None:
        text = line.decode(errors="replace").strip()
        if not text:
            return
        for secret in self._secrets:
            text = text.replace(secret, SHOWN_INSTEAD)
        level, message = _event_of(text)
        if any(words in message for words in _DISK_FAILED):
            self.disk_failed.set()
        logger.log(level, "litestream: %s", message)


def _is_of_group(pid: int, leader: int) -> bool:
    try:
        return os.getpgid(pid) == leader
    except ProcessLookupError:
        return False


def _event_of(text: str) -> tuple[int, str]:
    """Level and message of one of its lines, which are JSON except when it panics."""
    try:
        event: dict[str, Any] = msgspec.json.decode(text, type=dict[str, Any])
    except msgspec.DecodeError:
        return logging.ERROR, text
    level = _LEVELS.get(str(event.pop("level", "")), logging.ERROR)
    event.pop("time", None)
    message = str(event.pop("msg", ""))
    return level, " ".join([message, *(f"{name}={value}" for name, value in event.items())])


def _name_of(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def remove_socket(path: Path) -> None:
    """Removes what an earlier process left under the socket's name: nobody should take it for a live one."""
    if path.is_socket():
        os.unlink(path)
