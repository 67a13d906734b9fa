"""The figures as text."""

from bench.peers.peer import Figures
from bench.peers.table import HEAD, markdown, plain, rows

MEASURED = [
    Figures("tqnode", "fsync each", one=900.0, crowd=7_000.0, bulk=30_000.0, consume=5_000.0),
    Figures("other", "memory", one=500.0, crowd=2_000.0, consume=12_000.0),
    Figures("broken", "memory", error="broken ended\nbecause"),
    Figures("tqnode", "fsync each", one=1_100.0, crowd=9_000.0, bulk=50_000.0, consume=7_000.0),
]


def test_each_ratio_is_the_mean_of_our_runs_over_the_other_queue() -> None:
    assert rows(MEASURED, "tqnode")[1] == (
        "other",
        "500",
        "2.00",
        "2,000",
        "4.00",
        "-",
        "-",
        "12,000",
        "0.50",
        "memory",
    )


def test_our_own_two_runs_stand_beside_their_mean() -> None:
    first, *_, last = rows(MEASURED, "tqnode")
    assert first[2] == "1.11"
    assert last[2] == "0.91"


def test_a_queue_that_failed_says_why_in_one_line() -> None:
    assert rows(MEASURED, "tqnode")[2] == ("broken", *"--------", "broken ended")


def test_a_table_for_a_document_has_as_many_cells_in_each_line() -> None:
    lines = markdown(MEASURED, "tqnode").splitlines()
    assert len(lines) == 2 + len(MEASURED)
    assert {line.count("|") for line in lines} == {len(HEAD) + 1}


def test_a_table_for_a_terminal_has_its_columns_below_each_other() -> None:
    head, *lines = plain(MEASURED, "tqnode").splitlines()
    end = head.index("consume/s") + len("consume/s")
    assert [line[:end].split()[-1] for line in lines] == ["5,000", "12,000", "-", "7,000"]
