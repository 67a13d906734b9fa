"""Imports and exports of real files against a real node, with everything killed in the middle."""

import json
import random
import signal
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.e2e.command_process import RUN_S, Tq
from tests.e2e.cutting_proxy import cutting
from tests.e2e.processes import NodeProcess
from tests.waiting import eventually
from tq import Client

PAYLOADS = [
    '{"id": 1970670598291982290, "x": 1.10, "big": 123456789.123456789123456789}',
    '"\\u001b[2J \\u2028 ä 🎉 \u009b31m"',
    '[1,  2 , {"b":1,"a":2}]',
    "null",
    "-0.0",
    '""',
    "1E2",
]


@pytest.fixture
def client(own_node: NodeProcess) -> Iterator[Client]:
    with Client(own_node.url) as made:
        yield made


def write_tasks(path: Path, count: int) -> None:
    with path.open("w") as file:
        for number in range(count):
            file.write(f'{{"kind":"k","payload":{number}}}\n')


def numbers(client: Client) -> list[int]:
    """The payloads on the node, oldest first."""
    found = [json.loads(bytes(task.payload)) for task in client.list(payload=True)]  # type: ignore[arg-type]  # all are set
    return found[::-1]


def done_lines(checkpoint: Path) -> int:
    return int(json.loads(checkpoint.read_text())["lines"])


@pytest.mark.parametrize("killed", ["import", "node"])
def test_import_goes_on_after_a_kill_and_enqueues_each_task_once(
    own_node: NodeProcess, client: Client, tmp_path: Path, killed: str
) -> None:
    tq = Tq(own_node.url)
    path = tmp_path / "tasks.ndjson"
    checkpoint = tmp_path / "tasks.ndjson.tq-import"
    count = 12_000
    write_tasks(path, count)
    chance = random.Random(7)
    for round_number in range(4):
        with tq.start("import", str(path)) as importing:
            goal = (round_number + 1) * 2000 + chance.randrange(1500)
            eventually(
                lambda goal=goal: done_lines(checkpoint) >= goal or importing.poll() is not None,
                every_s=0.001,
                ignoring=(FileNotFoundError,),
            )
            if killed == "import":
                importing.kill()
                importing.communicate(timeout=RUN_S)
            else:
                own_node.kill()
                _, err = importing.communicate(timeout=RUN_S)
                if importing.returncode:
                    assert importing.returncode in (5, 7)
                    assert "the same command goes on from there" in err
                own_node.restart()
    told = tq("import", str(path), "--json").out
    assert json.loads(told)["imported"] == count
    assert numbers(client) == list(range(count))
    tq("import", str(path))
    assert len(numbers(client)) == count


def test_interrupted_import_says_how_to_go_on(own_node: NodeProcess, client: Client, tmp_path: Path) -> None:
    tq = Tq(own_node.url)
    path = tmp_path / "tasks.ndjson"
    write_tasks(path, 60_000)
    with tq.start("import", str(path)) as importing:
        checkpoint = tmp_path / "tasks.ndjson.tq-import"
        eventually(lambda: done_lines(checkpoint) >= 1000, every_s=0.001, ignoring=(FileNotFoundError,))
        importing.send_signal(signal.SIGINT)
        _, err = importing.communicate(timeout=RUN_S)
    assert importing.returncode == 130
    assert "the same command goes on from there" in err
    assert "Traceback" not in err
    assert "going on after line" in tq("import", str(path)).err
    assert numbers(client) == list(range(60_000))


def test_lost_answers_double_nothing(own_node: NodeProcess, client: Client, tmp_path: Path) -> None:
    path = tmp_path / "tasks.ndjson"
    write_tasks(path, 20_000)
    with cutting(own_node.url, lambda number: number % 3 == 1) as proxy:
        assert Tq(proxy.url)("import", str(path)).out == "imported 20000 tasks\n"
        assert proxy.lost >= 6
    assert numbers(client) == list(range(20_000))


