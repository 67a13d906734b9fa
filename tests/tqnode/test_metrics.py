import pytest
from prometheus_client import CollectorRegistry, generate_latest

from tests.tqnode.nodes import Core, sample
from tqnode.errors import LeaseLost
from tqnode.metrics import Metrics
from tqnode.task import Complete


def test_two_nodes_in_one_process_count_apart() -> None:
    one, other = Metrics(), Metrics()
    one.fenced.inc()
    assert sample(one, "tq_fenced_requests_total") == 1
    assert sample(other, "tq_fenced_requests_total") == 0


def test_a_registry_handed_in_carries_the_metrics() -> None:
    registry = CollectorRegistry()
    Metrics(registry).operations.labels("enqueued").inc(3)
    assert b'tq_operations_total{operation="enqueued"} 3.0' in generate_latest(registry)


async def test_tasks_are_counted_by_what_was_done_with_them(core: Core) -> None:
    task = await core.running()
    await core.enqueue(run_at_ms=core.clock.now_ms() + 1000)
    await core.complete(task)
    await core.queue.delete(task.id)
    done = {
        operation: sample(core.metrics, "tq_operations_total", operation=operation)
        for operation in ("enqueued", "claimed", "succeeded", "deleted")
    }
    assert done == {"enqueued": 2, "claimed": 1, "succeeded": 1, "deleted": 1}
    assert (await core.queue.stats()).since_start == done


async def test_a_refused_finish_and_an_expired_lease_are_counted(core: Core) -> None:
    task = await core.running(lease_ms=1000)
    await core.sweep_after(2)
    with pytest.raises(LeaseLost):
        await core.finish(Complete(id=task.id, token=task.token))
    assert sample(core.metrics, "tq_leases_expired_total") == 1
    assert sample(core.metrics, "tq_fenced_requests_total") == 1


async def test_every_commit_is_timed_with_the_size_of_its_group(core: Core) -> None:
    await core.enqueue()
    assert sample(core.metrics, "tq_fsync_duration_seconds_count") == 1
    assert sample(core.metrics, "tq_group_operations_sum") == 1
