"""Where the queue is given to the API, and taken away."""

import pytest

from tests.tqnode.nodes import Core
from tqnode.api.service import Service
from tqnode.errors import Draining, Elsewhere, NoLeader


async def test_a_node_that_serves_no_queue_yet_says_that_it_starts(core: Core) -> None:
    service = Service()
    assert service.here is None
    with pytest.raises(Draining, match="starting"):
        _ = service.queue
    assert Service.of(core.queue).queue is core.queue


async def test_each_request_is_told_anew_why_there_is_no_queue(core: Core) -> None:
    service = Service.of(core.queue)
    told = [NoLeader("none"), Elsewhere("b leads", url="http://b:7333")]
    service.close(lambda: told.pop(0))
    assert service.here is None
    with pytest.raises(NoLeader):
        _ = service.queue
    with pytest.raises(Elsewhere):
        _ = service.queue
    service.open(core.queue)
    assert service.queue is service.here is core.queue
