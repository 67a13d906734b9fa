import asyncio
import time

from tqnode.clock import Clock, Rng, SystemClock, SystemRng


async def test_the_system_clock_tells_the_machine_s_wall_time_in_milliseconds() -> None:
    clock: Clock = SystemClock()
    before_ms = time.time_ns() // 1_000_000
    now_ms = clock.now_ms()
    assert before_ms <= now_ms <= time.time_ns() // 1_000_000


async def test_the_monotonic_time_counts_what_a_suspended_host_slept() -> None:
    before = time.clock_gettime(time.CLOCK_BOOTTIME)
    now = SystemClock().monotonic()
    assert before <= now <= time.clock_gettime(time.CLOCK_BOOTTIME)


async def test_a_sleep_lasts_at_least_as_long_as_asked_and_lets_others_run() -> None:
    clock = SystemClock()
    ran: list[bool] = []
    began = clock.monotonic()
    sleeping = asyncio.create_task(clock.sleep(0.02))
    asyncio.get_running_loop().call_soon(ran.append, True)
    await sleeping
    assert clock.monotonic() - began >= 0.02
    assert ran


def test_system_chance_gives_as_many_bits_as_asked_and_never_the_same() -> None:
    rng: Rng = SystemRng()
    drawn = {rng.bits(63) for _ in range(100)}
    assert len(drawn) == 100
    assert max(drawn) < 1 << 63
    assert max(drawn) >= 1 << 56, "the high bits are always zero"


def test_system_chance_gives_fractions_from_zero_up_to_but_not_one() -> None:
    rng = SystemRng()
    fractions = [rng.fraction() for _ in range(1000)]
    assert all(0 <= fraction < 1 for fraction in fractions)
    assert min(fractions) < 0.1
    assert max(fractions) > 0.9
