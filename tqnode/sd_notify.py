"""Tells systemd how the node does, when it runs the node and asks."""

import logging
import os
import socket
from collections.abc import Mapping

logger = logging.getLogger(__name__)


class SdNotify:
    """The line to the service manager; silent when there is none.

    Args:
        environ: the environment: NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        path = environ.get("NOTIFY_SOCKET", "")
        # A leading "@" is systemd's way to write the zero byte of an abstract address.
        self._address = f"\0{path[1:]}" if path.startswith("@") else path
        self._watchdog_us = 0
        watched = environ.get("WATCHDOG_PID", "")
        if self._address and (not watched or watched == str(os.getpid())):
            text = environ.get("WATCHDOG_USEC", "0")
            self._watchdog_us = int(text) if text.isascii() and text.isdigit() else 0

    @property
    def watchdog_s(self) -> float | None:
        """Seconds between two pings, half of what systemd allows; None when it does not watch."""
        return self._watchdog_us / 2_000_000 if self._watchdog_us else None

    def ready(self, status: str) -> None:
        """Start-up is over.

        Args:
            status: one line that ``systemctl status`` shows.
        """
        self._send(f"READY=1\nSTATUS={status}")

    def stopping(self) -> None:
        """The node begins to stop."""
        self._send("STOPPING=1\nSTATUS=stopping")

    def ping(self) -> None:
        """The node is alive."""
        self._send("WATCHDOG=1")

    def _send(self, text: str) -> None:
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as line:
                line.connect(self._address)
                line.sendall(text.encode())
        except OSError as error:
            # systemd draws its own conclusion from the silence; the tasks should not suffer for it.
            logger.error("systemd cannot be told %s: %s", text.split("\n")[0], error)
