"""What a page gave is where the next one goes on; anything else is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tqnode.errors import InvalidCursor
from tqnode.queue import cursors


@given(st.integers(1, cursors.LAST))
def test_a_row_number_survives_its_cursor(seq: int) -> None:
    assert cursors.seq_of(cursors.of_seq(seq)) == seq


@given(st.text(st.characters(max_codepoint=127), max_size=300))
def test_a_name_survives_its_cursor(name: str) -> None:
    assert cursors.name_of(cursors.of_name(name)) == name


def test_the_first_page_begins_before_every_row_and_name() -> None:
    assert cursors.seq_of(None) == cursors.LAST
    assert cursors.name_of(None) == ""


@pytest.mark.parametrize("cursor", ["x", "!", "AAAA", "AAAAAAAA", "//////////8=", "é", "AAAAAAAA" * 2])
def test_what_is_no_cursor_of_a_row_is_refused(cursor: str) -> None:
    with pytest.raises(InvalidCursor):
        cursors.seq_of(cursor)


@pytest.mark.parametrize("cursor", ["x", "!", "w6k=", "é"])
def test_what_is_no_cursor_of_a_name_is_refused(cursor: str) -> None:
    with pytest.raises(InvalidCursor):
        cursors.name_of(cursor)
