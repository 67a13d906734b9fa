from pathlib import Path

import pytest

from tqnode.replication.local_log import outlived
from tqnode.replication.term_folders import make_term_folders, meta_of, remove_other_metas, terms_meta_of
from tqnode.replication.terms import Term, Terms, read_terms


def test_each_term_counts_on_from_all_that_are_known(tmp_path: Path) -> None:
    terms = Terms(tmp_path / "terms.db")
    assert terms.open_next(now_ms=1_000, node="a") == Term(1, 1_000, "a")
    assert terms.open_next(now_ms=2_000, node="a") == Term(2, 2_000, "a")
    terms.merge([Term(1, 999, "other"), Term(9, 1_500, "b")])
    assert terms.open_next(now_ms=3_000, node="a") == Term(10, 3_000, "a")
    known = [Term(1, 1_000, "a"), Term(2, 2_000, "a"), Term(9, 1_500, "b"), Term(10, 3_000, "a")]
    assert terms.all() == known
    terms.close()
    again = Terms(tmp_path / "terms.db")
    assert again.all() == known
    again.forget([1, 9])
    assert [term.number for term in again.all()] == [2, 10]
    assert again.open_next(now_ms=4_000, node="a").number == 11
    again.close()
    assert [term.number for term in read_terms(tmp_path / "terms.db")] == [2, 10, 11]


@pytest.mark.parametrize(
    ("before_ms", "gone"),
    [(0, []), (200, []), (201, [1]), (300, [1]), (301, [1, 2]), (10_000, [1, 2])],
)
def test_a_term_is_outlived_when_the_next_one_began_before_all_that_is_kept(
    before_ms: int, gone: list[int]
) -> None:
    terms = [Term(1, 100, "a"), Term(2, 200, "a"), Term(3, 300, "a")]
    assert [term.number for term in outlived(terms, before_ms=before_ms)] == gone


def test_the_folders_of_a_term_are_made_and_only_litestreams_state_of_others_is_removed(
    tmp_path: Path,
) -> None:
    make_term_folders(tmp_path, 1, [tmp_path / "archive" / "1"])
    make_term_folders(tmp_path, 12, [tmp_path / "archive" / "12"])
    (tmp_path / "meta-x").mkdir()
    assert (meta_of(tmp_path, 12) / "ltx" / "0").is_dir()
    assert (tmp_path / "archive" / "12" / "ltx" / "9").is_dir()
    remove_other_metas(tmp_path, 12)
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {"meta-12", terms_meta_of(tmp_path, 12).name, "archive", "meta-x"}
    assert {path.name for path in (tmp_path / "archive").iterdir()} == {"1", "12"}
    assert (tmp_path / "meta-12").stat().st_mode & 0o077 == 0
