"""``tq worker --exec`` against a real node: any program as a handler."""

import signal

import pytest

import tq
from tests.e2e.worker_bench import WorkerBench, gone
from tests.waiting import eventually


def test_payload_comes_in_and_json_goes_out_unchanged(at_work: WorkerBench) -> None:
    at_work.program("#!/bin/sh\ncat\n")
    payload = tq.Raw(b'{"id": 1970670598291982290, "x": 1.10, "t": "\xc3\xa9"}')
    task = at_work.ended(at_work.client.enqueue("any", payload, queue=at_work.queue).id)
    assert task.state == "succeeded"
    assert isinstance(task.result, tq.Raw)
    assert bytes(task.result) == bytes(payload)


def test_large_payload_and_result_pass_through_the_pipes(at_work: WorkerBench) -> None:
    at_work.program("#!/bin/sh\ncat\n")
    text = "x" * 900_000
    task = at_work.ended(at_work.client.enqueue("any", text, queue=at_work.queue).id)
    assert at_work.value(task) == text


def test_program_that_ignores_its_payload_is_fine(at_work: WorkerBench) -> None:
    at_work.program("#!/bin/sh\nexec true\n")
    task = at_work.ended(at_work.client.enqueue("any", "x" * 900_000, queue=at_work.queue).id)
    assert (task.state, at_work.value(task)) == ("succeeded", None)


def test_words_on_standard_output_are_kept_as_text(at_work: WorkerBench) -> None:
    at_work.program("#!/bin/sh\necho all done\n")
    task = at_work.ended(at_work.enqueue("any"))
    assert (task.state, at_work.value(task)) == ("succeeded", {"stdout": "all done"})


def test_output_over_the_limit_keeps_its_end(at_work: WorkerBench) -> None:
    at_work.program("#!/bin/sh\nhead -c 3000000 /dev/zero | tr '\\0' x\necho THE END\n")
    task = at_work.ended(at_work.enqueue("any"))
    value = at_work.value(task)
    assert isinstance(value, dict)
    assert value["cut"] is True
    assert value["stdout"].endswith("THE END")
    assert len(value["stdout"]) <= 65_536


