from tqnode.replication.entry import Position
from tqnode.replication.recent import BYTES_MAX, Recent


def test_the_newest_entries_are_kept_and_the_oldest_forgotten() -> None:
    recent = Recent()
    quarter = bytes(BYTES_MAX // 4)
    for txid in range(1, 7):
        recent.add(Position(1, txid), quarter)
    assert [recent.get(Position(1, txid)) is not None for txid in range(1, 7)] == [False] * 2 + [True] * 4


def test_an_entry_that_comes_again_takes_no_more_room() -> None:
    recent = Recent()
    for _ in range(10):
        recent.add(Position(1, 1), bytes(BYTES_MAX // 2))
    recent.add(Position(1, 2), b"x")
    assert recent.get(Position(1, 1)) is not None
    assert recent.get(Position(1, 2)) == b"x"
    assert recent.get(Position(2, 1)) is None
