"""Imports: whatever lines the file has, whenever it is cut short, each task is enqueued once and in order."""

import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tq.clock import SystemClock
from tq.commands.batches import BYTES_MAX, TASKS_MAX, Importer, Stopped, batches
from tq.commands.checkpoint import Checkpoint
from tq.commands.ndjson import LINE_BYTES_MAX, Line, fault_of, read_lines
from tq.errors import (
    IdempotencyMismatch,
    InvalidField,
    OutcomeUnknown,
    TqError,
    TqUnavailable,
    UniqueConflict,
)
from tq.wire import Enqueued, Problem

URLS = ["http://node"]


class Killed(BaseException):
    """The process ends here: nothing after it runs."""


class Node:
    """What the API promises of an array of tasks: all or none, and once for each idempotency key.

    Args:
        trouble: one word for each request, then none: what goes wrong with it.
    """

    def __init__(self, trouble: list[str] | None = None) -> None:
        self.tasks: list[bytes] = []
        self.requests = 0
        self.trouble = list(trouble or [])
        self._answers: dict[str, tuple[list[bytes], list[Enqueued]]] = {}

    def enqueue_rows(self, rows: list[bytes], *, idempotency_key: str) -> list[Enqueued]:
        self.requests += 1
        trouble = self.trouble.pop(0) if self.trouble else ""
        if trouble == "away":
            raise TqUnavailable("away")
        if trouble == "killed before":
            raise Killed
        answer = self._answer(rows, idempotency_key)
        if trouble == "answer lost":
            raise OutcomeUnknown("lost")
        if trouble == "killed after":
            raise Killed
        return answer

    def _answer(self, rows: list[bytes], key: str) -> list[Enqueued]:
        if key in self._answers:
            before, answer = self._answers[key]
            if before != rows:
                raise problem(IdempotencyMismatch, "idempotency_mismatch")
            return answer
        for index, row in enumerate(rows):
            kind = json.loads(row)["kind"]
            if kind == "refused":
                raise problem(InvalidField, "invalid_field", field=f"[{index}].kind")
            if kind == "conflict":
                raise problem(UniqueConflict, "unique_conflict")
        self.tasks += rows
        answer = [Enqueued(id="x", state="ready") for _ in rows]
        self._answers[key] = (rows, answer)
        return answer


def problem(kind: Callable[..., TqError], code: str, *, field: str | None = None) -> TqError:
    said = Problem(type="", title=code, status=422, code=code, detail=code, field=field)
    return kind(code, status=422, problem=said)


def attempt(path: Path, node: Node, *, skip: bool, skipped: list[int] | None = None) -> Checkpoint:
    """One run of an import, from where the one before it came to."""
    clock = SystemClock()
    place = path.with_name("checkpoint")
    kept = Checkpoint.resume(place, clock) or Checkpoint.begin(place, URLS, clock)
    told = skipped if skipped is not None else []
    importer = Importer(
        node,
        kept,
        skip_faults=skip,
        skipped=lambda line, reason: told.append(line.number),
        moved=lambda: None,
    )
    with path.open("rb") as file:
        assert kept.matches(file)
        lines = read_lines(file, number=kept.next_number, offset=kept.progress.offset)
        if kept.progress.sending is not None:
            importer.repeat(lines)
        importer.run(lines)
    return kept


FORMS = {"blank": "", "broken": "{", "refused": '{"kind":"refused"}', "conflict": '{"kind":"conflict"}'}
BAD = ("broken", "refused", "conflict")
LINES = st.lists(
    st.sampled_from(["good", "good", "good", "blank", "broken", "refused", "conflict"]), max_size=30
)
TROUBLE = st.lists(st.sampled_from(["", "away", "answer lost", "killed before", "killed after"]), max_size=12)


def rows_of(shape: list[str]) -> list[str]:
    """A line for each word, the good ones all different."""
    return [FORMS.get(kind, f'{{"kind":"k","payload":{n}}}') for n, kind in enumerate(shape)]


