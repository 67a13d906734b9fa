import os

from hypothesis import given
from hypothesis import strategies as st

from tq.worker.pipes import EachLine, Kept, Lines, drain, read_available

CHUNKS = st.lists(st.binary(max_size=20), max_size=30)


@given(CHUNKS)
def test_stream_within_the_limit_is_kept_whole_and_beyond_it_by_its_end(chunks: list[bytes]) -> None:
    kept = Kept(most=50, tail=10)
    for chunk in chunks:
        kept.add(chunk)
    whole = b"".join(chunks)
    assert kept.cut == (len(whole) > 50)
    assert kept.bytes() == (whole[-10:] if kept.cut else whole)


@given(st.lists(st.sampled_from([b"", b"1", b"22", b"too long by far", b" "]), max_size=12), st.data())
def test_newest_line_is_told_however_the_stream_is_cut(lines: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(line + b"\n" for line in lines)
    told: list[bytes] = []
    reader = Lines(most=5, newest=told.append)
    while stream:
        size = data.draw(st.integers(1, len(stream)))
        reader.add(stream[:size])
        stream = stream[size:]
    fitting = [line for line in lines if line in (b"1", b"22")]
    assert told[-1:] == fitting[-1:]
    assert set(told) <= set(fitting)


def test_reading_tells_what_is_there_from_the_end() -> None:
    ours, theirs = os.pipe()
    os.set_blocking(ours, False)
    kept = Kept(most=100, tail=10)
    assert read_available(ours, kept.add), "nothing to read yet is not the end"
    os.write(theirs, b"words")
    assert read_available(ours, kept.add)
    os.close(theirs)
    assert not read_available(ours, kept.add)
    assert kept.text() == "words"
    os.close(ours)


def test_draining_ends_although_somebody_holds_the_pipe_open() -> None:
    ours, theirs = os.pipe()
    os.set_blocking(ours, False)
    os.write(theirs, b"left behind")
    kept = Kept(most=100, tail=10)
    drain(ours, kept.add, most=1000)
    assert kept.bytes() == b"left behind"
    os.close(ours)
    os.close(theirs)


@given(st.lists(st.sampled_from([b"", b"1", b"22\r", b"too long by far", b" "]), max_size=12), st.data())
def test_each_line_is_told_once_however_the_stream_is_cut(lines: list[bytes], data: st.DataObject) -> None:
    stream = b"\n".join(lines)
    told: list[bytes] = []
    reader = EachLine(most=5, each=told.append)
    while stream:
        size = data.draw(st.integers(1, len(stream)))
        reader.add(stream[:size])
        stream = stream[size:]
    reader.end()
    assert told == [line.rstrip(b"\r")[:5] for line in lines if line.strip()]
