import asyncio
import threading
from collections.abc import Callable
from pathlib import Path

import apsw
import pytest

from tests.tqnode.nodes import (
    Core,
    HeldWriter,
    add_queue,
    adds,
    fails_after_writing,
    open_core,
    sample,
    settle,
    spec,
)
from tqnode.errors import Draining, NotFound, Overloaded
from tqnode.store import Effects, TaskEvent, Tx, connection
from tqnode.task import TaskState


async def names(core: Core) -> list[str]:
    return [row[0] for row in await core.rows("SELECT name FROM queue ORDER BY name")]


def the_group(tx: Tx) -> Tx:
    """An operation that tells in which transaction it ran."""
    return tx


def notes(ran: list[str], what: str) -> Callable[[Tx], None]:
    """An operation that notes that it ran."""
    return lambda _tx: ran.append(what)


async def test_what_waits_for_the_writer_shares_one_transaction(core: Core) -> None:
    async with HeldWriter(core.store):
        writes = [core.store.submit(adds(f"q{n:02}")) for n in range(50)]
        last = core.store.submit(the_group)
    assert await asyncio.gather(*writes) == [f"q{n:02}" for n in range(50)]
    await last
    assert len(await names(core)) == 50
    assert sample(core.metrics, "tq_group_operations_count") == 1
    assert sample(core.metrics, "tq_group_operations_sum") == 51


async def test_no_group_is_larger_than_its_limit(core: Core) -> None:
    async with HeldWriter(core.store):
        writes = [core.store.submit(the_group) for _ in range(513)]
    groups = await asyncio.gather(*writes)
    assert len(set(groups[:512])) == 1
    assert groups[512] is not groups[0]


async def test_an_operation_that_fails_before_it_writes_leaves_its_neighbours_in_one_group(
    core: Core,
) -> None:
    def refuse(_tx: Tx) -> None:
        raise NotFound("queue", "nowhere")

    async with HeldWriter(core.store):
        first, first_group = core.store.submit(adds("first")), core.store.submit(the_group)
        refused = core.store.submit(refuse)
        last, last_group = core.store.submit(adds("last")), core.store.submit(the_group)
    assert [await first, await last] == ["first", "last"]
    with pytest.raises(NotFound):
        await refused
    assert await names(core) == ["first", "last"]
    assert await first_group is await last_group


async def test_rows_that_others_noted_are_not_taken_for_what_a_failed_operation_wrote(core: Core) -> None:
    runs: list[str] = []

    def refused(tx: Tx) -> None:
        runs.append("refused")
        # Its look has the tasks written that were noted before it; its own row is only noted.
        assert tx.one("SELECT count(*) FROM task") == (4,)
        tx.insert("insert_tag", [("of nobody", 1)])
        raise NotFound("queue", "nowhere")

    async with HeldWriter(core.store):
        enqueues = [asyncio.create_task(core.queue.enqueue([spec(), spec()])) for _ in range(2)]
        await settle()
        failing = core.store.submit(refused)
        last = asyncio.create_task(core.queue.enqueue([spec(), spec()]))
        await settle()
    with pytest.raises(NotFound):
        await failing
    await asyncio.gather(*enqueues, last)
    assert runs == ["refused"], "the group ran once"
    assert (await core.count("task"), await core.count("task_tag")) == (6, 0)


@pytest.mark.parametrize("error", [NotFound("queue", "nowhere"), ValueError("a bug of ours")], ids=type)
async def test_an_operation_that_fails_after_it_wrote_leaves_nothing_and_its_neighbours_whole(
    core: Core, error: Exception
) -> None:
    async with HeldWriter(core.store):
        first = core.store.submit(adds("first"))
        failed = core.store.submit(fails_after_writing(error))
        last = core.store.submit(adds("last"))
    assert [await first, await last] == ["first", "last"]
    with pytest.raises(type(error)):
        await failed
    assert await names(core) == ["first", "last"]
    assert await core.store.write(adds("next")) == "next"


async def test_a_broken_constraint_is_the_answer_of_its_operation_alone(core: Core) -> None:
    async with HeldWriter(core.store):
        first = core.store.submit(adds("same"))
        second = core.store.submit(adds("same"))
    assert await first == "same"
    with pytest.raises(apsw.ConstraintError):
        await second
    assert await names(core) == ["same"]


