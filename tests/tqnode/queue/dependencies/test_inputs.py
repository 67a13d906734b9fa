"""What a claimed task's parents came to, as its worker gets it."""

import pytest

from tests.tqnode.nodes import Core, complete, fail, ids_of, spec
from tests.tqnode.queue.families import child, enqueue
from tqnode.queue.dependencies import inputs
from tqnode.queue.dependencies.inputs import INPUT_BYTES
from tqnode.task import Input, Needs, TaskState

RESULTS = (b"[12345678]", b"[%s]" % (b"1" * 200), b"[1]", b"2")


async def test_a_task_without_parents_has_no_inputs(core: Core) -> None:
    task = await core.running()
    assert (task.inputs, task.inputs_truncated) == ((), False)


async def test_inputs_are_the_parents_in_the_order_of_enqueueing_byte_for_byte(
    core: Core,
) -> None:
    made = await enqueue(
        core,
        child(3, 2, 1, needs=Needs.FINISHED),
        spec(kind="a"),
        spec(kind="b"),
        spec(kind="c"),
    )
    first, second, third = await core.claim(max=3)
    await core.finish(complete(first, result=b'{"x": 1.10}'))
    await core.finish(fail(second, retry=False))
    await core.finish(complete(third))
    task = await core.claim_one("children")
    assert task.inputs == (
        Input(made[1], "a", TaskState.SUCCEEDED, b'{"x": 1.10}', False),
        Input(made[2], "b", TaskState.DEAD, None, False),
        Input(made[3], "c", TaskState.SUCCEEDED, None, False),
    )
    assert not task.inputs_truncated


async def test_each_task_of_a_claim_has_its_own_inputs_and_plain_ones_have_none(core: Core) -> None:
    made = await enqueue(core, spec(), spec(queue="children"), child(0), child(0))
    parent = await core.claim_one()
    await core.finish(complete(parent, result=b"5"))
    tasks = await core.claim("children", max=5)
    assert ids_of(tasks) == made[1:]
    assert [[one.result for one in task.inputs] for task in tasks] == [[], [b"5"], [b"5"]]


async def test_a_second_attempt_has_the_same_inputs(core: Core) -> None:
    await enqueue(core, spec(), child(0))
    await core.finish(complete(await core.claim_one(), result=b"5"))
    first = await core.claim_one("children")
    await core.finish(fail(first, delay_ms=0))
    assert (await core.claim_one("children")).inputs == first.inputs


async def test_a_deleted_parent_is_not_among_the_inputs(core: Core) -> None:
    gone, kept, _ = await enqueue(core, spec(), spec(), child(0, 1))
    for task in await core.claim(max=2):
        await core.complete(task)
    await core.queue.delete(gone)
    assert [one.id for one in (await core.claim_one("children")).inputs] == [kept]


async def test_a_result_beyond_the_bound_is_left_out_and_what_fits_still_comes(
    core: Core, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inputs, "TASK_BYTES_MAX", 3 * INPUT_BYTES + 20)
    await enqueue(core, spec(), spec(), spec(), spec(), child(0, 1, 2, 3))
    for task, result in zip(await core.claim(max=4), RESULTS, strict=True):
        await core.finish(complete(task, result=result))
    task = await core.claim_one("children")
    assert [(one.result, one.left_out) for one in task.inputs] == [
        (b"[12345678]", False),
        (None, True),
        (b"[1]", False),
    ]
    assert task.inputs_truncated


async def test_the_inputs_of_all_tasks_of_a_claim_are_bounded_together(
    core: Core, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inputs, "CLAIM_BYTES_MAX", 2 * INPUT_BYTES + 10)
    await enqueue(core, spec(), child(0), child(0), child(0))
    await core.finish(complete(await core.claim_one(), result=b"[12345]"))
    tasks = await core.claim("children", max=3)
    assert [[(one.result, one.left_out) for one in task.inputs] for task in tasks] == [
        [(b"[12345]", False)],
        [(None, True)],
        [],
    ]
    assert [task.inputs_truncated for task in tasks] == [False, False, True]


async def test_the_inputs_of_a_claim_are_bounded_in_number_too(
    core: Core, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inputs, "INPUTS_MAX", 3)
    await enqueue(core, spec(), spec(), child(0, 1), child(0, 1), child(0), spec(queue="children"))
    for task in await core.claim(max=2):
        await core.complete(task)
    tasks = await core.claim("children", max=4)
    assert [(len(task.inputs), task.inputs_truncated) for task in tasks] == [
        (2, False),
        (1, True),
        (0, True),
        (0, False),
    ]
