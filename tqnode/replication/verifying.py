"""Has the archive checked against the queue now and then, by a process of its own, and counts the results."""

import asyncio
import logging
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from tqnode.child_process import bound_to_this_process
from tqnode.clock import Clock
from tqnode.metrics import LitestreamMetrics
from tqnode.replication.verified import Verified, read_verified

FIRST_S: Final = 3600.0
"""Time from the start to the first check of a node that never had one."""
LOOK_EVERY_S: Final = 10.0
WITHIN_S: Final = 3 * 3600.0
NICE: Final = 10
NEVER: Final = -1.0

logger = logging.getLogger(__name__)


class Verifying:
    """The timer.

    Args:
        data_dir: the node's folder, where results are left, also by those who check by hand.
        flags: the command's flags: which node, which archive.
        environ: the command's whole environment.
        every_s: seconds between two checks; 0 for none.
        clock: the node's clock.
        metrics: gets age and result of the last check.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        flags: Sequence[str],
        environ: Mapping[str, str],
        every_s: float,
        clock: Clock,
        metrics: LitestreamMetrics,
    ) -> None:
        self._data_dir = data_dir
        self._argv = [sys.executable, "-m", "tqnode", "backup", "verify", "--json", *flags]
        self._environ = dict(environ)
        self._every_s = every_s
        self._clock = clock
        self._metrics = metrics
        self._last: Verified | None = None
        self._began = clock.monotonic()
        metrics.verified_age.set_function(self._age_s)

    async def run(self) -> None:
        """Checks when it is time, until cancelled."""
        tried_at: float | None = None
        while True:
            self._take(read_verified(self._data_dir))
            if self._every_s and self._wait_s(tried_at) <= 0:
                tried_at = self._clock.monotonic()
                await self._check()
                self._take(read_verified(self._data_dir))
            await self._clock.sleep(min(LOOK_EVERY_S, max(1.0, self._wait_s(tried_at))))

    def _wait_s(self, tried_at: float | None) -> float:
        """How long until the next check is due."""
        now = self._clock.monotonic()
        if tried_at is not None:
            return tried_at + self._every_s - now
        if self._last is None:
            return self._began + min(FIRST_S, self._every_s) - now
        # Of an earlier process: what it knew of time is gone, the wall clock is what is left.
        return self._every_s - (self._clock.now_ms() - self._last.at_ms) / 1000

    async def _check(self) -> None:
        process = await asyncio.create_subprocess_exec(
            *bound_to_this_process(self._argv, nice=NICE),
            env=self._environ,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        try:
            async with asyncio.timeout(WITHIN_S):
                said, _ = await process.communicate()
        except TimeoutError:
            logger.error("the check of the archive took more than %g s and was ended", WITHIN_S)
            return
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        text = said.decode(errors="replace").strip()
        level = logging.INFO if process.returncode == 0 else logging.ERROR
        logger.log(level, "the archive was checked: %s", text)

    def _take(self, result: Verified | None) -> None:
        self._last = result
        if result is not None:
            self._metrics.verified_ok.set(result.ok)
            self._metrics.verify_seconds.set(result.took_s)

    def _age_s(self) -> float:
        if self._last is None or self._last.ok_at_ms is None:
            return NEVER
        return max(0.0, (self._clock.now_ms() - self._last.ok_at_ms) / 1000)