def test_lines_that_are_no_tasks_stop_the_import_or_are_skipped(
    own_node: NodeProcess, client: Client, tmp_path: Path
) -> None:
    tq = Tq(own_node.url)
    path = tmp_path / "tasks.ndjson"
    lines = ['{"kind":"k","payload":0}', "", "nope", '{"kind":"k","payload":1}', '{"kind":"k","prio":1}']
    lines += ['{"kind":"k","payload":{"a":1,"a":2}}', '{"kind":"k","payload":2}', '{"kind":"k","delay_s":-1}']
    path.write_text("\n".join(lines) + "\n")
    stopped = tq("import", str(path), code=2)
    assert stopped.out == "imported 1 tasks\n"
    assert "line 3: not JSON" in stopped.err
    assert "--skip-invalid" in stopped.err
    assert numbers(client) == [0]
    skipped = tq("import", str(path), "--skip-invalid")
    assert skipped.out == "imported 2 tasks (3 in all), skipped 4 lines\n"
    told = [line for line in skipped.err.splitlines() if line.startswith("skipped line")]
    assert [line.split()[2] for line in told] == ["3:", "5:", "6:", "8:"]
    assert ["not JSON" in told[0], "prio" in told[1], "payload.a" in told[2], "delay_s" in told[3]] == [
        True
    ] * 4
    assert numbers(client) == [0, 1, 2]


def test_changed_file_other_node_and_broken_checkpoint_are_refused(
    own_node: NodeProcess, client: Client, tmp_path: Path
) -> None:
    tq = Tq(own_node.url)
    path = tmp_path / "tasks.ndjson"
    write_tasks(path, 3)
    tq("import", str(path))
    with cutting(own_node.url, lambda number: False) as proxy:
        refused = Tq(proxy.url)("import", str(path), code=2)
    assert own_node.url in refused.err
    path.write_text('{"kind":"other"}\n')
    assert "have changed since" in tq("import", str(path), code=2).err
    (tmp_path / "tasks.ndjson.tq-import").write_text("x")
    assert "--restart" in tq("import", str(path), code=2).err
    assert len(numbers(client)) == 3
    write_tasks(path, 2)
    assert tq("import", str(path), "--restart").out == "imported 2 tasks\n"
    assert numbers(client) == [0, 1, 2, 0, 1]


def test_what_can_be_read_but_once_is_imported_and_not_resumed(
    own_node: NodeProcess, client: Client, tmp_path: Path
) -> None:
    tq = Tq(own_node.url)
    ran = tq.shell("""tq import <(echo '{"kind":"k","payload":0}')""", home=tmp_path)
    assert (ran.code, ran.out) == (0, "imported 1 tasks\n"), ran.err
    assert "cannot be resumed" in tq("import", "-", "--restart", code=2).err
    assert numbers(client) == [0]


def test_place_that_cannot_be_written_is_told_before_anything_is_sent(
    own_node: NodeProcess, client: Client, tmp_path: Path
) -> None:
    path = tmp_path / "tasks.ndjson"
    write_tasks(path, 3)
    ran = Tq(own_node.url)("import", str(path), "--checkpoint", str(tmp_path / "no" / "such"), code=2)
    assert "No such file" in ran.err
    assert "--checkpoint names another place" in ran.err
    assert numbers(client) == []


def test_batch_that_the_node_may_have_forgotten_is_asked_about(
    own_node: NodeProcess, client: Client, tmp_path: Path
) -> None:
    tq = Tq(own_node.url)
    path = tmp_path / "tasks.ndjson"
    kept = tmp_path / "kept"
    write_tasks(path, 1)
    progress = {"run": "x", "urls": [own_node.url], "batches": 1}
    sending = {
        "key": "x-0-1",
        "end": path.stat().st_size,
        "without": [],
        "at": "2026-01-01T00:00:00.000+00:00",
    }
    kept.write_text(json.dumps(progress | {"sending": sending}))
    unsure = tq("import", str(path), "--checkpoint", str(kept), code=7)
    assert "--unsure send or --unsure skip" in unsure.err
    skipping = tq("import", str(path), "--checkpoint", str(kept), "--unsure", "skip")
    assert skipping.out == "imported 0 tasks, 1 may or may not have been imported\n"
    kept.write_text(json.dumps(progress | {"sending": sending}))
    assert tq("import", str(path), "--checkpoint", str(kept), "--unsure", "send").out == "imported 1 tasks\n"
    assert numbers(client) == [0]


