"""A queue whose tasks gain priority as they wait, on a real node."""

from pathlib import Path

import tq
from tests.e2e.processes import running_node
from tests.waiting import eventually


def test_task_that_has_waited_goes_before_a_more_urgent_newcomer_also_after_a_kill(tmp_path: Path) -> None:
    with running_node(tmp_path) as node, tq.Client(node.url) as client:
        client.set_queue("mail", age_per_minute=255)
        waited = client.enqueue("k", queue="mail", priority=100)
        node.kill()
        node.restart()

        def grown() -> bool:
            (ageing,) = [one for one in client.explain(waited.id).reasons if one.code == "ageing"]
            return bool(ageing.facts["effective_priority"] > 105)

        eventually(grown)
        urgent = client.enqueue("k", queue="mail", priority=105)
        assert [client.claim("w", queues=["mail"])[0].id for _ in range(2)] == [waited.id, urgent.id]
