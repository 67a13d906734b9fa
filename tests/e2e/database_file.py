"""A look into the database of a node that has ended."""

from pathlib import Path

import apsw


def inspect(file: Path) -> int:
    """Checks that the file is sound, its tallies true, its tables in step; how many tasks it holds.

    Args:
        file: the database of a node that does not run.

    Raises:
        AssertionError: something in it contradicts something else.
    """
    database = apsw.Connection(str(file), flags=apsw.SQLITE_OPEN_READONLY)
    assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    tallied = set(database.execute("SELECT queue, state, tasks FROM tally WHERE tasks <> 0"))
    counted = set(database.execute("SELECT queue, state, count(*) FROM task GROUP BY queue, state"))
    assert tallied == counted
    for table in ("task_body", "task_note"):
        orphans = database.execute(f"SELECT count(*) FROM {table} WHERE seq NOT IN (SELECT seq FROM task)")
        assert orphans.fetchall() == [(0,)]
    bodies = database.execute("SELECT count(*) FROM task WHERE seq NOT IN (SELECT seq FROM task_body)")
    assert bodies.fetchall() == [(0,)]
    database.close()
    return sum(count for _, _, count in counted)
