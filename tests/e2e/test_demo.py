"""``tqnode demo`` as people run it: real processes, real tasks, nothing left behind."""

import contextlib
import os
import pty
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

import tq
from tests.e2e.processes import running_node
from tests.waiting import eventually
from tqnode.demo import Demo, DemoError, make_tasks

DEMO = (sys.executable, "-m", "tqnode", "demo", "--listen", "127.0.0.1:0")
DEMO_S = 90.0
END_S = 30.0


class DemoProcess:
    """A demo that stays up, with its output in a file."""

    def __init__(self, folder: Path) -> None:
        self._output = folder / "output"
        with self._output.open("wb") as stream:
            self.process = subprocess.Popen(DEMO, stdin=subprocess.DEVNULL, stdout=stream, stderr=stream)

    @property
    def output(self) -> str:
        return self._output.read_text()

    def commands(self) -> list[str]:
        """What it suggests to try, once it is there."""
        eventually(self._all_said, within_s=DEMO_S)
        return re.findall(r"^  (\S.*)$", self.output.partition("try:")[2], re.MULTILINE)

    def _all_said(self) -> bool:
        if self.process.poll() is not None:
            raise RuntimeError(f"the demo ended with {self.process.returncode}:\n{self.output}")
        return self.output.partition("try:\n\n")[2].endswith("\n\n")

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait(END_S)


@pytest.fixture(autouse=True)
def _temporary_folders_in_the_tests_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[DemoProcess]:
    started = DemoProcess(tmp_path)
    try:
        yield started
    finally:
        started.end()


def folder_of(output: str) -> Path:
    found = re.search(r"its data in (\S+)", output)
    assert found, output
    return Path(found[1])


def processes_with(word: str) -> dict[int, str]:
    """Command lines of living processes that hold ``word``, by pid."""
    found = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                line = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                if word in line:
                    found[int(folder.name)] = line
    return found


def children_of(pid: int) -> dict[str, int]:
    """The demo's node and worker, by name."""
    own = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    lines = {int(child): Path(f"/proc/{child}/cmdline").read_bytes().split(b"\0") for child in own}
    return {"worker" if b"worker" in line else "node": child for child, line in lines.items()}


def is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


def test_once_does_every_task_and_leaves_nothing_behind() -> None:
    done = subprocess.run([*DEMO, "--once"], capture_output=True, text=True, timeout=DEMO_S, check=False)
    assert done.returncode == 0, done.stdout
    assert re.search(r"all \d{3} tasks succeeded", done.stdout)
    assert re.search(r"count_primes \d+ %", done.stdout)
    assert done.stderr == ""
    folder = folder_of(done.stdout)
    assert not folder.exists()
    assert processes_with(str(folder)) == {}


def test_the_suggested_commands_work_and_ctrl_c_ends_everything(demo: DemoProcess) -> None:
    commands = demo.commands()
    assert sum(command.startswith("curl ") for command in commands) == 3
    assert sum(re.match(r"\S*/tq ", command) is not None for command in commands) >= 3
    # One shell for all, since one of them sets a variable for the others; it stops at the first that fails.
    script = "\n".join(["set -e", *commands])
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert '"code":' not in done.stdout
    assert "hash_file" in done.stdout
    assert "stumbling" in done.stdout
    children = children_of(demo.process.pid)
    assert set(children) == {"node", "worker"}
    demo.process.send_signal(signal.SIGINT)
    assert demo.process.wait(END_S) == 0
    assert not folder_of(demo.output).exists()
    assert [name for name, pid in children.items() if is_running(pid)] == []


def test_ctrl_c_in_the_middle_ends_everything_too(demo: DemoProcess) -> None:
    eventually(lambda: "tasks enqueued" in demo.output, within_s=DEMO_S)
    demo.process.send_signal(signal.SIGINT)
    assert demo.process.wait(END_S) == 130
    folder = folder_of(demo.output)
    assert not folder.exists()
    assert processes_with(str(folder)) == {}


def test_a_worker_that_dies_ends_the_demo_with_1(demo: DemoProcess) -> None:
    demo.commands()
    os.kill(children_of(demo.process.pid)["worker"], signal.SIGKILL)
    assert demo.process.wait(END_S) == 1
    assert "the worker has ended with exit code -9" in demo.output


def test_children_do_not_outlive_a_demo_that_is_killed(demo: DemoProcess) -> None:
    demo.commands()
    children = children_of(demo.process.pid)
    demo.process.kill()
    demo.process.wait(END_S)
    eventually(lambda: not any(map(is_running, children.values())), within_s=END_S)


def test_a_taken_port_is_told_with_what_to_do_and_exit_code_1() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        listen = f"127.0.0.1:{other.getsockname()[1]}"
        command = [sys.executable, "-m", "tqnode", "demo", "--listen", listen]
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 1
    assert f"{listen} is in use" in done.stdout
    assert "--listen 127.0.0.1:0" in done.stdout
    assert done.stderr == ""


def test_an_address_that_is_none_is_told_with_exit_code_2() -> None:
    command = [sys.executable, "-m", "tqnode", "demo", "--listen", "nowhere"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 2
    assert "--listen: must be host:port" in done.stdout


def test_on_a_terminal_the_counts_are_a_table(tmp_path: Path) -> None:
    leader, follower = pty.openpty()
    environ = os.environ | {"TERM": "xterm", "COLUMNS": "100", "LINES": "40"}
    process = subprocess.Popen([*DEMO, "--once"], stdin=subprocess.DEVNULL, stdout=follower, env=environ)
    os.close(follower)
    shown = bytearray()
    with contextlib.suppress(OSError):  # the terminal's way to say that nobody writes any more
        while part := os.read(leader, 65_536):
            shown += part
    os.close(leader)
    assert process.wait(END_S) == 0
    text = shown.decode()
    for word in ("queue", "succeeded", "stumbling", "files", "┃", "tasks succeeded in"):
        assert word in text


def watch(folder: Path, url: str, tasks: list[tq.wire.Enqueued], client: tq.Client) -> float:
    demo = Demo(listen=url, folder=folder, environ={}, stop=threading.Event())
    return demo.watch(client, tasks)


def test_one_task_that_does_not_succeed_is_named_with_its_error(tmp_path: Path) -> None:
    with running_node(tmp_path) as node, tq.Client(node.url) as client:
        made = client.enqueue_many([tq.new_task("good"), tq.new_task("bad")])
        for task in client.claim("w", queues=["default"], max=2):
            if task.kind == "good":
                client.complete(task.id, task.token)
            else:
                client.fail(task.id, task.token, error=tq.wire.Failure(type="Oh", message="no"), retry=False)
        with pytest.raises(DemoError, match=rf"1 tasks failed:\n  bad {made[1].id}: Oh: no"):
            watch(tmp_path, node.url, made, client)


def test_the_demo_has_a_few_hundred_tasks_of_different_kinds_and_priorities() -> None:
    tasks = make_tasks("http://127.0.0.1:1")
    assert 200 <= len(tasks) <= 500
    assert {task.kind for task in tasks} == {"hash_file", "fetch", "stumble", "count_primes"}
    assert len({task.priority for task in tasks}) >= 3
