"""One task, shown in full; and how far it is."""

import re
from datetime import UTC, datetime
from typing import Any

import pytest
from msgspec import Raw

from tq import wire
from tq.commands.detail import TRACE_LINES_MAX, when, write_task
from tq.commands.exporting import new_task
from tq.commands.waiting_view import bar, done_share, progress_text


def task(**fields: Any) -> wire.Task:
    given: dict[str, Any] = {
        "id": "0199f0a2-7c1e-7b3a-9d5e-2f6a1c4b8e70",
        "queue": "q",
        "kind": "k",
        "state": "ready",
        "priority": 128,
        "created_at": "2026-01-31T12:00:00.000Z",
        "run_at": "2026-01-31T12:00:00.000Z",
        "attempt": 0,
        "max_attempts": 10,
        "lease_s": 30.0,
    }
    return wire.Task(**(given | fields))


def shown(capsys: pytest.CaptureFixture[str], **fields: Any) -> dict[str, list[str]]:
    """What is shown, by label, one entry for each line."""
    write_task(task(**fields))
    facts: dict[str, list[str]] = {}
    label = ""
    for line in capsys.readouterr().out.rstrip("\n").splitlines():
        label = line[:12].strip() or label
        facts.setdefault(label, []).append(line[12:])
    return facts


@pytest.mark.parametrize(
    ("policy", "told"),
    [
        (wire.Exponential(), "exponential: 5s x2 each time, at most 1h, give or take 10%"),
        (wire.Linear(base_s=60, jitter=0), "linear: 1m more each time, at most 1h"),
        (wire.Fixed(delay_s=30), "fixed: 30s"),
        (wire.Listed(delays_s=[5, 300], jitter=0.5), "list: 5s, 5m, give or take 50%"),
    ],
)
def test_retry_policy_is_told_in_words(
    capsys: pytest.CaptureFixture[str], policy: wire.RetryPolicy, told: str
) -> None:
    assert shown(capsys, retry=policy)["retry"] == [told]


def test_running_task_tells_its_worker_its_lease_and_that_it_is_to_stop(
    capsys: pytest.CaptureFixture[str],
) -> None:
    facts = shown(
        capsys,
        state="running",
        worker="w",
        attempt=2,
        crashes=1,
        lease_expires_at="2126-01-31T12:00:00.000Z",
        cancel_requested_at="2026-01-31T12:00:00.000Z",
        timeout_s=90.0,
    )
    assert facts["worker"] == ["w"]
    assert re.fullmatch(r"30s, runs out in \d+d", facts["lease"][0])
    assert facts["cancel"][0].endswith("its worker is told to stop")
    assert facts["attempt"] == ["2 of 10, 1 ended by a lost worker"]
    assert facts["timeout"] == ["1m30s"]


def test_long_trace_is_cut_at_its_beginning(capsys: pytest.CaptureFixture[str]) -> None:
    trace = "".join(f"line {n}\n" for n in range(100))
    error = wire.TaskError(type="E", message="m", trace=trace, attempt=1, at="2026-01-31T12:00:00.000Z")
    lines = shown(capsys, errors=[error])["error"]
    assert len(lines) == TRACE_LINES_MAX + 2
    assert lines[1].strip().startswith("(70 lines left out")
    assert lines[-1].strip() == "line 99"


def test_finished_task_tells_how_long_it_took(capsys: pytest.CaptureFixture[str]) -> None:
    facts = shown(
        capsys,
        state="succeeded",
        started_at="2026-01-31T12:00:00.000Z",
        finished_at="2026-01-31T12:01:30.000Z",
        result=Raw(b'{"x": 1.10}'),
    )
    assert facts["took"] == ["1m30s"]
    assert facts["result"] == ["{", '  "x": 1.10', "}"]


@pytest.mark.parametrize(
    ("progress", "share"),
    [
        ({"done": 1, "total": 4}, 0.25),
        ({"done": 9, "total": 4}, 1.0),
        ({"done": -1, "total": 4}, 0.0),
        ({"done": 1, "total": 0}, None),
        ({"done": "1", "total": 4}, None),
        ({"percent": 75}, 0.75),
        (0.5, None),
        (None, None),
        ([], None),
    ],
)
def test_share_done_is_read_from_what_says_it(progress: object, share: float | None) -> None:
    assert done_share(progress) == share


def test_progress_is_a_bar_or_its_json() -> None:
    assert progress_text(task()) == ""
    assert progress_text(task(progress=Raw(b'"half\\u001bway"'))) == '"half\\u001bway"'
    assert progress_text(task(progress=Raw(b'{"percent":50}'))) == f'{bar(0.5)} 50% {{"percent": 50}}'
    assert bar(0) + bar(1) == "░" * 20 + "█" * 20


@pytest.mark.parametrize(
    ("stamp", "told"),
    [
        ("2026-01-31T09:00:00.900Z", "now"),
        ("2026-01-31T08:59:59.100Z", "now"),
        ("2026-01-31T09:00:02.000Z", "in 2s"),
        ("2026-01-31T08:59:00.000Z", "1m ago"),
    ],
)
def test_moment_is_told_from_now(stamp: str, told: str) -> None:
    assert when(stamp, datetime(2026, 1, 31, 9, tzinfo=UTC)) == told


def test_export_of_a_task_is_what_enqueues_it_anew() -> None:
    made = new_task(
        task(
            state="scheduled",
            payload=Raw(b"1.10"),
            tags=["a"],
            unique_key="u",
            expires_at="2026-02-01T00:00:00.000Z",
            retry=wire.Fixed(delay_s=1),
        )
    )
    assert (made.payload, made.tags, made.retry) == (Raw(b"1.10"), ["a"], wire.Fixed(delay_s=1))
    assert made.unique is not None
    assert made.unique.key == "u"
    assert made.run_at is not None
    assert made.expires_at is not None
    assert new_task(task()).run_at is None
