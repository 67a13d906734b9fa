import pytest

import tq
from tq.clock import SystemClock
from tq.config import Settings
from tq.errors import ApiError
from tq.worker.options import Options
from tq.worker.orders import Broken, Refused, Signalled, Steered
from tq.worker.worker import Worker


@pytest.fixture
def idle() -> Worker:
    """A worker that has not been started."""
    app = tq.App()

    @app.task
    def nothing() -> None:
        return None

    options = Options(
        settings=Settings(("http://127.0.0.1:9",), None),
        name="me",
        queues=["default"],
        slots=1,
        environment={},
        target="unused",
    )
    return Worker(options, app, SystemClock())


def test_thread_that_breaks_is_told_and_makes_the_worker_go(
    idle: Worker, caplog: pytest.LogCaptureFixture
) -> None:
    def broken() -> None:
        raise RuntimeError("not foreseen")

    idle._spawn("reporter", broken).join(5)
    assert idle._obey() == Broken("reporter")
    assert "not foreseen" in caplog.text


def test_steering_to_quiet_and_back_holds_up_and_lets_go(idle: Worker) -> None:
    idle._steered("quiet")
    idle._steered("quiet")
    idle._orders.put(Signalled("SIGTERM"))
    assert idle._obey() == Signalled("SIGTERM")
    assert idle._room._held_up == {"quiet"}
    idle._steered("run")
    idle._steered("terminate")
    assert idle._obey() == Steered("terminate")
    assert idle._room._held_up == set()
    assert idle._room.wait_for_some() == 1


def test_refusal_makes_the_worker_go(idle: Worker) -> None:
    error = ApiError("not let in", status=401)
    idle._refused(error)
    assert idle._obey() == Refused(error)
