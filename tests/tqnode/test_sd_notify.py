"""What systemd is told."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tqnode.sd_notify import SdNotify


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as line:
        line.bind(str(tmp_path / "notify"))
        line.settimeout(5)
        yield line


def test_the_manager_hears_ready_ping_and_stopping(manager: socket.socket) -> None:
    notify = SdNotify({"NOTIFY_SOCKET": manager.getsockname()})
    notify.ready("listening")
    notify.ping()
    notify.stopping()
    assert [manager.recv(100) for _ in range(3)] == [
        b"READY=1\nSTATUS=listening",
        b"WATCHDOG=1",
        b"STOPPING=1\nSTATUS=stopping",
    ]


def test_an_abstract_address_is_reached() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as line:
        line.bind(f"\0tqnode-test-{os.getpid()}")
        line.settimeout(5)
        SdNotify({"NOTIFY_SOCKET": f"@tqnode-test-{os.getpid()}"}).ping()
        assert line.recv(100) == b"WATCHDOG=1"


def test_pings_come_twice_as_often_as_the_watchdog_asks() -> None:
    environ = {"NOTIFY_SOCKET": "/run/x", "WATCHDOG_USEC": "30000000"}
    assert SdNotify(environ).watchdog_s == 15
    assert SdNotify(environ | {"WATCHDOG_PID": str(os.getpid())}).watchdog_s == 15


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"WATCHDOG_USEC": "1000"},
        {"NOTIFY_SOCKET": "/run/x"},
        {"NOTIFY_SOCKET": "/run/x", "WATCHDOG_USEC": "soon"},
        {"NOTIFY_SOCKET": "/run/x", "WATCHDOG_USEC": "1000", "WATCHDOG_PID": "1"},
    ],
)
def test_nobody_is_pinged_who_does_not_watch_this_process(environ: dict[str, str]) -> None:
    assert SdNotify(environ).watchdog_s is None


def test_without_a_manager_nothing_is_sent(tmp_path: Path) -> None:
    notify = SdNotify({})
    notify.ready("x")
    notify.ping()
    notify.stopping()
    assert list(tmp_path.iterdir()) == []


def test_a_manager_that_is_gone_is_logged_and_does_not_end_the_node(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    SdNotify({"NOTIFY_SOCKET": str(tmp_path / "gone")}).ping()
    assert "systemd cannot be told WATCHDOG=1" in caplog.text
