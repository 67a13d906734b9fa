from concurrent.futures import ThreadPoolExecutor

from msgspec import Raw

from tests.tq.worker.claims import attempt
from tq.worker.attempt import Stop


def test_only_one_of_many_threads_may_say_how_it_ended() -> None:
    for _ in range(200):
        one = attempt()
        with ThreadPoolExecutor(8) as threads:
            assert sum(threads.map(lambda _, one=one: one.settle(), range(8))) == 1


def test_what_has_begun_is_not_given_back_as_unstarted() -> None:
    one = attempt()
    assert one.begin(5.0)
    assert not one.settle_unstarted()
    assert one.settle()


def test_what_was_given_back_does_not_begin() -> None:
    one = attempt()
    assert one.settle_unstarted()
    assert not one.begin(5.0)
    assert one.started_at is None


def test_what_was_told_to_stop_before_it_began_does_not_begin() -> None:
    one = attempt()
    assert one.ask_to_stop(Stop.CANCEL)
    assert not one.begin(5.0)


def test_first_reason_to_stop_stands_unless_the_lease_is_lost() -> None:
    one = attempt()
    assert not one.asked_to_stop()
    assert one.ask_to_stop(Stop.CANCEL)
    assert one.asked_to_stop()
    assert not one.ask_to_stop(Stop.TIMEOUT)
    assert one.stop == Stop.CANCEL
    assert one.ask_to_stop(Stop.LOST)
    assert not one.ask_to_stop(Stop.SHUTDOWN)
    assert one.stop.value == "lost"


def test_lease_counts_from_the_answer_that_granted_it() -> None:
    one = attempt(received_at=100.0, lease_s=30.0)
    assert one.gone_at == 130.0
    one.renewed(received_at=120.0)
    assert one.gone_at == 150.0


def test_progress_is_sent_until_the_node_has_the_newest() -> None:
    one = attempt()
    assert one.unsent_progress() is None
    first, second = Raw(b"1"), Raw(b"2")
    one.report_progress(first)
    assert one.unsent_progress() is first
    one.report_progress(second)
    one.progress_sent(first)
    assert one.unsent_progress() is second
    one.progress_sent(second)
    assert one.unsent_progress() is None
