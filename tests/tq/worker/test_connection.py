import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.tq.scripted_server import Say, free_port, serving
from tq.worker.connection import Connection, NotReached

ANSWER = b'HTTP/1.1 200 OK\r\ncontent-length: 12\r\n\r\n{"tasks":[]}'


class RawServer:
    """Accepts connections and leaves the rest to the test."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.settimeout(10)
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"

    def accept(self) -> socket.socket:
        sock, _ = self.listener.accept()
        sock.settimeout(10)
        return sock


@pytest.fixture
def raw() -> Iterator[RawServer]:
    server = RawServer()
    yield server
    server.listener.close()


def read_request(sock: socket.socket) -> bytes:
    """A request whose body ends in a brace."""
    got = b""
    while not got.endswith(b"}"):
        chunk = sock.recv(65536)
        assert chunk, got
        got += chunk
    return got


def test_request_carries_the_token_and_the_connection_is_kept() -> None:
    with serving(Say(value={"a": 1}), Say(status=409, value={"b": 2})) as server:
        connection = Connection(server.url, token="t0ken")
        first = connection.exchange("POST", "/v1/claims", b'{"max":1}', timeout_s=5)
        second = connection.exchange("DELETE", "/v1/workers/x", None, timeout_s=5)
        connection.close()
    assert (first.status, first.body, second.status, second.body) == (200, b'{"a":1}', 409, b'{"b":2}')
    assert server.connections == 1
    assert [(got.method, got.path, got.body) for got in server.got] == [
        ("POST", "/v1/claims", b'{"max":1}'),
        ("DELETE", "/v1/workers/x", b""),
    ]
    assert server.got[0].headers["authorization"] == "Bearer t0ken"
    assert server.got[0].headers["content-type"] == "application/json"


def test_base_url_may_have_a_path() -> None:
    with serving(Say(value={})) as server:
        connection = Connection(server.url + "/queue/", token=None)
        connection.exchange("POST", "/v1/claims", b"{}", timeout_s=5)
        connection.close()
    assert server.got[0].path == "/queue/v1/claims"
    assert "authorization" not in server.got[0].headers


def test_connection_the_node_closed_meanwhile_is_opened_anew(raw: RawServer) -> None:
    connection = Connection(raw.url, token=None)

    def answer_and_close() -> None:
        with raw.accept() as sock:
            read_request(sock)
            sock.sendall(ANSWER)

    with ThreadPoolExecutor(1) as thread:
        for _ in range(2):
            served = thread.submit(answer_and_close)
            assert connection.exchange("POST", "/", b"{}", timeout_s=5).status == 200
            served.result(5)  # not before its close: a request that crosses it is an unknown outcome
    connection.close()


def test_nobody_there_is_not_reached() -> None:
    connection = Connection(f"http://127.0.0.1:{free_port()}", token=None)
    with pytest.raises(NotReached):
        connection.exchange("POST", "/", b"{}", timeout_s=1)


@pytest.mark.parametrize("cut", [0, 3])
def test_answer_that_is_cut_off_is_not_reached(cut: int) -> None:
    with serving(Say(value={"a": 1}, cut_after=cut)) as server:
        connection = Connection(server.url, token=None)
        with pytest.raises(NotReached):
            connection.exchange("POST", "/", b"{}", timeout_s=5)


def test_silent_node_is_not_reached_after_the_time_given() -> None:
    with serving(Say(cut_after=0, hang=True)) as server:
        connection = Connection(server.url, token=None)
        with pytest.raises(NotReached):
            connection.exchange("POST", "/", b"{}", timeout_s=0.1)


def test_breaking_off_ends_an_exchange_that_waits(raw: RawServer) -> None:
    connection = Connection(raw.url, token=None)
    with ThreadPoolExecutor(1) as thread:
        waiting = thread.submit(connection.exchange, "POST", "/", b"{}", timeout_s=30)
        with raw.accept() as sock:
            read_request(sock)
            connection.break_off()
            assert sock.recv(1) == b"", "the node does not see that the client is gone"
        with pytest.raises(NotReached):
            waiting.result(5)
    with pytest.raises(NotReached):
        connection.exchange("POST", "/", b"{}", timeout_s=5)


def test_answer_on_its_way_is_read_although_it_was_broken_off(raw: RawServer) -> None:
    connection = Connection(raw.url, token=None)
    with ThreadPoolExecutor(1) as thread:
        waiting = thread.submit(connection.exchange, "POST", "/", b"{}", timeout_s=30)
        with raw.accept() as sock:
            read_request(sock)
            connection.break_off()
            sock.sendall(ANSWER)
        assert waiting.result(5).body == b'{"tasks":[]}'
    connection.close()


def test_breaking_off_without_a_connection_keeps_it_from_being_made(raw: RawServer) -> None:
    connection = Connection(raw.url, token=None)
    connection.break_off()
    with pytest.raises(NotReached):
        connection.exchange("POST", "/", b"{}", timeout_s=5)


def test_breaking_off_while_it_works_never_loses_an_answer_that_was_sent() -> None:
    """The node either sends its whole answer and the client has it, or sees the client gone before."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        for _ in range(50):
            connection = Connection(url, token=None)
            with ThreadPoolExecutor(1) as thread:
                waiting = thread.submit(connection.exchange, "POST", "/", b"{}", timeout_s=10)
                sock, _ = listener.accept()
                with sock:
                    read_request(sock)
                    breaking = threading.Thread(target=connection.break_off)
                    breaking.start()
                    sock.sendall(ANSWER)
                    breaking.join()
                    assert waiting.result(5).status == 200
            connection.close()


@pytest.mark.parametrize("url", ["ftp://host", "127.0.0.1:7333", "http://"])
def test_url_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="http"):
        Connection(url, token=None)


def test_kernel_notices_within_seconds_that_the_nodes_machine_is_gone(raw: RawServer) -> None:
    made: list[socket.socket] = []
    create = socket.create_connection

    def keep(*args: object, **kwargs: object) -> socket.socket:
        made.append(create(*args, **kwargs))  # type: ignore[arg-type]  # passed on as they came
        return made[-1]

    connection = Connection(raw.url, token=None)
    with pytest.MonkeyPatch.context() as patch, ThreadPoolExecutor(1) as thread:
        patch.setattr(socket, "create_connection", keep)
        asked = thread.submit(connection.exchange, "POST", "/", b"{}", timeout_s=10)
        with raw.accept() as sock:
            read_request(sock)
            sock.sendall(ANSWER)
            assert asked.result(10).status == 200
            tcp = [
                made[0].getsockopt(socket.IPPROTO_TCP, option)
                for option in (
                    socket.TCP_KEEPIDLE,
                    socket.TCP_KEEPINTVL,
                    socket.TCP_KEEPCNT,
                    socket.TCP_USER_TIMEOUT,
                )
            ]
            assert made[0].getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
            assert tcp == [3, 1, 3, 6000]
            connection.close()