async def test_several_failures_in_a_group_leave_exactly_the_others(core: Core) -> None:
    async with HeldWriter(core.store):
        writes: list[asyncio.Future[str] | asyncio.Future[None]] = []
        for n in range(6):
            writes.append(core.store.submit(adds(f"q{n}")))
            writes.append(core.store.submit(fails_after_writing(ValueError("no"))))
    answers = await asyncio.gather(*writes, return_exceptions=True)
    assert [isinstance(answer, ValueError) for answer in answers] == [False, True] * 6
    assert await names(core) == [f"q{n}" for n in range(6)]


async def test_a_failed_operation_has_no_effects_on_those_who_listen(core: Core) -> None:
    heard: list[str] = []
    core.store.listen(lambda effects: heard.extend(event.kind for event in effects.events))

    def operation(tx: Tx, kind: str, error: Exception | None = None) -> None:
        tx.effects.events.append(TaskEvent(b"", "q", kind, TaskState.READY, tx.now_ms, 0))
        if error is not None:
            fails_after_writing(error)(tx)

    async with HeldWriter(core.store):
        core.store.submit(lambda tx: operation(tx, "one"))
        failed = core.store.submit(lambda tx: operation(tx, "two", ValueError("no")))
        last = core.store.submit(lambda tx: operation(tx, "three"))
    await last
    assert isinstance(failed.exception(), ValueError)
    await settle()
    assert heard == ["one", "three"]


async def test_those_who_listen_hear_of_effects_once_and_before_the_caller_goes_on(core: Core) -> None:
    order: list[str] = []
    core.store.listen(lambda effects: order.append("effects") if effects.resumed else None)

    def operation(tx: Tx) -> None:
        tx.effects.resumed.append("q")

    write = core.store.submit(operation)
    write.add_done_callback(lambda _: order.append("answer"))
    await write
    await settle()
    assert order == ["effects", "answer"]
    assert write.done()


async def test_a_cancelled_operation_is_never_run(core: Core) -> None:
    ran: list[str] = []
    async with HeldWriter(core.store):
        kept = core.store.submit(notes(ran, "kept"))
        dropped = core.store.submit(notes(ran, "dropped"))
        dropped.cancel()
    await kept
    await core.store.write(lambda _: None)
    assert ran == ["kept"]


async def test_an_operation_cancelled_while_its_group_runs_is_left_out_of_the_second_run(core: Core) -> None:
    ran: list[str] = []
    loop = asyncio.get_running_loop()

    async with HeldWriter(core.store):

        def cancels_the_next(tx: Tx) -> None:
            ran.append("cancelling")
            add_queue(tx, "q")
            asyncio.run_coroutine_threadsafe(cancel(), loop).result(10)

        async def cancel() -> None:
            dropped.cancel()

        first = core.store.submit(cancels_the_next)
        dropped = core.store.submit(notes(ran, "dropped"))
    await first
    await core.store.write(lambda _: None)
    assert ran == ["cancelling"]


async def test_background_work_runs_after_the_requests_that_came_later(core: Core) -> None:
    ran: list[str] = []
    async with HeldWriter(core.store):
        background = [
            asyncio.create_task(core.store.write(notes(ran, f"sweep {n}"), background=True)) for n in range(2)
        ]
        await settle()
        requests = [core.store.submit(notes(ran, f"request {n}")) for n in range(3)]
    await asyncio.gather(*background, *requests)
    assert ran == ["request 0", "request 1", "request 2", "sweep 0", "sweep 1"]


async def test_background_work_waits_even_for_requests_that_one_group_cannot_hold(core: Core) -> None:
    ran: list[str] = []
    async with HeldWriter(core.store):
        background = asyncio.create_task(core.store.write(notes(ran, "sweep"), background=True))
        await settle()
        requests = [core.store.submit(notes(ran, "request")) for _ in range(600)]
    await asyncio.gather(background, *requests)
    assert ran == ["request"] * 600 + ["sweep"]


async def test_each_group_carries_at_most_one_piece_of_background_work(core: Core) -> None:
    async with HeldWriter(core.store):
        background = [asyncio.create_task(core.store.write(the_group, background=True)) for _ in range(3)]
        await settle()
    assert len(set(await asyncio.gather(*background))) == 3


async def test_who_came_during_background_work_does_not_wait_for_more_of_it(core: Core) -> None:
    begun, goes_on = threading.Event(), threading.Event()

    def slice_of_work(tx: Tx) -> Tx:
        begun.set()
        assert goes_on.wait(20)
        return tx

    first = core.store.submit(slice_of_work, background=True)
    assert await asyncio.to_thread(begun.wait, 20)
    second = core.store.submit(the_group, background=True)
    request = core.store.submit(the_group)
    goes_on.set()
    groups = [await one for one in (first, request, second)]
    assert len(set(groups)) == 3
    # Nor does background work wait for as long as requests keep coming.
    async with HeldWriter(core.store):
        together = [core.store.submit(the_group), core.store.submit(the_group, background=True)]
    assert await together[0] is await together[1]


