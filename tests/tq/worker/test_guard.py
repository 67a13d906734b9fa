import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.waiting import eventually
from tq.worker.descriptors import keep_to_ourselves
from tq.worker.group import Group
from tq.worker.guard import Guard


@pytest.fixture
def guard() -> Iterator[Guard]:
    made = Guard()
    yield made
    made.close()


def runs(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def sleeper(guard: Guard) -> Group:
    return Group(["/bin/sleep", "600"], environment={}, files={}, guard=guard)


def test_group_ends_with_all_it_started_and_says_how(guard: Guard, tmp_path: Path) -> None:
    script = f"sleep 600 & echo $! > {tmp_path}/child.tmp; mv {tmp_path}/child.tmp {tmp_path}/child; wait"
    group = Group(["/bin/sh", "-c", script], environment={"PATH": os.environ["PATH"]}, files={}, guard=guard)
    eventually((tmp_path / "child").exists)
    child = int((tmp_path / "child").read_text())
    assert os.getpgid(child) == group.pid == os.getsid(group.pid)
    assert runs(child)
    assert group.reap() == -signal.SIGKILL
    eventually(lambda: not runs(child))


def test_program_gets_the_descriptors_it_is_given_and_no_others(guard: Guard) -> None:
    ours, theirs = os.pipe()
    left_open = os.dup(theirs)
    os.set_inheritable(left_open, True)
    keep_to_ourselves()
    script = "import os,sys; print(sorted(int(n) for n in os.listdir('/proc/self/fd')), os.environ['ONLY'])"
    group = Group(
        [sys.executable, "-I", "-S", "-c", script],
        environment={"ONLY": "this"},
        files={1: theirs, 2: theirs, 3: theirs},
        guard=guard,
    )
    os.close(theirs)
    os.close(left_open)
    with open(ours) as out:
        told = out.read()
    assert group.reap() in (0, -signal.SIGKILL)
    # 0 is inherited, one more is the listing's own.
    assert told.strip() in ("[0, 1, 2, 3, 4] this", "[1, 2, 3, 4] this")


def test_program_that_does_not_exist_is_an_error_and_leaves_nothing(guard: Guard) -> None:
    guard.retract(guard.announce())  # starts the guarding process, whose pipe stays
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(FileNotFoundError):
        Group(["/nonexistent/program"], environment={}, files={1: 2}, guard=guard)
    assert len(os.listdir("/proc/self/fd")) == before


def test_end_of_the_guard_ends_the_groups_it_still_has(guard: Guard) -> None:
    kept, forgotten = sleeper(guard), sleeper(guard)
    guard.remove(forgotten.pid)
    guard.close()
    eventually(lambda: not runs(kept.pid))
    assert runs(forgotten.pid)
    assert [kept.reap(), forgotten.reap()] == [-signal.SIGKILL] * 2


def test_guard_that_was_killed_is_replaced_and_knows_all_groups(guard: Guard) -> None:
    first = sleeper(guard)
    process = guard._process
    assert process is not None
    process.kill()
    process.wait()
    second = sleeper(guard)
    guard.close()
    eventually(lambda: not runs(first.pid) and not runs(second.pid))
    assert [first.reap(), second.reap()] == [-signal.SIGKILL] * 2


def test_groups_end_when_their_owner_is_killed(tmp_path: Path) -> None:
    script = """
import sys
from tq.worker.descriptors import keep_to_ourselves
from tq.worker.group import Group
from tq.worker.guard import Guard
group = Group(["/bin/sleep", "600"], environment={}, files={}, guard=Guard())
print(group.pid, flush=True)
sys.stdin.read()
"""
    owner = subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    with owner:
        assert owner.stdout is not None
        pid = int(owner.stdout.readline())
        assert runs(pid)
        owner.kill()
    eventually(lambda: not runs(pid))


def test_group_that_was_just_starting_ends_when_its_owner_is_killed() -> None:
    """The worker dies after the start of a program, before it could say the program's number."""
    script = """
import os, sys
from tq.worker.guard import MARK, Guard
guard = Guard()
kept, unknown = guard.announce(), guard.announce()
pids = [
    os.posix_spawn("/bin/sleep", ["sleep", "600"], {MARK: mark}, setsid=True) for mark in (kept, unknown)
]
guard.add(pids[0], kept)
guard.remove(pids[0])
print(*pids, flush=True)
sys.stdin.read()
"""
    owner = subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    with owner:
        assert owner.stdout is not None
        forgotten, starting = map(int, owner.stdout.readline().split())
        assert runs(starting)
        owner.kill()
    eventually(lambda: not runs(starting))
    assert runs(forgotten)
    os.killpg(forgotten, signal.SIGKILL)
