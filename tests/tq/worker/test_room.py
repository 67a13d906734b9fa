import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.waiting import eventually
from tq.worker.room import Room


def test_room_is_slots_and_prefetch_less_what_is_in_hand() -> None:
    room = Room(slots=4, prefetch=2)
    assert room.wait_for_some() == 6
    room.take(5)
    assert room.wait_for_some() == 1
    room.leave(2)
    assert (room.wait_for_some(), room.busy) == (3, 3)


def test_full_room_waits_until_something_leaves() -> None:
    room = Room(slots=1, prefetch=0)
    room.take(1)
    with ThreadPoolExecutor(1) as thread:
        waiting = thread.submit(room.wait_for_some)
        with pytest.raises(TimeoutError):
            waiting.result(0.05)
        room.leave()
        assert waiting.result(5) == 1


def test_room_held_up_for_two_reasons_needs_both_withdrawn() -> None:
    room = Room(slots=3, prefetch=0)
    room.hold_up("quiet")
    room.hold_up("backlog")
    room.go_on("quiet")
    with ThreadPoolExecutor(1) as thread:
        waiting = thread.submit(room.wait_for_some)
        with pytest.raises(TimeoutError):
            waiting.result(0.05)
        room.go_on("backlog")
        assert waiting.result(5) == 3


def test_closed_room_lets_who_waits_go() -> None:
    room = Room(slots=1, prefetch=0)
    room.take(1)
    answers: list[int] = []
    waiting = threading.Thread(target=lambda: answers.append(room.wait_for_some()))
    waiting.start()
    room.close()
    waiting.join(5)
    assert answers == [0]
    assert room.wait_for_some() == 0


def test_waiting_for_an_empty_room_ends_with_the_last_task() -> None:
    room = Room(slots=2, prefetch=0)
    room.take(2)
    assert not room.wait_until_empty(0.0)
    with ThreadPoolExecutor(1) as thread:
        waiting = thread.submit(room.wait_until_empty, 10.0)
        room.leave()
        room.leave()
        assert waiting.result(5)
    assert eventually(lambda: room.busy == 0)
