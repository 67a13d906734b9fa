import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from tests.tqnode.nodes import FakeClock, settle
from tests.waiting import eventually_async
from tqnode.metrics import LitestreamMetrics
from tqnode.replication.verified import Verified, write_verified
from tqnode.replication.verifying import FIRST_S, LOOK_EVERY_S, Verifying

EVERY_S = int(2 * FIRST_S)


@asynccontextmanager
async def timer(
    folder: Path, clock: FakeClock, *, every_s: float = EVERY_S
) -> AsyncIterator[CollectorRegistry]:
    """A timer whose command fails at once: the folder it is sent to holds no queue."""
    registry = CollectorRegistry()
    verifying = Verifying(
        folder,
        flags=["--config", "/dev/null", "--data-dir", str(folder / "none")],
        environ={"PATH": "/usr/bin:/bin"},
        every_s=every_s,
        clock=clock,
        metrics=LitestreamMetrics(registry),
    )
    running = asyncio.create_task(verifying.run())
    try:
        yield registry
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def pass_time(clock: FakeClock, seconds: float) -> None:
    """Lets time pass in the timer's own steps."""
    while seconds > 0:
        await eventually_async(lambda: clock.sleepers != [])
        clock.advance(min(LOOK_EVERY_S, seconds))
        seconds -= LOOK_EVERY_S
        await settle()


async def test_the_first_check_comes_an_hour_after_the_start_and_the_next_when_it_is_due(
    tmp_path: Path, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    async with timer(tmp_path, clock):
        await pass_time(clock, FIRST_S - LOOK_EVERY_S)
        assert "was checked" not in caplog.text
        await pass_time(clock, LOOK_EVERY_S)
        await eventually_async(lambda: caplog.text.count("was checked") == 1, within_s=30)
        assert "holds no queue" in caplog.text
        await pass_time(clock, EVERY_S - LOOK_EVERY_S)
        assert caplog.text.count("was checked") == 1
        await pass_time(clock, LOOK_EVERY_S)
        await eventually_async(lambda: caplog.text.count("was checked") == 2, within_s=30)


async def test_a_check_before_the_start_counts_and_one_by_hand_too(
    tmp_path: Path, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    write_verified(tmp_path, Verified(clock.now_ms() - 1000 * (EVERY_S - 100), True, "fine", 2.5))
    async with timer(tmp_path, clock) as registry:
        await eventually_async(lambda: clock.sleepers != [])
        assert registry.get_sample_value("tq_backup_verified_ok") == 1
        assert registry.get_sample_value("tq_backup_verify_duration_seconds") == 2.5
        assert registry.get_sample_value("tq_backup_verified_age_seconds") == EVERY_S - 100
        write_verified(tmp_path, Verified(clock.now_ms(), False, "lost", 1.5))
        await pass_time(clock, 200)
        assert registry.get_sample_value("tq_backup_verified_ok") == 0
        # The age is that of the last time when all was well.
        assert registry.get_sample_value("tq_backup_verified_age_seconds") == EVERY_S + 100
        assert "was checked" not in caplog.text


async def test_a_node_that_is_not_to_check_never_does(
    tmp_path: Path, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    async with timer(tmp_path, clock, every_s=0) as registry:
        await pass_time(clock, 3 * FIRST_S)
        assert "was checked" not in caplog.text
        assert registry.get_sample_value("tq_backup_verified_age_seconds") == -1