def test_two_imports_of_one_file_at_once_are_refused(own_node: NodeProcess, tmp_path: Path) -> None:
    tq = Tq(own_node.url)
    path = tmp_path / "tasks.ndjson"
    write_tasks(path, 60_000)
    with tq.start("import", str(path)) as importing:
        checkpoint = tmp_path / "tasks.ndjson.tq-import"
        eventually(checkpoint.exists, every_s=0.001)
        assert "another import" in tq("import", str(path), code=1).err
        importing.kill()


def test_what_is_exported_comes_back_byte_for_byte_and_in_order(
    own_node: NodeProcess, client: Client, tmp_path: Path
) -> None:
    tq = Tq(own_node.url)
    lines = [
        f'{{"kind":"k{n % 2}","queue":"q{n}","payload":{payload},"priority":{n},"tags":["t"],'
        f'"meta":{{"m":1.10}},"retry":{{"type":"list","delays_s":[1.0]}},"timeout_s":9.5,'
        f'"unique":{{"key":"u{n}"}}}}\n'
        for n, payload in enumerate(PAYLOADS * 30)
    ]
    later = (datetime.now(UTC) + timedelta(days=365)).isoformat(timespec="milliseconds")
    lines[7] = lines[7].replace('"priority":7', f'"priority":7,"run_at":"{later}"')
    tq("import", "-", stdin="".join(lines))
    exported = tq("export").out
    rows = exported.split("\n")[:-1]
    assert len(rows) == len(lines)
    for row, line in zip(rows, lines, strict=True):
        assert payload_of(row) == payload_of(line)
        wanted, written = json.loads(line), {"priority": 128} | json.loads(row)
        assert written.pop("unique")["key"] == wanted.pop("unique")["key"]
        wanted.pop("run_at", None)
        assert {name: value for name, value in written.items() if name in wanted} == wanted
    assert [datetime.fromisoformat(json.loads(row)["run_at"]) for row in rows if "run_at" in row] == [
        datetime.fromisoformat(later)
    ]
    first = {task.queue: task for task in client.list(payload=True)}
    tq("cancel", "-", stdin=tq("list", "--ids", "-n", "0").out)
    tq("delete", "-", stdin=tq("list", "--ids", "-n", "0").out)
    file = tmp_path / "exported.ndjson"
    file.write_text(exported)
    assert tq("import", str(file)).out == f"imported {len(lines)} tasks\n"
    assert tq("export").out == exported
    for task in client.list(payload=True):
        before = first[task.queue]
        for name in (
            "kind",
            "state",
            "priority",
            "tags",
            "timeout_s",
            "lease_s",
            "max_attempts",
            "unique_key",
        ):
            assert getattr(task, name) == getattr(before, name)
        assert bytes(task.payload) == bytes(before.payload)  # type: ignore[arg-type]  # both are set
        assert bytes(task.meta) == b'{"m":1.10}'  # type: ignore[arg-type]  # it is set


def payload_of(line: str) -> str:
    """The payload's bytes within a line of the API's form."""
    rest = line.partition('"payload":')[2]
    decoder = json.JSONDecoder()
    _, end = decoder.raw_decode(rest)
    return rest[:end]


def test_export_takes_the_waiting_tasks_unless_told_otherwise(own_node: NodeProcess, client: Client) -> None:
    tq = Tq(own_node.url)
    assert tq("export").out == ""
    kept = client.enqueue("waits", queue="a")
    client.cancel(client.enqueue("gone", queue="a").id)
    assert [json.loads(line)["kind"] for line in tq("export").out.splitlines()] == ["waits"]
    assert [json.loads(line)["kind"] for line in tq("export", "-s", "cancelled").out.splitlines()] == ["gone"]
    assert tq("export", "-q", "b").out == ""
    piped = tq("import", "-", "--json", stdin=tq("export").out)
    assert json.loads(piped.out)["imported"] == 1
    assert {task.kind for task in client.list(state="ready")} == {kept.kind}
