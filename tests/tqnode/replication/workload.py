"""What is written to a database whose log is looked at: rows come, change and go, and pages do too."""

from pathlib import Path

import apsw
from hypothesis import strategies as st

ROWS = """
    WITH RECURSIVE counted (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM counted WHERE n < ?)
    INSERT INTO t (text) SELECT substr(hex(randomblob(?)), 1, ?) FROM counted
"""

Write = tuple[str, int, int]
writes = st.one_of(
    st.tuples(st.just("insert"), st.integers(1, 60), st.integers(0, 9000)),
    st.tuples(st.sampled_from(["update", "delete"]), st.integers(1, 5), st.integers(0, 4)),
    st.tuples(st.sampled_from(["vacuum", "shrink", "index", "table"]), st.integers(0, 99), st.just(0)),
)


def perform(connection: apsw.Connection, write: Write) -> None:
    what, first, second = write
    match what:
        case "insert":
            connection.execute(ROWS, (first, second // 2 + 1, second))
        case "update":
            connection.execute("UPDATE t SET text = text || 'x' WHERE id % ? = ?", (first, second))
        case "delete":
            connection.execute("DELETE FROM t WHERE id % ? = ?", (first, second))
        case "vacuum":
            connection.execute("VACUUM")
        case "shrink":
            # It frees one page for each row that is asked for.
            connection.execute(f"PRAGMA incremental_vacuum({first})").fetchall()
        case "index":
            connection.execute("DROP INDEX IF EXISTS by_text; CREATE INDEX by_text ON t (text)")
        case "table":
            connection.execute("DROP TABLE IF EXISTS other; CREATE TABLE other AS SELECT * FROM t")


def create(connection: apsw.Connection) -> None:
    connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, text)")
    perform(connection, ("insert", 20, 300))


def rows(database: Path) -> list[tuple[object, ...]]:
    connection = apsw.Connection(str(database))
    assert connection.pragma("integrity_check") == "ok"
    found = connection.execute("SELECT * FROM t ORDER BY id").fetchall()
    connection.close()
    return found
