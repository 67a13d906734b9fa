"""Gates: opened before somebody waits or while they do, once for each wait."""

import asyncio
import threading
import time

from tq.gates import LoopGate, ThreadGate

LONG_S = 60.0


def test_a_gate_that_is_open_lets_one_wait_through() -> None:
    gate = ThreadGate()
    gate.open()
    gate.open()
    gate.wait(LONG_S)
    began = time.monotonic()
    gate.wait(0.05)
    assert time.monotonic() - began >= 0.05


def test_a_thread_that_waits_is_let_through_when_the_gate_opens() -> None:
    gate = ThreadGate()
    thread = threading.Thread(target=gate.wait, args=(LONG_S,))
    thread.start()
    gate.open()
    thread.join(30)
    assert not thread.is_alive()


async def test_an_open_gate_of_a_loop_lets_one_wait_through() -> None:
    gate = LoopGate()
    gate.open()
    gate.open()
    await asyncio.wait_for(gate.wait(LONG_S), 30)
    began = time.monotonic()
    await gate.wait(0.05)
    # A loop's timers may be early by its clock's resolution.
    assert time.monotonic() - began >= 0.04


async def test_a_task_that_waits_is_let_through_when_the_gate_opens() -> None:
    gate = LoopGate()
    waiting = asyncio.create_task(gate.wait(LONG_S))
    await asyncio.sleep(0)
    gate.open()
    gate.open()
    await asyncio.wait_for(waiting, 30)
    assert waiting.done()


async def test_a_wait_that_was_cancelled_leaves_the_gate_fit_for_the_next() -> None:
    gate = LoopGate()
    waiting = asyncio.create_task(gate.wait(LONG_S))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait([waiting])
    gate.open()
    await asyncio.wait_for(gate.wait(LONG_S), 30)
    assert waiting.cancelled()


def test_a_gate_of_a_loop_that_was_closed_over_it_may_be_opened() -> None:
    gate = LoopGate()
    loop = asyncio.new_event_loop()
    waiting = loop.create_task(gate.wait(LONG_S))
    loop.run_until_complete(asyncio.sleep(0))
    try:
        loop.close()
        gate.open()
        assert not waiting.done()
    finally:
        # It would complain of what became of its task.
        waiting.get_coro().close()
        waiting._log_destroy_pending = False  # type: ignore[attr-defined]  # not in the types
