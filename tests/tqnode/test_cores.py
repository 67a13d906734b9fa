"""Two threads on one core: which one, who else is left alone, and what happens where it can't be."""

import asyncio
import os
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.tqnode.nodes import SeededRng
from tests.waiting import eventually_async
from tqnode import cores
from tqnode.child_process import bound_to_this_process
from tqnode.clock import SystemClock
from tqnode.cores import ALL, WORTH_MOVING, Place, better, one_core

PARTNER = "the-partner"
seconds = st.floats(0, 1)


@pytest.fixture(autouse=True)
def all_cores_again() -> Iterator[None]:
    yield
    os.sched_setaffinity(0, ALL)


@pytest.fixture
def thread() -> Iterator[threading.Thread]:
    over = threading.Event()
    made = threading.Thread(target=over.wait, name=PARTNER)
    made.start()
    yield made
    over.set()
    made.join()


def cores_of(thread: threading.Thread) -> set[int]:
    assert thread.native_id is not None
    return os.sched_getaffinity(thread.native_id)


def test_threads_on_no_core_go_to_the_one_that_others_use_least() -> None:
    assert better(None, {0: 3.0, 1: 1.0, 2: 2.0}, 10.0, will_move=False) == 1


def test_threads_move_only_where_others_use_much_less() -> None:
    assert better(0, {0: 0.5, 1: 0.4}, 1.0, will_move=True) == 0
    assert better(0, {0: 0.9, 1: 0.4}, 1.0, will_move=True) == 1
    assert better(0, {0: 0.9, 1: 0.4}, 10.0, will_move=True) == 0, "of ten seconds that is little"


def test_threads_that_are_not_to_move_stay() -> None:
    assert better(0, {0: 0.9, 1: 0.0}, 1.0, will_move=False) == 0


@given(others=st.dictionaries(st.integers(0, 63), seconds, min_size=1), data=st.data())
def test_a_move_is_always_worth_it_and_brings_rest(others: dict[int, float], data: st.DataObject) -> None:
    core = data.draw(st.sampled_from(sorted(others)))
    chosen = better(core, others, 1.0, will_move=True)
    assert chosen == core or others[core] - others[chosen] > WORTH_MOVING
    assert better(chosen, others, 1.0, will_move=True) == chosen


async def test_both_threads_are_on_one_core_and_others_on_all(thread: threading.Thread) -> None:
    over = threading.Event()
    other = threading.Thread(target=over.wait)
    other.start()
    async with one_core(PARTNER, clock=SystemClock(), rng=SeededRng(0)):

        def together() -> bool:
            return cores_of(thread) == os.sched_getaffinity(0) and len(cores_of(thread)) == 1

        await eventually_async(together, within_s=20)
        assert cores_of(other) == ALL
    assert cores_of(thread) == os.sched_getaffinity(0) == ALL
    over.set()
    other.join()


def test_a_thread_that_one_of_the_two_has_started_gets_all_cores(thread: threading.Thread) -> None:
    place = Place(PARTNER, rng=SeededRng(0))
    place.look(1.0)
    over = threading.Event()
    later = threading.Thread(target=over.wait)
    later.start()
    place.look(2.0)
    assert (len(cores_of(thread)), cores_of(later)) == (1, set(ALL))
    over.set()
    later.join()
    place.leave()


def test_a_partner_that_comes_later_is_taken_in() -> None:
    place = Place(PARTNER, rng=SeededRng(0))
    place.look(1.0)
    over = threading.Event()
    later = threading.Thread(target=over.wait, name=PARTNER)
    later.start()
    place.look(2.0)
    assert cores_of(later) == os.sched_getaffinity(0)
    over.set()
    later.join()
    place.leave()


def test_a_program_started_by_one_of_the_two_gets_all_cores() -> None:
    os.sched_setaffinity(0, {min(ALL)})
    command = bound_to_this_process(["/bin/cat", "/proc/self/status"])
    status = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    allowed = next(line for line in status.splitlines() if line.startswith("Cpus_allowed:"))
    assert int(allowed.split()[1].replace(",", ""), 16) == sum(1 << core for core in ALL)


async def test_where_the_cores_say_nothing_the_threads_stay_on_all(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    caplog.set_level("INFO", logger=cores.__name__)
    monkeypatch.setattr(cores, "ALL", frozenset({*ALL, 1_000_000}))

    def said() -> bool:
        return "the threads stay on all cores" in caplog.text

    async with one_core(PARTNER, clock=SystemClock(), rng=SeededRng(0)):
        await eventually_async(said, within_s=20)
    assert os.sched_getaffinity(0) == ALL
    assert not [task for task in asyncio.all_tasks() if task.get_name() == "one-core"]
