"""Whatever has become of tasks, they can be explained, and first things come first."""

from typing import Any

import msgspec
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, rule

from tests.tqnode.nodes import Core, complete, fail, snooze, spec
from tests.tqnode.queue.explaining import codes, explained
from tests.tqnode.queue.families import child
from tests.tqnode.queue.machines import CoreMachine
from tqnode import ids
from tqnode.errors import NotFound, TqnodeError
from tqnode.queue import WorkerSpec, explain
from tqnode.queue.explain.view import Cause
from tqnode.task import FINAL, ClaimedTask, Finish, Needs, TaskState

picks = st.integers(0, 1_000)


async def test_a_task_that_is_not_there_cannot_be_explained(core: Core) -> None:
    task_id = await core.enqueue()
    other = ids.text(ids.pack(at_ms=5, seq=ids.seq_of(ids.parse(task_id)), nonce=5))
    for wrong in (other, "no id"):
        with pytest.raises(NotFound):
            await explained(core, wrong)


async def test_the_summary_says_the_state_and_the_first_cause(core: Core) -> None:
    task_id = await core.enqueue()
    found = await explained(core, task_id)
    assert found.summary == f"Ready, and not claimed yet. {found.causes[0].text}"
    assert (found.id, found.state) == (task_id, TaskState.READY)


async def test_a_rule_of_others_is_asked_in_its_place(core: Core, monkeypatch: pytest.MonkeyPatch) -> None:
    limited = Cause("limited", "Its queue runs no more at a time.", {"limit": 5})
    monkeypatch.setattr(explain, "RULES", (lambda view: iter([limited]), *explain.RULES))
    task_id = await core.enqueue()
    assert (await codes(core, task_id))[0] == "limited"
    assert (await explained(core, task_id)).summary.endswith(limited.text)


class Explaining(CoreMachine):
    """Anything happens to tasks; each time all are explained."""

    @initialize()
    def open(self) -> None:
        self.start(crashes_max=2, keep_cancelled_s=-1)
        self.ids: list[str] = []
        self.claimed: list[ClaimedTask] = []
        self.workers: list[str] = ["curl"]

    @rule(
        delay_ms=st.sampled_from([None, None, 1_500]),
        expires_ms=st.sampled_from([None, None, 3_000]),
        key=st.sampled_from([None, "k"]),
        mode=st.sampled_from(["skip", "replace", "debounce", "keep_earliest"]),
        period_ms=st.sampled_from([None, 2_000]),
        timeout_ms=st.sampled_from([None, 500]),
        attempts=st.integers(1, 2),
    )
    def enqueue(
        self,
        delay_ms: int | None,
        expires_ms: int | None,
        key: str | None,
        mode: str,
        period_ms: int | None,
        timeout_ms: int | None,
        attempts: int,
    ) -> None:
        now_ms = self.core.clock.now_ms()
        fields: dict[str, Any] = {
            "run_at_ms": None if delay_ms is None else now_ms + delay_ms,
            "expires_at_ms": None if expires_ms is None else now_ms + expires_ms,
            "timeout_ms": timeout_ms,
            "max_attempts": attempts,
            "lease_ms": 1_000,
        }
        if key is not None:
            fields |= {"unique_key": key, "unique_mode": mode, "unique_period_ms": period_ms}
        (made,) = self.run(self.core.queue.enqueue([spec(**fields)]))
        self.ids.append(made.id)

    @rule(number=picks, needs=st.sampled_from(Needs))
    def enqueue_after(self, number: int, needs: Needs) -> None:
        parent = self.pick(number)
        if parent is not None:
            (made,) = self.run(self.core.queue.enqueue([child(parent, needs=needs, queue="default")]))
            self.ids.append(made.id)

    def pick(self, number: int) -> str | None:
        rows = self.run(self.core.rows("SELECT id FROM task ORDER BY seq"))
        return ids.text(rows[number % len(rows)][0]) if rows else None

    @rule(number=picks)
    def claim(self, number: int) -> None:
        worker = self.workers[number % len(self.workers)]
        self.claimed += self.run(self.core.claim(worker=worker))

    @rule(number=picks, outcome=st.sampled_from(["complete", "fail", "fail for good", "snooze", "heartbeat"]))
    def finish(self, number: int, outcome: str) -> None:
        if not self.claimed:
            return
        task = self.claimed[number % len(self.claimed)]
        try:
            if outcome == "heartbeat":
                beat = self.core.queue.heartbeat(task.id, task.token, lease_ms=None, progress=b"[1.10]")
                self.run(beat)
                return
            finishes: dict[str, Finish] = {
                "complete": complete(task),
                "fail": fail(task, type="E\u202e", message="m" * 500),
                "fail for good": fail(task, retry=False),
                "snooze": snooze(task, delay_ms=1_000),
            }
            self.run(self.core.finish(finishes[outcome]))
        except TqnodeError:
            return  # it lost the task

    @rule(number=picks, what=st.sampled_from(["cancel", "retry", "delete"]))
    def manage(self, number: int, what: str) -> None:
        task_id = self.pick(number)
        if task_id is None:
            return
        try:
            self.run(getattr(self.core.queue, what)(task_id))
        except TqnodeError:
            return  # its state does not allow it

    @rule(paused=st.booleans())
    def pause_or_resume(self, paused: bool) -> None:
        if self.ids:
            catalogue = self.core.queue.catalogue
            self.run(catalogue.pause("default") if paused else catalogue.resume("default"))

    @rule(state=st.sampled_from(["run", "quiet", "terminate"]))
    def register(self, state: str) -> None:
        worker = self.run(self.core.queue.registry.register(WorkerSpec(name="w")))
        self.run(self.core.queue.registry.steer(worker.id, state))
        self.workers.append(worker.id)

    @rule(seconds=st.sampled_from([0.5, 1, 3]))
    def let_time_pass(self, seconds: float) -> None:
        self.run(self.core.sweep_after(seconds))

    @rule(seconds=st.sampled_from([-86_400, -2, 2, 40]))
    def set_the_clock(self, seconds: float) -> None:
        self.core.clock.step(seconds)

    @invariant()
    def every_task_can_be_explained(self) -> None:
        for row in self.run(self.core.rows("SELECT id, state FROM task")):
            found = self.run(explained(self.core, ids.text(row[0])))
            assert found.state == row[1]
            assert found.causes, "there is always something to say"
            assert found.summary.count("\n") == 0
            told = [cause.code for cause in found.causes]
            assert len(told) == len(set(told)), "each thing is said once"
            assert ("kept" in told) is (found.state in FINAL)
            msgspec.json.encode([cause.facts for cause in found.causes])


TestExplaining = Explaining.TestCase
if settings.get_current_profile_name() != "long":
    TestExplaining.settings = settings(max_examples=30, stateful_step_count=30)
