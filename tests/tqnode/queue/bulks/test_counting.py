import pytest

from tests.tqnode.nodes import Core, spec
from tqnode.queue import Filters
from tqnode.queue.bulks import counting
from tqnode.queue.search import Condition
from tqnode.task import TaskState


async def test_a_count_is_exact_as_far_as_it_looks(core: Core) -> None:
    await core.queue.enqueue([spec(queue="a", payload=b'{"n": %d}' % (n % 3)) for n in range(30)])
    await core.queue.enqueue([spec(queue="b", kind="other") for _ in range(5)])
    await core.claim_one("a")
    counted = await core.queue.bulker.count(Filters(payload=(Condition("n", 0),)))
    assert (counted.tasks, counted.states, counted.estimated) == (10, {"ready": 9, "running": 1}, False)
    assert (await core.queue.bulker.count(Filters(kinds=("other",)))).states == {"ready": 5}
    assert (await core.queue.bulker.count(Filters(kinds=("none",)))).states == {}


async def test_queues_and_states_alone_are_counted_without_a_look_at_tasks(
    core: Core, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(counting, "SCAN_MAX", 0)
    await core.queue.enqueue([spec(queue="a") for _ in range(30)])
    await core.claim_one("a")
    counted = await core.queue.bulker.count(Filters(queues=["a"], states=[TaskState.READY], kinds=[]))
    assert (counted.states, counted.estimated) == ({"ready": 29}, False)
    assert (await core.queue.bulker.count(Filters())).tasks == 30
    assert (await core.queue.bulker.count(Filters(queues=["b"], kinds=["k"]))).tasks == 0


async def test_beyond_its_bound_a_count_is_an_estimate_from_all_over_the_queue_and_says_so(
    core: Core, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(counting, "SCAN_MAX", 200)
    monkeypatch.setattr(counting, "SAMPLES", 10)
    for part in range(4):
        kind = "old" if part < 2 else "new"
        await core.queue.enqueue([spec(kind=kind) for _ in range(500)])
    counted = await core.queue.bulker.count(Filters(kinds=("old",)))
    assert counted.estimated
    assert counted.tasks == pytest.approx(1_000, rel=0.1)
    nowhere = await core.queue.bulker.count(Filters(kinds=("none",)))
    assert (nowhere.tasks, nowhere.estimated) == (0, True)


async def test_large_payloads_make_a_count_an_estimate_too(
    core: Core, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(counting, "BYTES_MAX", 1_000)
    await core.queue.enqueue([spec(payload=b'{"n": 1, "pad": "%s"}' % (b"x" * 300)) for _ in range(10)])
    counted = await core.queue.bulker.count(Filters(payload=(Condition("n", 1),)))
    assert (counted.tasks, counted.estimated) == (10, True)
    assert not (await core.queue.bulker.count(Filters(kinds=("mail",)))).estimated
