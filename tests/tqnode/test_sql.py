import re
from pathlib import Path

import apsw
import pytest

import tqnode.sql
from tests.source_tree import sources
from tqnode.sql import NODE, QUEUE, TERMS, migrations, statement

FOLDER = Path(tqnode.sql.__file__).parent
NAMES = sorted(
    name
    for file in FOLDER.glob("*.sql")
    for name in re.findall(r"^-- name: (\w+)$", file.read_text(), re.MULTILINE)
)


@pytest.fixture(scope="module")
def database() -> apsw.Connection:
    connection = apsw.Connection(":memory:")
    # All schemas in one: no table of one may have a name of another's.
    for _, script in [*migrations(QUEUE), *migrations(NODE), *migrations(TERMS)]:
        connection.execute(script)
    return connection


@pytest.mark.parametrize("name", NAMES)
def test_every_statement_fits_the_schema_and_carries_no_comment(name: str, database: apsw.Connection) -> None:
    text = statement(name)
    assert text
    assert "--" not in text
    for part in filter(str.strip, text.split(";")):
        head = part.split()[0]
        if head in {"BEGIN", "COMMIT", "ROLLBACK", "SAVEPOINT", "RELEASE", "PRAGMA"}:
            continue
        # EXPLAIN compiles it, which finds every wrong name of a table or column.
        marks = part.count("?")
        database.execute(f"EXPLAIN {part}", [None] * marks if marks else Anything()).fetchall()


class Anything(dict[str, object]):
    """Parameters of every name."""

    def __missing__(self, key: str) -> object:
        return None


def test_every_statement_is_used_by_its_name_somewhere() -> None:
    texts = [str(constant.value) for source in sources("tqnode") for constant in source.texts]
    assert not set(NAMES) - set(texts)


def test_a_statement_that_no_file_has_is_an_error() -> None:
    with pytest.raises(KeyError):
        statement("no_such_statement")


def test_no_two_statements_have_the_same_name() -> None:
    assert len(NAMES) == len(set(NAMES)) > 50


def test_a_second_statement_of_a_name_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for file in ("a.sql", "b.sql"):
        (tmp_path / file).write_text("-- name: same\nSELECT 1\n")
    tqnode.sql._statements.cache_clear()
    with monkeypatch.context() as patch:
        patch.setattr("tqnode.sql.resources.files", lambda _: tmp_path)
        with pytest.raises(ValueError, match="two statements are named same"):
            statement("same")
    assert statement("commit") == "COMMIT"


def test_a_part_stands_in_each_statement_that_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.sql").write_text("-- name: one\nSELECT {shared}\n\n-- name: other\nSELECT {unknown}\n")
    (tmp_path / "b.sql").write_text("-- part: shared\n-- Why it is so.\n:x + 1\n")
    tqnode.sql._statements.cache_clear()
    with monkeypatch.context() as patch:
        patch.setattr("tqnode.sql.resources.files", lambda _: tmp_path)
        with pytest.raises(KeyError, match="unknown"):
            statement("one")
        (tmp_path / "a.sql").write_text("-- name: one\nSELECT {shared}\n")
        assert statement("one") == "SELECT :x + 1"
        with pytest.raises(KeyError):
            statement("shared")
    tqnode.sql._statements.cache_clear()
    assert statement("commit") == "COMMIT"


@pytest.mark.parametrize("database_of", [QUEUE, NODE, TERMS])
def test_migrations_are_numbered_without_a_gap_from_one(database_of: str) -> None:
    numbers = [number for number, _ in migrations(database_of)]
    assert numbers == list(range(1, len(numbers) + 1))
    assert numbers
    assert all(script.strip() for _, script in migrations(database_of))


