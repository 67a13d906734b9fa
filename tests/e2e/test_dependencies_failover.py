"""What the end of a task does to those that wait for it while its node dies and another takes over."""

from pathlib import Path

import pytest

import tq
from tests.e2e.three_nodes import three_nodes
from tests.waiting import eventually

pytestmark = pytest.mark.timeout(240)
CHILDREN = 4_000
"""More than the end of their parent frees in its own transaction."""
CHAIN = 2_000
CALL_S = 60.0
WITHIN_S = 90.0


def test_cascades_go_on_at_the_node_that_takes_over(tmp_path: Path) -> None:
    with three_nodes(tmp_path) as cluster, tq.Client(cluster.urls, timeout_s=CALL_S) as client:
        children = [tq.new_task("child", queue="freed", after="#root") for _ in range(CHILDREN)]
        client.enqueue_together([tq.new_task("root", queue="roots", ref="root"), *children])
        first = client.enqueue("link", queue="doomed")
        chain = [tq.new_task("link", queue="doomed", ref="n0", after=first.id)]
        chain += [
            tq.new_task("link", queue="doomed", ref=f"n{n}", after=f"#n{n - 1}") for n in range(1, CHAIN)
        ]
        client.enqueue_together(chain)

        (root,) = client.claim("w", queues=["roots"])
        client.complete(root.id, root.token)
        client.cancel(first.id)
        cluster.kill_leader()

        def counts(queue: str) -> dict[str, int]:
            return client.queue(queue).counts

        eventually(lambda: counts("freed") == {"ready": CHILDREN}, within_s=WITHIN_S, ignoring=(tq.TqError,))
        eventually(
            lambda: counts("doomed") == {"cancelled": CHAIN + 1}, within_s=WITHIN_S, ignoring=(tq.TqError,)
        )
        assert len({task.id for task in client.claim("w", queues=["freed"], max=1_000)}) == 1_000
