import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.tqnode.nodes import Core, ids_of, open_core, spec
from tqnode.queue import Filters, listing
from tqnode.queue.search import Condition, is_path
from tqnode.task import Fail

keys = st.sampled_from(["a", "b", "user_id", "ä", "a b", "0", "$", "*", "'", "x-y"])
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.sampled_from([0, 1, -1, 42, 2**53, 2**53 + 1, 2**63 - 1, -(2**63)]),
    st.sampled_from([0.0, -0.0, 1.0, 0.1, 42.0, 1e300, float(2**53)]),
    st.sampled_from(["", "1", "true", "null", "ä", 'a"b', "\\", "a.b", "\u2028", "\n"]),
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3),
    max_leaves=8,
)
steps = st.lists(keys | st.integers(0, 2), min_size=1, max_size=3)


def path_of(walk: list[str | int]) -> str:
    text = ""
    for step in walk:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else step
    return text


ABSENT = object()


def found_at(value: Any, walk: list[str | int]) -> Any:
    for step in walk:
        if isinstance(step, int):
            value = value[step] if isinstance(value, list) and step < len(value) else ABSENT
        else:
            value = value.get(step, ABSENT) if isinstance(value, dict) else ABSENT
    return value


def equal(one: Any, other: Any) -> bool:
    """Equal as the words of a condition say."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, int | float) and isinstance(other, int | float):
        return one == other
    return type(one) is type(other) and one == other


async def listed(core: Core, **filters: Any) -> list[str]:
    page = await core.queue.page(Filters(**filters), limit=1_000, cursor=None, bodies=False)
    assert page.next_cursor is None
    return ids_of(page.tasks)[::-1]


@pytest.mark.parametrize("field", ["payload", "meta"])
@given(stored=st.lists(values, min_size=1, max_size=8), walk=steps, wanted=scalars)
@settings(max_examples=60, deadline=None)
async def test_a_condition_finds_what_stands_at_its_path_and_nothing_else(
    field: str,
    stored: list[Any],
    walk: list[str | int],
    wanted: Any,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    async with open_core(tmp_path_factory.mktemp("search") / "tq.db") as core:
        made = await core.queue.enqueue([spec(**{field: json.dumps(value).encode()}) for value in stored])
        found = await listed(core, **{field: (Condition(path_of(walk), wanted),)})
        expected = [value for value in stored if equal(found_at(value, walk), wanted)]
        which = [one.id for one, value in zip(made, stored, strict=True) if value in expected]
        assert set(found) <= set(which)
        assert len(found) == len(expected)


async def test_numbers_are_equal_by_value_and_texts_are_no_numbers(core: Core) -> None:
    payloads = [b'{"n": 42}', b'{"n": 42.0}', b'{"n": 4.2e1}', b'{"n": "42"}', b'{"n": [42]}', b"{}", b"null"]
    made = ids_of(await core.queue.enqueue([spec(payload=payload) for payload in payloads]))
    assert await listed(core, payload=(Condition("n", 42),)) == made[:3]
    assert await listed(core, payload=(Condition("n", 42.0),)) == made[:3]
    assert await listed(core, payload=(Condition("n", "42"),)) == [made[3]]
    assert await listed(core, payload=(Condition("n[0]", 42),)) == [made[4]]
    assert await listed(core, payload=(Condition("n", None),)) == [], "what is absent is not null"
    assert await listed(core, payload=(Condition("n", True),)) == []


async def test_all_conditions_have_to_hold(core: Core) -> None:
    a = await core.enqueue(payload=b'{"user": {"id": 1}, "x": true}', meta=b'{"t": "a"}')
    await core.enqueue(payload=b'{"user": {"id": 1}, "x": false}', meta=b'{"t": "a"}')
    await core.enqueue(payload=b'{"user": {"id": 1}, "x": true}', meta=b'{"t": "b"}')
    await core.enqueue(payload=b'{"user": {"id": 1}, "x": true}')
    both = (Condition("user.id", 1), Condition("x", True))
    assert await listed(core, payload=both, meta=(Condition("t", "a"),)) == [a]


async def test_the_error_that_counts_is_the_last_one(core: Core) -> None:
    task = await core.running()
    await core.finish(Fail(id=task.id, token=task.token, type="TimeoutError"))
    assert await listed(core, error_type="TimeoutError") == [task.id]
    assert await listed(core, error_type="Timeout") == []
    await core.sweep_after(60)
    again = await core.claim_one()
    await core.finish(Fail(id=again.id, token=again.token, type="ValueError"))
    assert await listed(core, error_type="TimeoutError") == []
    assert await listed(core, error_type="ValueError") == [task.id]


async def test_text_is_looked_for_in_kinds_and_tags_whatever_its_case(core: Core) -> None:
    a = await core.enqueue(kind="image.Resize")
    b = await core.enqueue(kind="mail", tags=("red", "Big-Image"))
    await core.enqueue(kind="mail", tags=("red",))
    assert await listed(core, text="image") == [a, b]
    assert await listed(core, text="RESIZE") == [a]
    assert await listed(core, text="%") == []


async def test_a_page_reads_so_many_bytes_of_payloads_and_goes_on_behind_them(
    core: Core, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing, "SCAN_BYTES_MAX", 1_000)
    large = json.dumps({"pad": "x" * 600}).encode()
    found = await core.enqueue(payload=b'{"n": 1}')
    await core.queue.enqueue([spec(payload=large) for _ in range(5)])
    cursor, pages, all_found = None, 0, []
    while True:
        page = await core.queue.page(
            Filters(payload=(Condition("n", 1),)), limit=10, cursor=cursor, bodies=False
        )
        pages += 1
        all_found += ids_of(page.tasks)
        cursor = page.next_cursor
        if cursor is None:
            break
    assert all_found == [found]
    assert pages == 3, "two large payloads are looked at at a time"
    assert len(await listed(core)) == 6, "a filter that reads none of them is not cut short"


@pytest.mark.parametrize("path", ["a", "a.b", "a[0]", "[0].a", "[1][2]", "a b.ä", "a[0][1].c", "*", "$"])
def test_paths_are_keys_with_dots_and_places_in_brackets(path: str) -> None:
    assert is_path(path)


@pytest.mark.parametrize(
    "path", ["", ".", "a.", ".a", "a..b", "a[", "a[x]", "a[-1]", 'a"b', "a\\b", "a]", "a\n"]
)
def test_what_is_no_path_is_known(path: str) -> None:
    assert not is_path(path)
