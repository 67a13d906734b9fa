import socket
import threading

from hypothesis import given
from hypothesis import strategies as st

from tq.worker import frames


@given(st.lists(st.tuples(st.integers(0, 255), st.binary(max_size=200)), max_size=8), st.data())
def test_frames_come_out_whole_however_the_stream_is_cut(
    sent: list[tuple[int, bytes]], data: st.DataObject
) -> None:
    ours, theirs, wire = *socket.socketpair(), bytearray()
    with ours, theirs:
        for kind, body in sent:
            frames.send(ours, kind, body)
        wire += theirs.recv(100_000) if sent else b""
    there, here = socket.socketpair()
    reader, received = frames.Frames(), []
    with there, here:
        while wire:
            size = data.draw(st.integers(1, len(wire)))
            there.sendall(bytes(wire[:size]))
            del wire[:size]
            found, alive = reader.read(here)
            assert alive
            received += found
        assert reader.read(here) == ([], True)
        there.shutdown(socket.SHUT_WR)
        assert reader.read(here) == ([], False)
    assert received == sent


def test_large_frame_is_received_whole_and_the_end_is_told() -> None:
    ours, theirs = socket.socketpair()
    body = b"x" * 3_000_000

    def send_and_go() -> None:
        frames.send(theirs, frames.OUTCOME, body)
        theirs.close()

    sending = threading.Thread(target=send_and_go)
    sending.start()
    assert frames.receive(ours) == (frames.OUTCOME, body)
    assert frames.receive(ours) is None
    sending.join(5)
    ours.close()


def test_frame_cut_off_in_the_middle_is_the_end() -> None:
    ours, theirs = socket.socketpair()
    theirs.sendall(b"\x00\x00\x00\x0a\x04half")
    theirs.close()
    assert frames.receive(ours) is None
    ours.close()