@settings(max_examples=150)
@given(LINES, TROUBLE, st.booleans())
def test_each_task_is_enqueued_once_and_in_order_whatever_goes_wrong(
    tmp_path_factory: pytest.TempPathFactory, shape: list[str], trouble: list[str], end: bool
) -> None:
    path = tmp_path_factory.mktemp("import") / "tasks.ndjson"
    rows = rows_of(shape)
    path.write_text("\n".join(rows) + ("\n" if end or (shape and shape[-1] == "broken") else ""))
    node = Node(trouble)
    skipped: list[int] = []
    for _ in range(len(trouble) + 1):
        try:
            kept = attempt(path, node, skip=True, skipped=skipped)
        except (TqUnavailable, OutcomeUnknown, Killed):
            continue
        break
    else:
        pytest.fail("an attempt without trouble did not come to the end")
    good = [row.encode() for row, kind in zip(rows, shape, strict=True) if kind == "good"]
    bad = {n for n, kind in enumerate(shape, start=1) if kind in BAD}
    assert node.tasks == good
    assert kept.progress.imported == len(good)
    assert kept.progress.skipped == len(bad)
    assert set(skipped) == bad
    assert kept.progress.done_at is not None


@settings(max_examples=100)
@given(LINES, TROUBLE)
def test_import_stops_at_the_first_bad_line_with_all_before_it_enqueued(
    tmp_path_factory: pytest.TempPathFactory, shape: list[str], trouble: list[str]
) -> None:
    path = tmp_path_factory.mktemp("import") / "tasks.ndjson"
    rows = rows_of(shape)
    path.write_text("".join(f"{row}\n" for row in rows))
    node = Node(trouble)
    faults = [n for n, kind in enumerate(shape, start=1) if kind in BAD]
    stopped = None
    for _ in range(len(trouble) + 1):
        try:
            attempt(path, node, skip=False)
        except (TqUnavailable, OutcomeUnknown, Killed):
            continue
        except Stopped as stop:
            stopped = stop.line.number
        break
    assert stopped == (faults[0] if faults else None)
    before = shape[: faults[0] - 1] if faults else shape
    assert len(node.tasks) == before.count("good")
    node.trouble.clear()
    # Put right, the file goes on from that line.
    if faults:
        fixed = [
            row if kind in ("good", "blank") else '{"kind":"fixed"}'
            for row, kind in zip(rows, shape, strict=True)
        ]
        path.write_text("".join(f"{row}\n" for row in fixed))
        attempt(path, node, skip=False)
        assert node.tasks == [row.encode() for row in fixed if row]


def test_lines_appended_later_are_imported_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "tasks.ndjson"
    node = Node()
    path.write_text('{"kind":"a"}\n{"kind":"b"}')
    attempt(path, node, skip=False)
    attempt(path, node, skip=False)
    assert node.tasks == [b'{"kind":"a"}', b'{"kind":"b"}']
    path.write_text('{"kind":"a"}\n{"kind":"b"}\n{"kind":"c"}\n')
    assert attempt(path, node, skip=False).progress.imported == 3
    assert node.tasks[2:] == [b'{"kind":"c"}']
    with path.open("a") as file:
        file.write("\nnope\n")
    with pytest.raises(Stopped, match="line 5"):
        attempt(path, node, skip=False)


def test_file_that_was_changed_where_it_was_imported_does_not_match(tmp_path: Path) -> None:
    path = tmp_path / "tasks.ndjson"
    path.write_text('{"kind":"a"}\n')
    kept = attempt(path, Node(), skip=False)
    for content in ('{"kind":"b"}\n', '{"kind":"a"}', ""):
        path.write_text(content)
        with path.open("rb") as file:
            assert not kept.matches(file)


def test_batch_whose_lines_were_changed_after_it_was_sent_is_never_sent_anew(tmp_path: Path) -> None:
    path = tmp_path / "tasks.ndjson"
    path.write_text('{"kind":"a"}\n')
    node = Node(["killed after"])
    with pytest.raises(Killed):
        attempt(path, node, skip=False)
    path.write_text('{"kind":"b"}\n')
    for _ in range(2):
        with pytest.raises(IdempotencyMismatch):
            attempt(path, node, skip=False)
    assert node.tasks == [b'{"kind":"a"}']
    path.write_text("")
    with pytest.raises(ValueError, match="no longer in the file"):
        attempt(path, node, skip=False)
    path.write_text('{"kind":"a"}\n')
    attempt(path, node, skip=False)
    assert node.tasks == [b'{"kind":"a"}']


