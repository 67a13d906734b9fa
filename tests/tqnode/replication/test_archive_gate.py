import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.tqnode.nodes import FakeClock, adds, open_core, settle
from tests.waiting import eventually_async
from tqnode.errors import OutcomeUnknown, TqnodeError
from tqnode.replication.archive_gate import ArchiveGate
from tqnode.replication.sync_client import SyncError

WITHIN_S = 10.0


class Uploads:
    """An archive that takes what it is given when the test says so."""

    def __init__(self) -> None:
        self.asked: list[asyncio.Future[None]] = []

    async def __call__(self, within_s: float) -> None:
        assert 0 < within_s <= WITHIN_S
        self.asked.append(asyncio.get_running_loop().create_future())
        await self.asked[-1]

    async def next(self) -> asyncio.Future[None]:
        await eventually_async(lambda: self.asked and not self.asked[-1].done())
        return self.asked[-1]


class Gated:
    """A gate, and what came through it."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.uploads = Uploads()
        self.unknown = 0
        self.late = 0
        self.answers: list[tuple[str, TqnodeError | None]] = []
        self.gate = ArchiveGate(self.uploads, clock=clock, within_s=WITHIN_S, on_unknown=self._count)

    def _count(self) -> None:
        self.unknown += 1

    def note_late(self) -> None:
        self.late += 1

    def hold(self, name: str) -> None:
        self.gate.hold(lambda error: self.answers.append((name, error)))

    @property
    def names(self) -> list[str]:
        return [name for name, error in self.answers if error is None]


@pytest.fixture
async def gated(clock: FakeClock) -> AsyncIterator[Gated]:
    gated = Gated(clock)
    running = asyncio.create_task(gated.gate.run(on_late=gated.note_late))
    yield gated
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_a_group_is_answered_by_the_upload_that_began_after_it_came(gated: Gated) -> None:
    gated.hold("a")
    first = await gated.uploads.next()
    gated.hold("b")
    gated.hold("c")
    first.set_result(None)
    second = await gated.uploads.next()
    assert gated.names == ["a"]
    second.set_result(None)
    await eventually_async(lambda: gated.names == ["a", "b", "c"])
    assert len(gated.uploads.asked) == 2
    await settle()
    assert len(gated.uploads.asked) == 2  # with nothing held, nothing is uploaded
    assert (gated.unknown, gated.late) == (0, 0)


async def test_an_upload_that_fails_is_tried_again_and_answers_nothing(gated: Gated) -> None:
    gated.hold("a")
    (await gated.uploads.next()).set_exception(SyncError("litestream does not run"))
    await settle()
    assert gated.answers == []
    await eventually_async(lambda: gated.clock.sleepers != [])
    gated.clock.advance(1)
    (await gated.uploads.next()).set_result(None)
    await eventually_async(lambda: gated.names == ["a"])
    assert gated.late == 0


async def test_a_group_that_is_held_too_long_is_answered_as_unknown_and_those_behind_it_are_not(
    gated: Gated,
) -> None:
    gated.hold("old")
    stuck = await gated.uploads.next()
    gated.clock.advance(WITHIN_S - 1)
    gated.hold("new")
    gated.clock.advance(1)
    stuck.set_exception(SyncError("litestream did not answer"))
    await eventually_async(lambda: gated.answers != [])
    (answered,) = gated.answers
    assert answered[0] == "old"
    assert isinstance(answered[1], OutcomeUnknown)
    assert "litestream did not answer" in str(answered[1])
    assert gated.unknown == 1
    await eventually_async(lambda: gated.clock.sleepers != [])
    gated.clock.advance(0.1)
    (await gated.uploads.next()).set_result(None)
    await eventually_async(lambda: gated.names == ["new"])
    assert gated.late == 1


async def test_what_was_answered_as_unknown_is_told_when_it_has_arrived_though_nothing_follows(
    gated: Gated,
) -> None:
    gated.hold("a")
    stuck = await gated.uploads.next()
    gated.clock.advance(WITHIN_S)
    stuck.set_exception(SyncError("no"))
    await eventually_async(lambda: gated.unknown == 1)
    await eventually_async(lambda: gated.clock.sleepers != [])
    gated.clock.advance(0.1)
    (await gated.uploads.next()).set_result(None)
    await eventually_async(lambda: gated.late == 1)


async def test_a_gate_that_closes_leaves_nobody_without_an_answer(clock: FakeClock) -> None:
    gated = Gated(clock)
    gated.hold("a")
    gated.hold("b")
    gated.gate.close()
    gated.hold("c")
    assert [type(error) for _, error in gated.answers] == [OutcomeUnknown] * 3
    gated.gate.check()


async def test_a_write_of_a_queue_is_answered_and_told_of_when_the_gate_opens(
    tmp_path: Path, gated: Gated
) -> None:
    async with open_core(tmp_path / "tq.db", clock=gated.clock, gate=gated.gate) as core:
        waiting = asyncio.create_task(core.claim("default", wait_s=60))
        for _ in range(2):
            (await gated.uploads.next()).set_result(None)  # the claim that finds nothing
            await settle()
            if len(core.queue.waiting) and gated.uploads.asked[-1].done():
                break
        writing = asyncio.create_task(core.enqueue())
        upload = await gated.uploads.next()
        await settle()
        assert not writing.done()
        assert not waiting.done()
        upload.set_result(None)
        task_id = await writing
        (await gated.uploads.next()).set_result(None)
        assert [task.id for task in await waiting] == [task_id]


async def test_a_write_that_does_not_get_there_is_of_unknown_outcome_and_was_made(
    tmp_path: Path, gated: Gated
) -> None:
    async with open_core(tmp_path / "tq.db", clock=gated.clock, gate=gated.gate) as core:
        writing = core.store.submit(adds("q"))
        upload = await gated.uploads.next()
        gated.clock.advance(WITHIN_S)
        upload.set_exception(SyncError("no"))
        with pytest.raises(OutcomeUnknown):
            await writing
        await eventually_async(lambda: gated.clock.sleepers != [])
        gated.clock.advance(0.1)
        (await gated.uploads.next()).set_result(None)
        await eventually_async(lambda: gated.late == 1)
        assert await core.rows("SELECT name FROM queue") == [("q",)]