QUICK = {
    "find_claimable": "task_ready (queue=? AND kind=? AND priority>?)",
    "find_heads_of_kinds": "task_ready (queue=? AND kind=? AND priority>? AND priority<?)",
    "find_ready_kinds": "task_ready (queue=? AND kind>?)",
    "find_queue_and_kinds": "task_ready (queue=?)",
    "find_unkeyed": "task_ready (queue=? AND kind=? AND priority>? AND priority<?)",
    "find_levels": "task_ready (queue=? AND kind=? AND priority=?)",
    "find_keyed_levels": "task_keyed (queue=? AND kind=? AND priority=?)",
    "claim_tasks": "INTEGER PRIMARY KEY",
    "read_running": "INTEGER PRIMARY KEY",
    "complete_tasks": "INTEGER PRIMARY KEY",
    "delete_tags": "PRIMARY KEY",
    "delete_tasks": "INTEGER PRIMARY KEY",
    "delete_bodies": "INTEGER PRIMARY KEY",
    "delete_notes": "INTEGER PRIMARY KEY",
    "put_back_crashed": "INTEGER PRIMARY KEY",
    "find_histories": "INTEGER PRIMARY KEY",
    "find_keyed": "task_keyed",
    "find_keyed_kinds": "task_keyed",
    "find_lanes": "task_lane",
    "find_heads": "task_lane",
    "find_of_key": "task_lane",
    "read_claimable": "INTEGER PRIMARY KEY",
    "count_slots_of_key": "task_running_key (limit_key=?",
    "count_slots_of_queue": "task_running_slot (queue=?",
    "find_due_buckets": "bucket_due",
    "next_token": "bucket_due",
    "find_full_buckets": "bucket_full",
    "read_oldest_ready": "task_ready (queue=? AND kind=? AND priority<?)",
    "find_due": "task_due",
    "find_expired_leases": "task_lease",
    "find_outdated": "task_expiry",
    "find_kept_too_long": "task_finished",
    "find_key_holder": "task_unique",
    "find_taken_keys": "task_unique",
    "find_key_rival": "task_unique",
    "count_ahead": "task_ready (queue=? AND kind=? AND priority=? AND run_at_ms=? AND rowid<?)",
    "count_ahead_of_kind": "task_ready (queue=? AND kind=? AND priority=? AND run_at_ms=?",
    "explain_parents": "dependency_child (child=?)",
    "count_held": "task_lease",
    "drop_key": "INTEGER PRIMARY KEY",
    "next_due": "task_due",
    "next_lease_end": "task_lease",
    "next_expiry": "task_expiry",
    "read_task": "INTEGER PRIMARY KEY",
    "delete_old_idempotency": "idempotency_age",
    "find_open_dependencies": "PRIMARY KEY (parent=? AND open=?)",
    "close_dependency": "PRIMARY KEY (parent=? AND open=? AND child=?)",
    "forget_parents": "dependency_child",
    "find_parents_of": "dependency_child",
    "find_children_of": "PRIMARY KEY (parent=?)",
    "read_graph_edges": "dependency_child (child=?)",
    "read_inputs": "dependency_child (child=?)",
    "find_due_schedules": "schedule_due",
    "next_schedule": "schedule_due",
    "read_lines": "PRIMARY KEY (seq=? AND number>?)",
    "read_last_line": "PRIMARY KEY (seq=?)",
    "drop_lines": "PRIMARY KEY (seq=? AND number<?)",
    "find_extras": "PRIMARY KEY (seq>? AND seq<?)",
    "delete_remains": "PRIMARY KEY (seq=? AND number=?)",
    "find_results_due": "result_look",
    "next_result": "result_look",
    "read_schedule": "PRIMARY KEY",
    "list_schedules": "PRIMARY KEY",
    "list_tasks": "INTEGER PRIMARY KEY (rowid>? AND rowid<?)",
    "count_matching": "INTEGER PRIMARY KEY (rowid>? AND rowid<?)",
    "search_reach": "INTEGER PRIMARY KEY (rowid>? AND rowid<?)",
    "search_reach_of_bodies": "INTEGER PRIMARY KEY (rowid>? AND rowid<?)",
    "bulk_slice": "INTEGER PRIMARY KEY (rowid>? AND rowid<?)",
    "cancel_waiting": "INTEGER PRIMARY KEY",
    "request_cancels": "INTEGER PRIMARY KEY",
    "move_tasks": "INTEGER PRIMARY KEY",
    "reprioritize_tasks": "INTEGER PRIMARY KEY",
    "next_turn": "bulk_turn",
    "next_bulk": "bulk_turn",
    "read_bulk": "INTEGER PRIMARY KEY",
}


@pytest.mark.parametrize(("name", "index"), QUICK.items())
def test_a_statement_that_must_be_quick_uses_its_index_and_scans_no_table(
    name: str, index: str, database: apsw.Connection
) -> None:
    marks = statement(name).count("?")
    params = [None] * marks if marks else Anything()
    plan = [row[3] for row in database.execute(f"EXPLAIN QUERY PLAN {statement(name)}", params)]
    assert any(index in step for step in plan), plan
    scans = [step for step in plan if re.match(r"SCAN (task\w*|b|idempotency|dependency)\b(?!.*INDEX)", step)]
    assert not scans, plan


@pytest.mark.parametrize("name", ["find_claimable", "find_unkeyed"])
def test_the_claim_takes_tasks_in_the_order_of_the_index_without_sorting(
    name: str, database: apsw.Connection
) -> None:
    plan = [row[3] for row in database.execute(f"EXPLAIN QUERY PLAN {statement(name)}", Anything())]
    assert not [step for step in plan if "TEMP B-TREE" in step], plan


@pytest.mark.parametrize(
    "table", ["task", "task_body", "task_note", "task_tag", "task_log", "tally", "worker"]
)
def test_no_row_that_is_often_written_is_checked_against_a_list(
    table: str, database: apsw.Connection
) -> None:
    # SQLite makes a table of a list of more than two entries, for every row.
    found = database.execute(
        "SELECT sql FROM sqlite_schema WHERE tbl_name = ? AND sql IS NOT NULL", (table,)
    ).fetchall()
    assert found
    assert not [sql for (sql,) in found if re.search(r"\bIN \([^()]*,[^()]*,", sql)]


@pytest.mark.parametrize(
    "change",
    [
        "state = 'waiting'",
        "state = 'succeeded'",
        "finished_at_ms = 1",
        "state = 'dead', finished_at_ms = 1",
        "reason = 'failed'",
        "state = 'running'",
    ],
)
def test_a_task_that_contradicts_itself_is_not_stored(change: str, database: apsw.Connection) -> None:
    with pytest.raises(apsw.ConstraintError):
        store_changed(database, change)


def store_changed(database: apsw.Connection, change: str) -> None:
    """Stores a ready task and changes it: both or none."""
    with database:
        database.execute(
            "INSERT INTO task (seq, id, queue, kind, state, priority, run_at_ms, created_at_ms, max_attempts,"
            " lease_ms) VALUES (1, zeroblob(16), 'q', 'k', 'ready', 128, 0, 0, 10, 30000)"
        )
        database.execute(f"UPDATE task SET {change}")
