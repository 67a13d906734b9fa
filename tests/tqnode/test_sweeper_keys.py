"""How long an Idempotency-Key is kept: longer while the wall clock was not watched for its whole life."""

from pathlib import Path

from tests.tqnode.nodes import START_MS, Core, FakeClock, open_core, spec
from tqnode.sweeper import CLOCK_DOUBT_MS, TICK_S
from tqnode.task import Idempotency

KEPT_S = 30
HOUR_S = 3600


async def enqueue_with_key(core: Core) -> str:
    once = Idempotency(key="once", digest=b"the body's")
    (made,) = await core.queue.enqueue([spec()], idempotency=once)
    return made.id


async def keys(core: Core) -> int:
    return await core.count("idempotency")


async def test_a_key_is_forgotten_when_the_clock_was_watched_for_as_long(tmp_path: Path) -> None:
    async with open_core(tmp_path / "tq.db", idempotency_s=KEPT_S) as core:
        task_id = await enqueue_with_key(core)
        await core.sweep_after(KEPT_S - 2)
        assert await enqueue_with_key(core) == task_id
        await core.sweep_after(4)
        assert await keys(core) == 0


async def test_a_key_of_a_clock_that_was_wrong_is_not_forgotten_when_it_is_set_right(tmp_path: Path) -> None:
    async with open_core(tmp_path / "tq.db", idempotency_s=KEPT_S) as core:
        await core.sweep_after(KEPT_S + 2)
        core.clock.step(-HOUR_S)
        task_id = await enqueue_with_key(core)
        core.clock.step(HOUR_S)
        await core.sweep_after(TICK_S)
        # By the wall clock it is an hour old; it came a moment ago.
        assert await enqueue_with_key(core) == task_id
        await core.sweep_after(KEPT_S + 2)
        # Now nobody can take it for younger than it is.
        assert await keys(core) == 0


async def test_a_leader_with_another_clock_keeps_the_keys_it_finds(tmp_path: Path) -> None:
    async with open_core(tmp_path / "tq.db", idempotency_s=KEPT_S) as core:
        task_id = await enqueue_with_key(core)
    ahead = FakeClock(wall_ms=START_MS + 1000 * HOUR_S)
    async with open_core(tmp_path / "tq.db", clock=ahead, idempotency_s=KEPT_S) as core:
        await core.sweep_after(TICK_S)
        assert await enqueue_with_key(core) == task_id


async def test_what_is_older_than_any_doubt_goes_at_once(tmp_path: Path) -> None:
    async with open_core(tmp_path / "tq.db", idempotency_s=KEPT_S) as core:
        await enqueue_with_key(core)
    later = FakeClock(wall_ms=START_MS + CLOCK_DOUBT_MS + 1000 * (KEPT_S + 1))
    async with open_core(tmp_path / "tq.db", clock=later, idempotency_s=KEPT_S) as core:
        await core.sweep_after(TICK_S)
        assert await keys(core) == 0
