import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.tqnode.replication.core_node import heads_of_term
from tqnode.replication.entry import Head
from tqnode.replication.heads import CHUNK, NO_HEADS, Heads, heads_of

ALL = heads_of_term(1, 4 * CHUNK)


def listed(heads: Heads) -> list[Head]:
    return list(heads.between(heads.first, heads.last))


@given(st.lists(st.tuples(st.integers(1, CHUNK + 5), st.integers(0, CHUNK + 5)), max_size=6))
def test_heads_added_and_trimmed_are_those_of_a_plain_list(moves: list[tuple[int, int]]) -> None:
    heads, plain, done = NO_HEADS, list[Head](), 0
    for add, trim in moves:
        new = ALL[done : done + add]
        if not new:
            break
        done += len(new)
        before, was = heads, list(plain)
        heads = heads.plus(new) if plain else heads_of(new)
        plain += new
        first = min(heads.first + trim, heads.last)
        plain = [head for head in plain if head.txid >= first]
        heads = heads.since(first)
        assert listed(before) == was
        assert listed(heads) == plain
        assert heads.top == plain[-1]
        assert heads.position == plain[-1].position
        assert heads.size == sum(head.size for head in plain)
        assert [heads[head.txid] for head in plain] == plain


def test_head_that_is_not_held_is_an_error() -> None:
    heads = heads_of(ALL[:5]).since(3)
    for txid in (2, 6):
        assert not heads.holds(txid)
        with pytest.raises(IndexError):
            heads[txid]


def test_range_that_is_partly_held_yields_what_is() -> None:
    heads = heads_of(ALL[:5]).since(3)
    assert [head.txid for head in heads.between(1, 4)] == [3, 4]
    assert list(NO_HEADS.between(1, 9)) == []
    assert NO_HEADS.top is None
