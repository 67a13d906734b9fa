import os
import signal
import subprocess
import sys
from pathlib import Path

from tests.waiting import eventually
from tqnode.child_process import bound_to_this_process

PARENT = """
import subprocess, sys, time
from tqnode.child_process import bound_to_this_process
child = subprocess.Popen(bound_to_this_process(["/bin/sleep", "600"], nice=int(sys.argv[1])))
print(child.pid, flush=True)
sys.stdin.read()
"""


def state_of(pid: int) -> str:
    """What it runs, or nothing once it is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
    except FileNotFoundError:
        return ""


def test_a_bound_child_dies_with_its_parent_however_that_ends() -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, "7"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    eventually(lambda: state_of(pid) == "/bin/sleep 600", within_s=30)
    assert os.getpgid(pid) == pid
    nicer = min(19, os.getpriority(os.PRIO_PROCESS, 0) + 7)  # more than 19 there is not
    assert os.getpriority(os.PRIO_PROCESS, pid) == nicer
    parent.send_signal(signal.SIGKILL)
    parent.communicate(timeout=30)
    eventually(lambda: state_of(pid) == "", within_s=30)


def test_a_bound_program_gets_its_arguments_and_its_exit_code_is_its_own() -> None:
    command = bound_to_this_process(["/bin/sh", "-c", 'printf "%s|" "$@"; exit 7', "sh", "a b", "", "$c"])
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert (done.stdout, done.returncode) == ("a b||$c|", 7)


def test_a_child_whose_parent_is_gone_already_does_not_begin() -> None:
    command = bound_to_this_process(["/bin/echo", "it ran"])
    command[command.index(str(os.getpid()))] = "1"
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert (done.stdout, done.returncode) == ("", 1)
