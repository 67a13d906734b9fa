import uuid

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tqnode import ids

times_ms = st.integers(0, (1 << 48) - 1)
seqs = st.integers(0, (1 << ids.SEQ_BITS) - 1)
nonces = st.integers(0, (1 << ids.NONCE_BITS) - 1)
GOOD = "0190163d-8694-7000-8000-000000000000"


@given(at_ms=times_ms, seq=seqs, nonce=nonces)
def test_an_id_is_a_version_7_uuid_that_gives_back_what_was_packed(at_ms: int, seq: int, nonce: int) -> None:
    packed = ids.pack(at_ms=at_ms, seq=seq, nonce=nonce)
    as_uuid = uuid.UUID(bytes=packed)
    assert as_uuid.version == 7
    assert as_uuid.variant == uuid.RFC_4122
    assert ids.seq_of(packed) == seq
    assert packed[:6] == at_ms.to_bytes(6, "big")
    assert int.from_bytes(packed, "big") & (1 << ids.NONCE_BITS) - 1 == nonce


@given(at_ms=times_ms, seq=seqs, nonce=nonces)
def test_a_written_id_reads_back_to_the_same_bytes_and_time(at_ms: int, seq: int, nonce: int) -> None:
    packed = ids.pack(at_ms=at_ms, seq=seq, nonce=nonce)
    written = ids.text(packed)
    assert written == str(uuid.UUID(bytes=packed))
    assert ids.parse(written) == packed
    assert ids.parse(written.upper()) == packed
    assert ids.time_ms_of(written) == at_ms


@given(tasks=st.lists(st.tuples(times_ms, seqs, nonces), min_size=2, max_size=20))
def test_ids_sort_by_time_and_then_by_row_whatever_their_random_bits(
    tasks: list[tuple[int, int, int]],
) -> None:
    in_order = sorted(tasks)
    written = [ids.text(ids.pack(at_ms=at_ms, seq=seq, nonce=nonce)) for at_ms, seq, nonce in in_order]
    assert written == sorted(written)


@given(at_ms=times_ms, first=st.integers(0, (1 << ids.SEQ_BITS) - 41), words=st.lists(nonces, max_size=40))
@example(at_ms=1, first=(1 << 30) - 2, words=[1, 2, 3, 4])
def test_many_ids_are_the_same_as_each_alone(at_ms: int, first: int, words: list[int]) -> None:
    seqs = range(first, first + len(words))
    together = int.from_bytes(b"".join(word.to_bytes(4, "big") for word in words), "big")
    packed = ids.pack_all(at_ms=at_ms, seqs=seqs, nonces=together)
    assert packed == [
        ids.pack(at_ms=at_ms, seq=seq, nonce=nonce) for seq, nonce in zip(seqs, words, strict=True)
    ]
    assert ids.seqs_of(packed) == list(seqs)
    written = ids.texts(packed)
    assert written == [ids.text(one) for one in packed]
    assert ids.parse_all(written) == packed


@pytest.mark.parametrize(
    "written",
    [
        "",
        "1",
        "not-a-uuid",
        "0190163d869470008000000000000000",
        "{0190163d-8694-7000-8000-000000000000}",
        "urn:uuid:0190163d-8694-7000-8000-000000000000",
        "0190163d-8694-7000-8000-00000000000g",
        "0190163d-8694-7000-8000-0000000000000",
        "0190163d-8694-7000-8000-000000000\x00",
        "----" + "0" * 32,
        "0190163d-8694-7000-8000-00000000_000",
        "0190163d-8694-7000-8000-000000000000\n",
        "0190163d-8694-7000-8000-00000000000\N{FULLWIDTH DIGIT ONE}",
    ],
)
def test_what_is_not_written_as_a_uuid_is_refused(written: str) -> None:
    with pytest.raises(ValueError, match=r".*"):
        ids.parse(written)
    for many in ([written], [GOOD, written], [written, GOOD], [written, written]):
        with pytest.raises(ValueError, match=r".*"):
            ids.parse_all(many)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (GOOD[:-1], GOOD + "0"),  # together as long as two
        (GOOD[:-2] + " 0", GOOD),
        (GOOD[:-1] + "-", "0" + GOOD[1:]),
    ],
)
def test_ids_that_are_none_are_refused_though_they_add_up_to_some(one: str, other: str) -> None:
    with pytest.raises(ValueError, match=r".*"):
        ids.parse_all([one, other])


@given(st.text())
def test_any_text_is_either_an_id_that_stands_for_itself_or_refused(written: str) -> None:
    try:
        packed = ids.parse(written)
    except ValueError:
        return
    assert ids.text(packed) == written.lower()
