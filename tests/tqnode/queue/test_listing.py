from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.tqnode.nodes import START_MS, Core, ids_of, open_core, spec
from tqnode.errors import InvalidCursor
from tqnode.queue import Filters, Page, listing
from tqnode.task import Complete, Fail, TaskState


async def page(core: Core, limit: int = 100, cursor: str | None = None, **filters: Any) -> Page:
    return await core.queue.page(Filters(**filters), limit=limit, cursor=cursor, bodies=False)


async def listed(core: Core, **filters: Any) -> list[str]:
    """The ids of all that match, page by page."""
    found: list[str] = []
    cursor = None
    while True:
        part = await page(core, limit=3, cursor=cursor, **filters)
        found += ids_of(part.tasks)
        cursor = part.next_cursor
        if cursor is None:
            return found


async def test_tasks_are_listed_newest_first(core: Core) -> None:
    made = ids_of(await core.queue.enqueue([spec() for _ in range(5)]))
    first = await page(core)
    assert ids_of(first.tasks) == made[::-1]
    assert first.next_cursor is None


async def test_an_empty_node_has_one_empty_page(core: Core) -> None:
    assert await page(core) == Page([], None)


async def test_pages_follow_each_other_without_gap_or_overlap(core: Core) -> None:
    made = ids_of(await core.queue.enqueue([spec() for _ in range(10)]))
    assert await listed(core) == made[::-1]


async def test_bodies_are_listed_only_when_asked_for(core: Core) -> None:
    task = await core.running(payload=b"[1]", meta=b"{}", tags=("t",))
    await core.finish(Complete(id=task.id, token=task.token, result=b"2"))
    (bare,) = (await core.queue.page(Filters(), limit=1, cursor=None, bodies=False)).tasks
    assert (bare.payload, bare.result, bare.meta, bare.tags) == (b"", None, b"{}", ("t",))
    (whole,) = (await core.queue.page(Filters(), limit=1, cursor=None, bodies=True)).tasks
    assert whole == await core.task(task.id)
    assert (whole.payload, whole.result) == (b"[1]", b"2")


async def test_each_filter_lets_through_what_it_names(core: Core) -> None:
    a = await core.enqueue(queue="a", kind="x", priority=1, tags=("red", "blue"))
    core.clock.advance(10)
    b = await core.enqueue(queue="b", kind="y", priority=2, tags=("blue",))
    core.clock.advance(10)
    c = await core.enqueue(queue="c", kind="z", priority=3)
    running = await core.claim_one("c", worker="w7")
    assert running.id == c
    ended = await core.claim_one("b", worker="w8")
    await core.finish(Fail(id=ended.id, token=ended.token, retry=False))
    expected: list[tuple[dict[str, Any], list[str]]] = [
        ({}, [c, b, a]),
        ({"queues": ("a",)}, [a]),
        ({"queues": ("a", "c")}, [c, a]),
        ({"states": (TaskState.READY,)}, [a]),
        ({"states": (TaskState.DEAD, TaskState.RUNNING)}, [c, b]),
        ({"kinds": ("y", "z", "nope")}, [c, b]),
        ({"tag": "blue"}, [b, a]),
        ({"tag": "red"}, [a]),
        ({"tag": "green"}, []),
        ({"worker": "w7"}, [c]),
        ({"min_priority": 2}, [c, b]),
        ({"max_priority": 2}, [b, a]),
        ({"min_priority": 2, "max_priority": 2}, [b]),
        ({"created_after_ms": START_MS + 10_000}, [c, b]),
        ({"created_before_ms": START_MS + 10_000}, [a]),
        ({"finished_after_ms": START_MS}, [b]),
        ({"finished_before_ms": START_MS + 20_000}, []),
        ({"finished_before_ms": START_MS + 20_001}, [b]),
        ({"queues": ("a", "b"), "tag": "blue", "min_priority": 2}, [b]),
    ]
    for filters, found in expected:
        assert await listed(core, **filters) == found, filters


async def test_a_cursor_stays_right_while_tasks_come_and_go(core: Core) -> None:
    made = ids_of(await core.queue.enqueue([spec() for _ in range(9)]))[::-1]
    first = await page(core, limit=3)
    assert ids_of(first.tasks) == made[:3]
    # The cursor's own task goes, one behind it as well, and new ones come in front.
    for task_id in (made[2], made[4]):
        await core.queue.delete(task_id)
    await core.queue.enqueue([spec() for _ in range(5)])
    second = await page(core, limit=3, cursor=first.next_cursor)
    assert ids_of(second.tasks) == [made[3], made[5], made[6]]
    third = await page(core, limit=3, cursor=second.next_cursor)
    assert ids_of(third.tasks) == made[7:]
    assert third.next_cursor is None


async def test_a_page_that_is_exactly_full_may_be_followed_by_an_empty_one(core: Core) -> None:
    await core.queue.enqueue([spec() for _ in range(3)])
    first = await page(core, limit=3)
    assert first.next_cursor is not None
    assert await page(core, limit=3, cursor=first.next_cursor) == Page([], None)


async def test_a_page_looks_at_so_many_tasks_and_goes_on_with_the_next(
    core: Core, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing, "SCAN_MAX", 4)
    made = ids_of(
        await core.queue.enqueue([spec(kind="rare" if n in (0, 5) else "often") for n in range(12)])
    )
    first = await page(core, kinds=("rare",))
    assert first.tasks == []
    assert first.next_cursor is not None, "the page is empty and not the last"
    second = await page(core, kinds=("rare",), cursor=first.next_cursor)
    assert await listed(core, kinds=("rare",)) == [made[5], made[0]]
    assert ids_of(second.tasks) == [made[5]]
    assert await listed(core) == made[::-1]


async def test_a_page_ends_short_rather_than_take_any_amount_of_memory(
    core: Core, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing, "PAGE_BYTES_MAX", 1_000)
    made = ids_of(await core.queue.enqueue([spec(payload=b"1" * 400) for _ in range(5)]))[::-1]
    found: list[str] = []
    sizes, cursor = [], None
    while True:
        part = await core.queue.page(Filters(), limit=100, cursor=cursor, bodies=True)
        found += ids_of(part.tasks)
        sizes.append(len(part.tasks))
        cursor = part.next_cursor
        if cursor is None:
            break
    assert found == made
    assert sizes == [3, 2]
    assert len((await page(core)).tasks) == 5, "without bodies they are small"


@pytest.mark.parametrize(
    "cursor",
    [
        "",
        "x",
        "AAAA",
        "AAAAAAAA",
        "________",
        "AAAAAAAA" * 100,
        "AAAAAAB\n",
        "\u00e4",
        "AAAA AAAB",
        "=",
        "AAAAAAA=",
    ],
)
async def test_a_cursor_that_no_page_gave_is_refused(core: Core, cursor: str) -> None:
    with pytest.raises(InvalidCursor) as refused:
        await page(core, cursor=cursor)
    assert refused.value.field == "cursor"


@given(cursor=st.text(max_size=12) | st.from_regex(r"[A-Za-z0-9_=+/-]{7,9}", fullmatch=True))
@settings(max_examples=50)
async def test_any_text_as_a_cursor_is_a_page_or_refused(
    cursor: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    async with open_core(tmp_path_factory.mktemp("cursor") / "tq.db") as core:
        task_id = await core.enqueue()
        try:
            found = await page(core, cursor=cursor)
        except InvalidCursor:
            return
        assert ids_of(found.tasks) in ([], [task_id])
