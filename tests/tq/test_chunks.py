"""Long lists in requests of bounded size."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from tq.chunks import chunks

rows_of_bytes = st.lists(st.integers(0, 12).map(lambda size: b"x" * size), max_size=60)


@given(rows=rows_of_bytes, rows_max=st.integers(1, 7), bytes_max=st.integers(1, 20))
def test_chunks_hold_every_row_once_in_order_within_both_bounds(
    rows: list[bytes], rows_max: int, bytes_max: int
) -> None:
    made = list(chunks(rows, rows_max=rows_max, bytes_max=bytes_max))
    assert [row for chunk in made for row in chunk] == rows
    for chunk in made:
        assert 1 <= len(chunk) <= rows_max
        assert len(b",".join(chunk)) < bytes_max or len(chunk) == 1


@given(rows=rows_of_bytes, rows_max=st.integers(1, 7), bytes_max=st.integers(1, 20))
def test_a_chunk_ends_only_where_the_next_row_would_not_fit(
    rows: list[bytes], rows_max: int, bytes_max: int
) -> None:
    made = list(chunks(rows, rows_max=rows_max, bytes_max=bytes_max))
    for chunk, following in pairwise(made):
        assert len(chunk) == rows_max or len(b",".join([*chunk, following[0]])) >= bytes_max