def test_environment_holds_what_is_told_and_nothing_else(
    at_work: WorkerBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_OF_THE_WORKER", "s3cret")
    monkeypatch.setenv("PASSED_ON", "yes")
    monkeypatch.setenv("TQ_TOKEN", "tq_secret_token")
    at_work.program(
        "#!/bin/sh\n/usr/bin/env > env.out; tr '\\n' '|' < env.out\n".replace(
            "env.out", str(at_work.folder / "env.out")
        ),
        "--env",
        "PASSED_ON",
    )
    task_id = at_work.enqueue("any.kind", priority=200, max_attempts=3, timeout_s=9.5)
    assert at_work.ended(task_id).state == "succeeded"
    lines = (at_work.folder / "env.out").read_text().splitlines()
    told = dict(line.split("=", 1) for line in lines)
    assert told["PASSED_ON"] == "yes"
    assert told["TQ_TASK_ID"] == task_id
    assert {
        name: told[f"TQ_{name}"] for name in ("KIND", "QUEUE", "ATTEMPT", "MAX_ATTEMPTS", "PRIORITY")
    } == {
        "KIND": "any.kind",
        "QUEUE": at_work.queue,
        "ATTEMPT": "1",
        "MAX_ATTEMPTS": "3",
        "PRIORITY": "200",
    }
    assert (told["TQ_LEASE_S"], told["TQ_TIMEOUT_S"]) == ("30", "9.5")
    others = {name for name in told if not name.startswith("TQ_")}
    assert others <= {"PATH", "HOME", "LANG", "PASSED_ON", "PWD", "_", "SHLVL", "OLDPWD"}
    assert "TQ_TOKEN" not in told


def test_arguments_are_passed_without_a_shell_between(at_work: WorkerBench) -> None:
    at_work.program('#!/bin/sh\nprintf \'"%s"\' "$2"\n', arguments=("--first", "$(id) ; * 'x'"))
    assert at_work.value(at_work.ended(at_work.enqueue("any"))) == "$(id) ; * 'x'"


def test_exit_code_75_means_later(at_work: WorkerBench) -> None:
    at_work.program("#!/bin/sh\necho busy just now >&2\nexit 75\n")
    task = at_work.in_state(at_work.enqueue("any"), "scheduled")
    (error,) = task.errors
    assert (error.type, error.message, error.trace) == (
        "RetryLater",
        "exit code 75: busy just now",
        "busy just now\n",
    )


def test_exit_code_100_means_never(at_work: WorkerBench) -> None:
    at_work.program("#!/bin/sh\nexit 100\n")
    task = at_work.ended(at_work.enqueue("any"))
    assert (task.state, task.reason, task.errors[0].type) == ("dead", "failed_for_good", "Reject")


def test_any_other_exit_code_fails_with_the_end_of_standard_error(at_work: WorkerBench) -> None:
    at_work.program("#!/bin/sh\nseq 100000 >&2\necho the reason >&2\nexit 3\n")
    task = at_work.in_state(at_work.enqueue("any"), "scheduled")
    (error,) = task.errors
    assert (error.type, error.message) == ("ExitCode", "exit code 3: the reason")
    assert error.trace.endswith("99999\n100000\nthe reason\n")
    assert len(error.trace) <= 20_000


def test_program_that_kills_itself_fails(at_work: WorkerBench) -> None:
    at_work.program("#!/bin/sh\nkill -9 $$\n")
    task = at_work.in_state(at_work.enqueue("any"), "scheduled")
    assert (task.errors[0].type, task.errors[0].message) == ("Killed", "ended by signal 9")


def test_progress_on_descriptor_3_is_seen(at_work: WorkerBench) -> None:
    at_work.program(
        f"""#!/bin/sh
        echo 'not json' >&3
        echo '{{"percent": 10, "percent": 20}}' >&3
        while [ ! -e {at_work.folder}/p.go ]; do sleep 0.05; done
        """
    )
    task_id = at_work.enqueue("any", lease_s=0.6)
    eventually(lambda: tq.value(at_work.task(task_id).progress) == {"percent": 20})
    at_work.release("p")
    assert at_work.ended(task_id).state == "succeeded"


STUBBORN = """#!/bin/sh
trap '' TERM
sleep 600 &
echo "$$ $!" > {folder}/.pids
mv {folder}/.pids {folder}/pids
wait
wait
sleep 600
"""


def test_cancel_kills_the_program_and_its_child_that_ignores_it(at_work: WorkerBench) -> None:
    at_work.program(STUBBORN.format(folder=at_work.folder), "--kill-after", "300ms")
    task_id = at_work.enqueue("any", lease_s=0.6)
    program, child = map(int, at_work.mark("pids").split())
    at_work.client.cancel(task_id)
    assert at_work.ended(task_id).state == "cancelled"
    assert gone(program)
    eventually(lambda: gone(child))


def test_timeout_kills_the_program(at_work: WorkerBench) -> None:
    at_work.program("#!/bin/sh\necho before >&2\nexec sleep 600\n")
    task = at_work.ended(at_work.enqueue("any", timeout_s=0.3, max_attempts=1))
    assert (task.state, task.errors[0].type) == ("dead", "Timeout")
    assert task.errors[0].trace == "before\n"


def test_program_dies_with_a_worker_that_is_killed(at_work: WorkerBench) -> None:
    worker = at_work.program(STUBBORN.format(folder=at_work.folder))
    at_work.enqueue("any")
    program, child = map(int, at_work.mark("pids").split())
    worker.signal(signal.SIGKILL)
    worker.wait()
    eventually(lambda: gone(program) and gone(child))


def test_what_a_program_leaves_running_ends_with_it(at_work: WorkerBench) -> None:
    at_work.program("#!/bin/sh\nsleep 600 &\necho $!\n")
    task = at_work.ended(at_work.enqueue("any"))
    assert task.state == "succeeded"
    left = at_work.value(task)
    assert isinstance(left, int)
    eventually(lambda: gone(left))


def test_worker_going_gives_the_programs_task_back(at_work: WorkerBench) -> None:
    worker = at_work.program("#!/bin/sh\nexec sleep 600\n", "--grace", "200ms")
    task_id = at_work.enqueue("any")
    at_work.in_state(task_id, "running")
    worker.signal(signal.SIGTERM)
    assert worker.wait() == 0
    task = at_work.task(task_id)
    assert (task.state, task.attempt, task.errors) == ("ready", 0, [])


def test_program_that_cannot_be_started_burns_no_attempt(at_work: WorkerBench) -> None:
    worker = at_work.program("#!/bin/sh\nexit 0\n")
    (at_work.folder / "program").unlink()
    task_id = at_work.enqueue("any")
    task = at_work.in_state(task_id, "scheduled")
    assert (task.attempt, task.errors) == (0, [])
    assert worker.said("the program could not be run")


def test_only_the_kinds_asked_for_are_run(at_work: WorkerBench) -> None:
    at_work.program("#!/bin/sh\nexit 0\n", "--kind", "wanted")
    other = at_work.enqueue("unwanted")
    wanted = at_work.enqueue("wanted")
    assert at_work.ended(wanted).state == "succeeded"
    assert at_work.task(other).state == "ready"
