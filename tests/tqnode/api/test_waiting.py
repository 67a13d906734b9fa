"""Waits that end early, and bodies that come late, without a node around them."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tests.waiting import eventually_async
from tqnode.api.patience import Patience
from tqnode.api.waiting import ClientGone, Waiting
from tqnode.clock import SystemClock
from tqnode.errors import Draining


def leaving(gone: asyncio.Event) -> Callable[[], Awaitable[dict[str, Any]]]:
    async def receive() -> dict[str, Any]:
        await gone.wait()
        return {"type": "http.disconnect"}

    return receive


async def test_work_that_ends_first_gives_its_result() -> None:
    waiting = Waiting(asyncio.Event())

    async def work() -> int:
        await asyncio.sleep(0)
        return 7

    assert await waiting.run(work(), leaving(asyncio.Event())) == 7
    assert len(waiting) == 0
    await waiting.close()


async def test_work_for_a_client_that_left_is_cancelled() -> None:
    waiting, gone, cancelled = Waiting(asyncio.Event()), asyncio.Event(), asyncio.Event()

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise

    task = asyncio.create_task(waiting.run(work(), leaving(gone)))
    await eventually_async(lambda: len(waiting) == 1)
    gone.set()
    with pytest.raises(ClientGone):
        await task
    assert cancelled.is_set()
    await waiting.close()


async def test_a_result_nobody_waits_for_is_handed_back() -> None:
    """The client leaves in the very moment the work is done, for every order of the two."""
    handed_back: list[int] = []
    answered: list[int] = []

    async def unwanted(result: int) -> None:
        await asyncio.sleep(0)
        handed_back.append(result)

    for hops in range(12):
        waiting, gone = Waiting(asyncio.Event()), asyncio.Event()

        async def work(number: int = hops, gone: asyncio.Event = gone) -> int:
            for hop in range(6):
                if hop == number:
                    gone.set()
                await asyncio.sleep(0)
            if number >= 6:
                gone.set()
            for _ in range(number - 6):
                await asyncio.sleep(0)
            return number

        with contextlib.suppress(ClientGone):
            answered.append(await waiting.run(work(), leaving(gone), unwanted=unwanted))
        await waiting.close()
    assert handed_back
    assert not set(answered) & set(handed_back)


async def test_a_drain_ends_every_wait_and_lets_none_begin() -> None:
    draining = asyncio.Event()
    waiting = Waiting(draining)
    tasks = [
        asyncio.create_task(waiting.run(asyncio.Event().wait(), leaving(asyncio.Event()))) for _ in range(3)
    ]
    await eventually_async(lambda: len(waiting) == 3)
    draining.set()
    for task in tasks:
        with pytest.raises(Draining):
            await task
    with pytest.raises(Draining):
        await waiting.run(asyncio.Event().wait(), leaving(asyncio.Event()))
    await waiting.close()


async def test_a_cancel_from_outside_stays_a_cancel() -> None:
    waiting = Waiting(asyncio.Event())
    task = asyncio.create_task(waiting.run(asyncio.Event().wait(), leaving(asyncio.Event())))
    await eventually_async(lambda: len(waiting) == 1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert len(waiting) == 0
    await waiting.close()


async def test_patience_ends_for_who_is_late_alone() -> None:
    patience = Patience(SystemClock(), within_s=0.1)
    assert await patience.wait(asyncio.sleep(0, "quick")) == "quick"
    late, prompt = asyncio.Event(), asyncio.Event()
    waits = [asyncio.create_task(patience.wait(event.wait())) for event in (late, prompt)]
    await asyncio.sleep(0)
    prompt.set()
    assert await waits[1] is True
    with pytest.raises(TimeoutError):
        await waits[0]


async def test_patience_lets_a_cancel_from_outside_pass() -> None:
    patience = Patience(SystemClock(), within_s=60)
    task = asyncio.create_task(patience.wait(asyncio.Event().wait()))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
