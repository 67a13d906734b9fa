import pytest
from hypothesis import given
from hypothesis import strategies as st

from tqnode.errors import LeaseLost
from tqnode.queue import token

secrets = st.integers(0, (1 << token.SECRET_BITS) - 1)


@given(grants=st.integers(0, 10**17), secret=secrets)
def test_a_written_token_reads_back_to_the_claim_it_proves(grants: int, secret: int) -> None:
    fence = token.read(token.write(grants, secret), task="t")
    assert (fence.grants, fence.secret) == (grants, secret)


@given(one=st.tuples(st.integers(0, 99), secrets), other=st.tuples(st.integers(0, 99), secrets))
def test_two_claims_never_have_the_same_token(one: tuple[int, int], other: tuple[int, int]) -> None:
    assert (token.write(*one) == token.write(*other)) is (one == other)


@given(st.text())
def test_any_text_is_a_fence_that_fits_the_database_or_a_lost_lease(written: str) -> None:
    try:
        fence = token.read(written, task="t")
    except LeaseLost:
        return
    assert 0 <= fence.grants < 1 << 63
    assert 0 <= fence.secret < 1 << 63


@pytest.mark.parametrize(
    "written",
    [
        "1-+00000000000000f",
        "1- 00000000000000f",
        "1-0_0_0_0_0_0_0_0f",
        "\u0661-0000000000000001",
        "1-0x0000000000000f",
        "1-8000000000000000",
    ],
)
def test_only_the_spelling_that_was_handed_out_is_a_token(written: str) -> None:
    with pytest.raises(LeaseLost) as lost:
        token.read(written, task="t")
    assert lost.value.task == "t"