def test_unsure_batch_is_passed_over_when_asked(tmp_path: Path) -> None:
    path = tmp_path / "tasks.ndjson"
    path.write_text('{"kind":"a"}\n')
    node = Node(["killed before"])
    with pytest.raises(Killed):
        attempt(path, node, skip=False)
    kept = Checkpoint.resume(tmp_path / "checkpoint", SystemClock())
    assert kept is not None
    assert kept.sending_age_s() < 60
    with path.open("rb") as file:
        assert kept.matches(file)
        lines = read_lines(file, number=1, offset=0)
        importer = Importer(
            node, kept, skip_faults=False, skipped=lambda line, reason: None, moved=lambda: None
        )
        importer.repeat(lines, send=False)
        importer.run(lines)
    assert (node.tasks, kept.progress.unsure, kept.progress.lines) == ([], 1, 1)


def test_checkpoint_that_is_none_is_refused(tmp_path: Path) -> None:
    place = tmp_path / "checkpoint"
    assert Checkpoint.resume(place, SystemClock()) is None
    for content in ("", "{}", '{"run": "x", "urls": [], "format": 99}'):
        place.write_text(content)
        with pytest.raises(ValueError, match="checkpoint"):
            Checkpoint.resume(place, SystemClock())


def test_last_line_that_is_cut_off_is_not_skipped(tmp_path: Path) -> None:
    path = tmp_path / "tasks.ndjson"
    node = Node()
    path.write_text('{"kind":"a"}\n{"kind":"b"')
    with pytest.raises(Stopped, match="line 2"):
        attempt(path, node, skip=True)
    path.write_text('{"kind":"a"}\n{"kind":"b"}\n')
    attempt(path, node, skip=True)
    assert node.tasks == [b'{"kind":"a"}', b'{"kind":"b"}']


def test_lines_are_read_with_their_numbers_and_ends() -> None:
    content = b'{"kind":"a"}\r\n\n  \n{"kind":"b"}'
    lines = list(read_lines(io.BytesIO(content), number=5, offset=100))
    assert [(line.number, line.end, line.blank, line.fault) for line in lines] == [
        (5, 114, False, None),
        (6, 115, True, None),
        (7, 118, True, None),
        (8, 130, False, None),
    ]
    assert [line.task for line in lines if not line.blank] == [b'{"kind":"a"}', b'{"kind":"b"}']


def test_last_line_without_an_end_may_still_be_being_written() -> None:
    for content, cut_off in (
        (b'{"kind":', True),
        (b'{"kind":\n', False),
        (b'{"kind":"a"}', False),
        (b"{}", False),
    ):
        (line,) = read_lines(io.BytesIO(content), number=1, offset=0)
        assert line.cut_off is cut_off


def test_line_that_can_never_be_sent_is_passed_without_being_kept() -> None:
    long = b'{"kind":"' + b"x" * LINE_BYTES_MAX + b'"}\n'
    lines = list(read_lines(io.BytesIO(long + b'{"kind":"b"}\n'), number=1, offset=0))
    assert [line.end for line in lines] == [len(long), len(long) + 13]
    assert "longer than" in str(lines[0].fault)
    assert len(lines[0].raw) < 2000
    assert lines[1].fault is None


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b"nope", "not JSON"),
        (b'{"kind":"\xff"}', "not JSON"),
        (b"[]", "Expected `object`"),
        (b"{}", "missing required field `kind`"),
        (b'{"kind":"a b"}', "kind: must be letters"),
        (b'{"kind":"a","priority":256}', "priority: Expected `int` <= 255"),
        (b'{"kind":"a","prio":1}', "unknown field `prio`"),
        (b'{"kind":"a","id":"x"}', "tq export"),
        (b'{"kind":"a","payload":' + b"[" * 100_000, "nested too deep"),
    ],
)
def test_fault_says_what_is_wrong_with_a_line(raw: bytes, said: str) -> None:
    assert said in str(fault_of(raw))


def test_batches_keep_within_their_bounds_and_lose_no_line() -> None:
    size = BYTES_MAX // 3
    big = [Line(n, n * size, b"x" * size) for n in range(1, 11)]
    small = [Line(n, n, b"x\n") for n in range(11, 2 * TASKS_MAX + 511)]
    made = list(batches([*big, *small], stop_at_fault=False))
    assert [line for batch in made for line in batch] == [*big, *small]
    assert max(len(batch) for batch in made) == TASKS_MAX
    assert max(sum(len(line.raw) for line in batch) for batch in made) <= BYTES_MAX
