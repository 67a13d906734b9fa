"""Runs any program as a handler: payload on its standard input, result from its standard output.

The program is started directly, never through a shell, in a session of its own, with an environment
that holds only what is listed here and what the operator names. When it ends or is stopped, whatever
it left running in its process group is killed.
"""

from collections.abc import Iterable, Mapping, Sequence

import msgspec
from msgspec import Raw

from tq.clock import Clock
from tq.wire import ClaimedTask, Outcome
from tq.worker.attempt import Attempt
from tq.worker.conversation import Conversation
from tq.worker.group import Group
from tq.worker.guard import Guard
from tq.worker.handlers import PROGRESS_BYTES_MAX, encode_progress
from tq.worker.lines import LINE_CHARS_MAX, line_of
from tq.worker.log import facts, logger
from tq.worker.outcome import completed, failed, given_back
from tq.worker.pipes import EachLine, Kept
from tq.worker.stopping import Wakes

_log = logger()

RETRY_LATER = 75
"""Exit code: this attempt failed for now (EX_TEMPFAIL of sysexits.h)."""
FAIL_FOR_GOOD = 100
"""Exit code: no further attempt would help."""
PASSED_ON = ("PATH", "HOME", "LANG")
"""Variables every program gets; nothing else of the worker's own environment reaches it."""
RESULT_BYTES_MAX = 1024 * 1024
LINE_BYTES_MAX = 4 * LINE_CHARS_MAX
TEXT_BYTES_MAX = 64 * 1024
NOT_STARTED_DELAY_S = 5.0


class ProgramExecutor:
    """Runs ``argv`` once for each attempt.

    Args:
        argv: the program, by absolute path, and its arguments.
        clock: monotonic time.
        environment: of the worker.
        pass_on: names of further variables to hand to the program.
        kill_after_s: seconds between SIGTERM and SIGKILL.
        guard: ends the program should the worker die.
        logs: whether what it writes to standard error is its task's log.
    """

    patience_s = None

    def __init__(
        self,
        argv: Sequence[str],
        *,
        clock: Clock,
        environment: Mapping[str, str],
        pass_on: Iterable[str],
        kill_after_s: float,
        guard: Guard,
        logs: bool,
    ) -> None:
        self._argv = list(argv)
        self._logs = logs
        self._clock = clock
        names = (*PASSED_ON, *pass_on)
        self._environment = {name: environment[name] for name in names if name in environment}
        self._kill_after_s = kill_after_s
        self._guard = guard
        self._wakes = Wakes()

    def run(self, attempt: Attempt) -> Outcome:
        try:
            with self._wakes.opened(attempt) as wake:
                return self._converse(attempt, wake)
        except OSError as error:
            # The worker's trouble, not the task's: another worker may well be able to run it.
            _log.error(
                "the program could not be run: the task goes back",
                extra=facts(program=self._argv[0], error=str(error), task=attempt.task.id),
            )
            return given_back(attempt, delay_s=NOT_STARTED_DELAY_S)

    def stop(self, attempt: Attempt) -> None:
        self._wakes.wake(attempt)

    def close(self) -> None:
        """Nothing is kept between runs."""

    def _converse(self, attempt: Attempt, wake: int) -> Outcome:
        output = Kept(most=RESULT_BYTES_MAX, tail=TEXT_BYTES_MAX)
        errors = Kept(most=TEXT_BYTES_MAX, tail=TEXT_BYTES_MAX)

        def progress(line: bytes) -> None:
            self._take_progress(attempt, line)

        told = EachLine(most=LINE_BYTES_MAX, each=lambda line: self._take_line(attempt, line))

        def take_errors(chunk: bytes) -> None:
            errors.add(chunk)
            if self._logs:
                told.add(chunk)

        with Conversation(
            payload=bytes(attempt.task.payload),
            output=output.add,
            errors=take_errors,
            progress=progress,
            progress_line_max=PROGRESS_BYTES_MAX,
        ) as conversation:
            group = Group(
                self._argv,
                environment={**self._environment, **variables(attempt.task)},
                files=conversation.files,
                guard=self._guard,
            )
            code = conversation.follow(group, wake=wake, kill_after_s=self._kill_after_s, clock=self._clock)
        told.end()
        return outcome_of(attempt, code, output=output, errors=errors)

    def _take_line(self, attempt: Attempt, line: bytes) -> None:
        text = line.decode(errors="replace")
        attempt.lines.add(line_of(text, "info", self._clock.now_ms() / 1000))

    def _take_progress(self, attempt: Attempt, line: bytes) -> None:
        try:
            # Decoded and encoded again: a node refuses a whole heartbeat for one bad value.
            attempt.report_progress(encode_progress(msgspec.json.decode(line)))
        except (msgspec.DecodeError, ValueError, RecursionError) as error:
            _log.info(
                "progress of a program is not JSON",
                extra=facts(task=attempt.task.id, kind=attempt.task.kind, error=str(error)),
            )


def variables(task: ClaimedTask) -> dict[str, str]:
    """What a program is told of its task. The token is not among it: environments are easily read."""
    told = {
        "TQ_TASK_ID": task.id,
        "TQ_KIND": task.kind,
        "TQ_QUEUE": task.queue,
        "TQ_PRIORITY": str(task.priority),
        "TQ_ATTEMPT": str(task.attempt),
        "TQ_MAX_ATTEMPTS": str(task.max_attempts),
        "TQ_CRASHES": str(task.crashes),
        "TQ_CREATED_AT": task.created_at,
        "TQ_LEASE_S": f"{task.lease_s:g}",
        "TQ_PROGRESS_FD": "3",
    }
    if task.timeout_s is not None:
        told["TQ_TIMEOUT_S"] = f"{task.timeout_s:g}"
    return told


def outcome_of(attempt: Attempt, code: int, *, output: Kept, errors: Kept) -> Outcome:
    """What a program's end means for its task.

    Args:
        attempt: what it ran.
        code: its exit code, or minus the signal that ended it.
        output: what it wrote to standard output.
        errors: what it wrote to standard error.
    """
    if code == 0:
        return completed(attempt, result_of(output)) if output.bytes().strip() else completed(attempt)
    trace = errors.text()
    last = next((line.strip() for line in reversed(trace.splitlines()) if line.strip()), "")
    if code < 0:
        return failed(attempt, type_name="Killed", message=f"ended by signal {-code}", trace=trace)
    said = f"exit code {code}" + (f": {last}" if last else "")
    type_name = {RETRY_LATER: "RetryLater", FAIL_FOR_GOOD: "Reject"}.get(code, "ExitCode")
    return failed(attempt, type_name=type_name, message=said, trace=trace, retry=code != FAIL_FOR_GOOD)


def result_of(output: Kept) -> Raw:
    """The one JSON value on standard output as it stands, or else the text of it as ``{"stdout": …}``.

    A program that prints words has still done its work: failing it would have it done again.
    """
    written = output.bytes().strip()
    if not output.cut:
        try:
            msgspec.json.decode(written)
            return Raw(written)
        except (msgspec.DecodeError, RecursionError):
            pass
    text = written[-TEXT_BYTES_MAX:].decode(errors="replace").replace("\0", "\ufffd")
    told: dict[str, object] = {"stdout": text}
    if output.cut or len(written) > TEXT_BYTES_MAX:
        told["cut"] = True
    return Raw(msgspec.json.encode(told))
