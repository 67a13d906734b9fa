"""A TCP proxy in front of a node that cuts connections at the worst moment.

The node has answered, so its work is done and on disk; the client never hears of it.
"""

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

CHUNK_BYTES = 1 << 16


class CuttingProxy:
    """Forwards each connection's requests; of some, it swallows the answer and cuts the connection.

    Args:
        url: of the node.
        cuts: asked for each answer, which are counted from 0; true means that this one is lost.
    """

    def __init__(self, url: str, cuts: Callable[[int], bool]) -> None:
        parts = urlsplit(url)
        self._node = (str(parts.hostname), int(parts.port or 80))
        self._cuts = cuts
        self._counting = threading.Lock()
        self.answers = 0
        self.lost = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        # A blocked accept only ends when the socket is shut down, not when it is closed.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join(10)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            node = socket.create_connection(self._node)
            threading.Thread(target=self._forward, args=(client, node), daemon=True).start()
            threading.Thread(target=self._answer, args=(node, client), daemon=True).start()

    def _forward(self, client: socket.socket, node: socket.socket) -> None:
        """From the client to the node, until either is gone."""
        with contextlib.suppress(OSError):
            while data := client.recv(CHUNK_BYTES):
                node.sendall(data)
            node.shutdown(socket.SHUT_WR)

    def _answer(self, node: socket.socket, client: socket.socket) -> None:
        """From the node to the client; an answer begins with its status line."""
        lost = False
        with contextlib.suppress(OSError):
            while data := node.recv(CHUNK_BYTES):
                if data.startswith(b"HTTP/1.1 ") and self._is_lost():
                    lost = True
                    break
                client.sendall(data)
        if lost:
            # Reset rather than end: what a client sees when a machine or a network goes.
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        for sock in (client, node):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()

    def _is_lost(self) -> bool:
        with self._counting:
            number = self.answers
            self.answers += 1
            lost = self._cuts(number)
            self.lost += lost
            return lost


@contextlib.contextmanager
def cutting(url: str, cuts: Callable[[int], bool]) -> Iterator[CuttingProxy]:
    """A proxy for the length of a ``with`` block."""
    proxy = CuttingProxy(url, cuts)
    try:
        yield proxy
    finally:
        proxy.stop()
