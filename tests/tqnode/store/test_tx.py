"""Rows that are noted and written later: many in one statement, and never anybody else's."""

import asyncio
from collections.abc import Callable
from typing import Any

import apsw
import pytest

from tests.tqnode.nodes import Core, HeldWriter, spec
from tqnode.errors import NotFound, UniqueConflict
from tqnode.sql import statement, statement_of_rows
from tqnode.store import Tx
from tqnode.store.tx import ROWS_MAX

READ_BODIES = "SELECT seq FROM task_body ORDER BY seq"


def body(seq: int) -> tuple[Any, ...]:
    return (seq, b"{}", None, None, None)


def notes(*seqs: int) -> Callable[[Tx], None]:
    """An operation that notes the rows and runs no statement."""

    def operation(tx: Tx) -> None:
        for seq in seqs:
            tx.insert("insert_body", [body(seq)])

    return operation


async def test_noted_rows_are_there_for_the_next_statement_and_after_the_commit(core: Core) -> None:
    def operation(tx: Tx) -> list[tuple[Any, ...]]:
        notes(1, 2)(tx)
        seen = tx.all(READ_BODIES)
        notes(3)(tx)
        return seen

    assert await core.store.write(operation) == [(1,), (2,)]
    assert await core.rows(READ_BODIES) == [(1,), (2,), (3,)]


@pytest.mark.parametrize("count", [1, 2, 3, ROWS_MAX - 1, ROWS_MAX, ROWS_MAX + 1, 3 * ROWS_MAX + 7])
async def test_any_number_of_noted_rows_is_written_whole(core: Core, count: int) -> None:
    await core.store.write(notes(*range(1, count + 1)))
    assert await core.rows(READ_BODIES) == [(seq,) for seq in range(1, count + 1)]


async def test_an_operation_that_fails_takes_its_noted_rows_with_it_and_no_others(core: Core) -> None:
    def fails(tx: Tx) -> None:
        notes(2)(tx)
        raise NotFound("task", "it")

    async with HeldWriter(core.store):
        kept = [core.store.submit(notes(1)), core.store.submit(notes(3))]
        failed = core.store.submit(fails)
        kept.append(core.store.submit(notes(4)))
    with pytest.raises(NotFound):
        await failed
    for future in kept:
        await future
    assert await core.rows(READ_BODIES) == [(1,), (3,), (4,)]


async def test_an_operation_that_fails_after_writing_leaves_its_neighbours_rows(core: Core) -> None:
    def fails(tx: Tx) -> None:
        notes(2)(tx)
        tx.all(READ_BODIES)
        notes(5)(tx)
        raise NotFound("task", "it")

    async with HeldWriter(core.store):
        before, failed, after = (core.store.submit(one) for one in (notes(1), fails, notes(3)))
    with pytest.raises(NotFound):
        await failed
    await before
    await after
    assert await core.rows(READ_BODIES) == [(1,), (3,)]


async def test_a_part_that_fails_takes_only_its_own_noted_rows(core: Core) -> None:
    def operation(tx: Tx) -> None:
        notes(1)(tx)

        def part() -> None:
            notes(2)(tx)
            tx.all(READ_BODIES)
            notes(3)(tx)
            raise NotFound("task", "it")

        with pytest.raises(NotFound):
            tx.atomically(part)
        notes(4)(tx)

    await core.store.write(operation)
    assert await core.rows(READ_BODIES) == [(1,), (4,)]


async def test_a_row_that_is_not_taken_is_its_own_operation_s_failure(core: Core) -> None:
    await core.store.write(notes(7))
    async with HeldWriter(core.store):
        futures = [core.store.submit(notes(seq)) for seq in (1, 7, 2)]
    before, clash, after = await asyncio.gather(*futures, return_exceptions=True)
    assert before is after is None
    assert isinstance(clash, apsw.ConstraintError)
    assert await core.rows(READ_BODIES) == [(1,), (2,), (7,)]


async def test_tasks_of_a_request_whose_last_one_is_refused_are_not_there(core: Core) -> None:
    await core.enqueue(unique_key="k")
    with pytest.raises(UniqueConflict):
        await core.queue.enqueue([spec(), spec(), spec(unique_key="k", unique_mode="reject")])
    assert await core.count("task") == await core.count("task_body") == 1


def test_a_statement_of_one_row_is_the_one_in_the_file() -> None:
    for name in ("insert_task", "insert_body", "insert_tag"):
        assert statement_of_rows(name, 1) == statement(name)
        assert statement_of_rows(name, 3).count("?") == 3 * statement(name).count("?")