async def test_more_operations_than_the_backlog_may_hold_are_refused(tmp_path: Path) -> None:
    async with open_core(tmp_path / "tq.db", writer_backlog_max=5) as core:
        async with HeldWriter(core.store):
            waiting = [core.store.submit(lambda tx: tx.now_ms) for _ in range(5)]
            assert core.store.backlog == 5
            with pytest.raises(Overloaded, match="5 operations wait"):
                core.store.submit(lambda tx: tx.now_ms)
            # What gives tasks back and leases an end must get through to a node with too much to do.
            waiting.append(core.store.submit(lambda tx: tx.now_ms, background=True))
        await asyncio.gather(*waiting)
        assert core.store.backlog == 0
        await core.store.write(lambda tx: tx.now_ms)


async def test_closing_runs_what_waits_and_takes_nothing_more(tmp_path: Path) -> None:
    path = tmp_path / "tq.db"
    async with open_core(path) as core:
        async with HeldWriter(core.store):
            waiting = [core.store.submit(adds(f"q{n}")) for n in range(10)]
            closing = asyncio.create_task(core.store.close())
            await settle()
            with pytest.raises(Draining):
                core.store.submit(lambda tx: tx.now_ms)
        await closing
        assert await asyncio.gather(*waiting) == [f"q{n}" for n in range(10)]
    async with open_core(path) as reopened:
        assert len(await names(reopened)) == 10


async def test_a_node_that_did_nothing_closes_at_once(tmp_path: Path) -> None:
    async with open_core(tmp_path / "tq.db") as core:
        pass
    assert not core.fatal


async def test_all_operations_of_a_group_share_one_moment(core: Core) -> None:
    def reads_and_lets_time_pass(tx: Tx) -> int:
        core.clock.advance(1)
        return tx.now_ms

    async with HeldWriter(core.store):
        writes = [core.store.submit(reads_and_lets_time_pass) for _ in range(3)]
    assert len(set(await asyncio.gather(*writes))) == 1


async def test_row_numbers_and_id_times_go_on_where_the_last_start_ended(tmp_path: Path) -> None:
    path = tmp_path / "tq.db"
    async with open_core(path) as core:
        core.clock.step(3600)
        first = await core.enqueue()
    async with open_core(path) as reopened:
        second = await reopened.enqueue()
        assert second > first, "a clock that was set back must not put ids out of order"
        assert [row[0] for row in await reopened.rows("SELECT seq FROM task ORDER BY id")] == [1, 2]


async def test_a_row_that_carries_another_row_s_id_is_corruption(tmp_path: Path) -> None:
    path = tmp_path / "tq.db"
    async with open_core(path) as core:
        await core.enqueue()
        await core.store.write(lambda tx: tx.run("UPDATE task SET seq = 7"))
    with pytest.raises(apsw.CorruptError):
        async with open_core(path):
            raise AssertionError("the damaged file was opened")


async def test_a_group_whose_tallies_break_is_undone_and_the_next_one_is_not(core: Core) -> None:
    await core.enqueue()

    def miscounts(tx: Tx) -> None:
        tx.moved("default", TaskState.DEAD, TaskState.READY)

    async with HeldWriter(core.store):
        bug = core.store.submit(miscounts)
        neighbour = core.store.submit(adds("q"))
    for write in (bug, neighbour):
        with pytest.raises(apsw.ConstraintError):
            await write
    assert await names(core) == ["default"]
    await core.enqueue()
    assert await core.count("task") == 2


async def test_a_database_that_another_program_holds_refuses_writes_until_it_lets_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "BUSY_TIMEOUT_MS", 20)
    path = tmp_path / "tq.db"
    async with open_core(path) as core:
        await core.enqueue()
        other = connection.open_writer(path)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(Overloaded, match="another program"):
            await core.enqueue()
        assert await core.count("task") == 1, "reads go on"
        other.execute("ROLLBACK")
        other.close()
        await core.enqueue()
        assert await core.count("task") == 2
        assert not core.fatal


async def test_effects_cut_to_a_mark_forget_only_what_came_after() -> None:
    effects = Effects()
    effects.resumed.append("a")
    mark = effects.mark()
    effects.resumed.append("b")
    effects.due_ms.append(1)
    effects.cut(mark)
    assert effects.resumed == ["a"]
    assert effects.due_ms == []
