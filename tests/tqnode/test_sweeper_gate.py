from pathlib import Path

import pytest

from tests.tqnode.nodes import open_core
from tests.tqnode.test_sweeper import READY, reaches, sweeping
from tests.waiting import eventually_async
from tqnode.errors import OutcomeUnknown
from tqnode.store.gate import Answer
from tqnode.sweeper import TICK_S


class Doubtful:
    """A gate that answers nobody for certain until it is told to."""

    certain = False

    def hold(self, answer: Answer) -> None:
        answer(None if self.certain else OutcomeUnknown("the archive is out of reach"))

    def check(self) -> None:
        """Nothing keeps what is settled from being answered."""


async def test_the_sweeper_goes_on_though_nobody_knows_whether_its_writes_arrived(tmp_path: Path) -> None:
    gate = Doubtful()
    async with open_core(tmp_path / "tq.db", gate=gate) as core, sweeping(core):
        for _ in range(5):
            await eventually_async(lambda: core.clock.sleepers == [pytest.approx(TICK_S)])
            core.clock.advance(TICK_S)
        gate.certain = True
        task_id = await core.enqueue(run_at_ms=core.clock.now_ms() + 100)
        await eventually_async(lambda: core.clock.sleepers != [])
        core.clock.advance(TICK_S)
        await reaches(core, task_id, READY)
        assert not core.fatal
