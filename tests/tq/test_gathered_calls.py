"""Enqueues that meet at one client, over real HTTP: threads, tasks, signals, child processes."""

import asyncio
import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import msgspec
import pytest

import tq
from tests.tq.driving import task_row
from tests.tq.scripted_server import Say, serving
from tests.waiting import eventually, eventually_async

ID = "018f0000-0000-7000-8000-000000000001"


def stored() -> Say:
    return Say(201, task_row(ID))


HANG = Say(cut_after=0, hang=True)


def test_a_handler_of_a_signal_need_not_wait_for_the_call_it_interrupts() -> None:
    made: list[str] = []
    with serving(HANG, stored()) as server, tq.Client(server.url, timeout_s=5.0, retries=0) as client:
        before = signal.signal(signal.SIGUSR1, lambda *_: made.append(client.enqueue("k").id))
        main = threading.main_thread().ident or 0

        def interrupt() -> None:
            eventually(lambda: len(server.got) == 1)
            signal.pthread_kill(main, signal.SIGUSR1)
            eventually(lambda: made)
            server.stop()

        thread = threading.Thread(target=interrupt)
        thread.start()
        try:
            with pytest.raises(tq.TqError):
                client.enqueue("k")
        finally:
            thread.join(30)
            signal.signal(signal.SIGUSR1, before)
    assert made == [ID]


FORK = """
import os, sys, threading, time, tq
url, task_id = sys.argv[1:]
client = tq.Client(url)
threading.Thread(target=client.enqueue, args=("k",), daemon=True).start()
sys.stdin.readline()
if os.fork() == 0:
    began = time.monotonic()
    same = client.enqueue("k").id == task_id
    os._exit(not same or time.monotonic() - began > 20)
os._exit(os.waitstatus_to_exitcode(os.wait()[1]))
"""


def test_a_child_process_does_not_wait_for_a_thread_that_only_its_parent_has() -> None:
    with serving(HANG, stored()) as server:
        command = [sys.executable, "-W", "ignore", "-c", FORK, server.url, ID]
        with subprocess.Popen(command, stdin=subprocess.PIPE, env=os.environ.copy()) as process:
            eventually(lambda: len(server.got) == 1)
            process.communicate(b"\n", timeout=60)
    assert process.returncode == 0
    assert len(server.got) == 2


def test_closing_the_client_ends_those_that_wait_with_an_error_that_says_so() -> None:
    with (
        serving(HANG) as server,
        tq.Client(server.url, timeout_s=2.0, retries=0) as client,
        ThreadPoolExecutor(5) as pool,
    ):
        calls = [pool.submit(client.enqueue, "k")]
        eventually(lambda: len(server.got) == 1)
        calls += [pool.submit(client.enqueue, "k") for _ in range(4)]
        client.close()
        ends = [call.exception(30) for call in calls]
    assert isinstance(ends[0], tq.TqError | RuntimeError)
    assert [str(end) for end in ends[1:]] == ["this client was closed"] * 4
    assert len(server.got) == 1


async def test_closing_the_async_client_ends_those_that_wait_with_an_error_that_says_so() -> None:
    with serving(HANG) as server:
        client = tq.AsyncClient(server.url, timeout_s=2.0, retries=0)
        calls = [asyncio.create_task(client.enqueue("k"))]
        await eventually_async(lambda: len(server.got) == 1)
        calls += [asyncio.create_task(client.enqueue("k")) for _ in range(4)]
        await asyncio.sleep(0)
        await client.close()
        ends = await asyncio.wait_for(asyncio.gather(*calls, return_exceptions=True), 30)
    assert isinstance(ends[0], tq.TqError | RuntimeError)
    assert [str(end) for end in ends[1:]] == ["this client was closed"] * 4
    assert len(server.got) == 1


async def test_a_task_that_is_cancelled_in_line_takes_nothing_from_the_others() -> None:
    rows = Say(201, {"results": [{"id": ID, "state": "ready"}] * 2})
    with serving(stored(), HANG, rows) as server:
        async with tq.AsyncClient(server.url) as client:
            await client.enqueue("k", 0)
            first = asyncio.create_task(client.enqueue("k", 1))
            await eventually_async(lambda: len(server.got) == 2)
            others = [asyncio.create_task(client.enqueue("k", number)) for number in range(2, 6)]
            await asyncio.sleep(0)
            others[0].cancel()
            others[2].cancel()
            ends = await asyncio.wait_for(asyncio.gather(*others, return_exceptions=True), 30)
            first.cancel()
            await asyncio.wait([first])
            # Nothing is left of the one that hung.
            server.answers = [stored()]
            assert (await client.enqueue("k", 6)).id == ID
    assert [type(end).__name__ for end in ends] == ["CancelledError", "Task", "CancelledError", "Task"]
    assert [row["payload"] for row in msgspec.json.decode(server.got[2].body)] == [3, 5]


async def test_a_task_that_is_cancelled_while_it_sends_for_others_leaves_its_request_to_them() -> None:
    rows = Say(201, {"results": [{"id": ID, "state": "ready"}] * 3})
    with serving(stored(), HANG, HANG, rows) as server:
        async with tq.AsyncClient(server.url) as client:
            await client.enqueue("k", 0)
            first = asyncio.create_task(client.enqueue("k", 1))
            await eventually_async(lambda: len(server.got) == 2)
            others = [asyncio.create_task(client.enqueue("k", number)) for number in range(2, 5)]
            await eventually_async(lambda: len(server.got) == 3)
            others[0].cancel()
            ends = await asyncio.wait_for(asyncio.gather(*others, return_exceptions=True), 30)
            first.cancel()
            await asyncio.wait([first])
    assert [type(end).__name__ for end in ends] == ["CancelledError", "Task", "Task"]
    sent, again = server.got[2:]
    assert (sent.body, sent.headers["idempotency-key"]) == (again.body, again.headers["idempotency-key"])
