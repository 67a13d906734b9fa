"""The SDK, the command and the worker against three real nodes whose leader is killed or hands over."""

import asyncio
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import tq
from tests.e2e.command_process import Tq
from tests.e2e.three_nodes import ThreeNodes, three_nodes
from tests.e2e.worker_bench import FINAL
from tests.e2e.worker_process import APP, WorkerProcess
from tests.waiting import eventually, eventually_async
from tq.wire import Task

pytestmark = pytest.mark.timeout(240)
CALL_S = 60.0
BEFORE = 40
AFTER = 60
WITHIN_S = 90.0


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ThreeNodes]:
    with three_nodes(tmp_path_factory.mktemp("cluster")) as cluster:
        yield cluster


@pytest.fixture
def cluster(nodes: ThreeNodes) -> ThreeNodes:
    """The cluster with all its nodes, whatever the test before did to them."""
    nodes.make_whole()
    return nodes


@pytest.fixture
def client(cluster: ThreeNodes) -> Iterator[tq.Client]:
    with tq.Client(cluster.urls, timeout_s=CALL_S) as made:
        yield made


@pytest.fixture
def queue(request: pytest.FixtureRequest) -> str:
    return str(request.node.name)[:150].replace("[", "-").replace("]", "")


class Enqueuer:
    """Enqueues numbers one after another from a thread of its own, until it is stopped."""

    def __init__(self, client: tq.Client, queue: str) -> None:
        self.ids: list[str] = []
        self.failure: Exception | None = None
        self._client = client
        self._queue = queue
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def reaches(self, count: int) -> None:
        """Waits until so many were acknowledged."""

        def reached() -> bool:
            if self.failure is not None:
                raise self.failure
            return len(self.ids) >= count

        eventually(reached, within_s=WITHIN_S)

    def stop(self) -> list[str]:
        """Ends it; returns the ids that were acknowledged, in order."""
        self._stopping.set()
        self._thread.join(CALL_S + 10)
        assert not self._thread.is_alive()
        if self.failure is not None:
            raise self.failure
        return self.ids

    def _work(self) -> None:
        try:
            while not self._stopping.is_set():
                self.ids.append(self._client.enqueue("k", len(self.ids), queue=self._queue).id)
        except Exception as error:  # the test's own thread raises it
            self.failure = error


def kill(cluster: ThreeNodes) -> None:
    cluster.kill_leader()


def pause_beyond_the_lease(cluster: ThreeNodes) -> None:
    """Stops the leader until another one leads, and then lets it go on, with no idea of the time."""
    node = cluster.nodes[cluster.leader()]
    others = [other.url for other in cluster.nodes.values() if other is not node]
    node.signal(signal.SIGSTOP)
    try:
        with tq.Client(others, timeout_s=CALL_S) as client:
            client.queues()
    finally:
        node.signal(signal.SIGCONT)


def stop(cluster: ThreeNodes) -> None:
    assert cluster.nodes[cluster.leader()].stop() == 0


def hand_over(cluster: ThreeNodes) -> None:
    before = cluster.leader()
    done = Tq(",".join(cluster.urls))("cluster", "handover")
    assert " leads in term " in done.out
    assert cluster.leader() != before


HARMS = [kill, stop, hand_over, pause_beyond_the_lease]


@pytest.mark.parametrize("harm", HARMS)
def test_enqueues_go_on_and_none_is_lost_or_made_twice(
    cluster: ThreeNodes, client: tq.Client, queue: str, harm: Callable[[ThreeNodes], None]
) -> None:
    enqueuer = Enqueuer(client, queue)
    enqueuer.reaches(BEFORE)
    harm(cluster)
    enqueuer.reaches(len(enqueuer.ids) + AFTER)
    acknowledged = enqueuer.stop()
    stored = {row.id: tq.value(row.payload) for row in client.list(queue=queue, payload=True)}
    assert stored == {task_id: number for number, task_id in enumerate(acknowledged)}


async def test_async_client_goes_on_when_the_leader_is_killed(cluster: ThreeNodes, queue: str) -> None:
    async with tq.AsyncClient(cluster.urls, timeout_s=CALL_S) as client:
        sent: list[str] = []

        async def enqueue(start: int) -> None:
            for number in range(start, start + 200, 10):
                batch = [tq.new_task("k", one, queue=queue) for one in range(number, number + 10)]
                sent.extend(row.id or "" for row in await client.enqueue_many(batch))

        writers = [asyncio.create_task(enqueue(start)) for start in (0, 1000, 2000)]
        await eventually_async(lambda: len(sent) >= 60, within_s=WITHIN_S)
        await asyncio.to_thread(cluster.kill_leader)
        await asyncio.gather(*writers)
        stored = [row.id async for row in client.list(queue=queue)]
    assert sorted(stored) == sorted(sent)
    assert len(stored) == 600


@pytest.mark.parametrize("harm", [kill, hand_over])
def test_a_wait_for_a_result_goes_on_at_the_new_leader_which_has_the_log(
    cluster: ThreeNodes, client: tq.Client, queue: str, harm: Callable[[ThreeNodes], None]
) -> None:
    task = client.enqueue("k", queue=queue)
    (held,) = client.claim("w", queues=[queue], lease_s=300)
    client.append_lines(task.id, held.token, ["one", "two"], first=0)
    got: list[object] = []

    def wait() -> None:
        with tq.Client(cluster.urls, timeout_s=CALL_S) as own:
            got.extend(line.text for line in own.log(task.id, follow=True))
            got.append(own.result(task.id, timeout_s=WITHIN_S))

    waiting = threading.Thread(target=wait)
    waiting.start()
    eventually(lambda: len(got) == 2, within_s=WITHIN_S)
    harm(cluster)
    client.append_lines(task.id, held.token, ["two", "three"], first=1)
    client.complete(task.id, held.token, result={"n": 7})
    waiting.join(WITHIN_S)
    assert got == ["one", "two", "three", {"n": 7}]


def test_client_that_knows_a_standby_alone_follows_it_to_the_leader(cluster: ThreeNodes, queue: str) -> None:
    leader = cluster.leader()
    standby = next(node for name, node in cluster.nodes.items() if name != leader)
    with tq.Client(standby.url, timeout_s=CALL_S) as client:
        task = client.enqueue("k", queue=queue, idempotency_key=queue)
        assert client.url == cluster.nodes[leader].url
        assert client.urls == [standby.url]
        assert client.enqueue("k", queue=queue, idempotency_key=queue).id == task.id


def test_claim_is_made_where_the_leader_is_and_its_token_survives_a_failover(
    cluster: ThreeNodes, client: tq.Client, queue: str
) -> None:
    client.enqueue("k", queue=queue)
    (task,) = client.claim("tester", queues=[queue], wait_s=5.0)
    cluster.kill_leader()
    assert client.heartbeat(task.id, task.token).lease_expires_at > task.lease_expires_at
    client.complete(task.id, task.token, result={"done": True})
    cluster.make_whole()
    done = client.get(task.id)
    assert (done.state, done.attempt, tq.value(done.result)) == ("succeeded", 1, {"done": True})


def test_events_go_on_at_the_new_leader(cluster: ThreeNodes, client: tq.Client, queue: str) -> None:
    seen: set[str] = set()
    enqueued: set[str] = set()
    done = threading.Event()

    def follow() -> None:
        with tq.Client(cluster.urls, timeout_s=CALL_S) as follower:
            for event in follower.events(queue=queue):
                if done.is_set():
                    return
                if event.task is not None:
                    seen.add(event.task.id)

    def one_is_seen() -> bool:
        enqueued.add(client.enqueue("k", queue=queue).id)
        return bool(seen & enqueued)

    def it_has_ended() -> bool:
        client.enqueue("k", queue=queue)
        return not thread.is_alive()

    thread = threading.Thread(target=follow, daemon=True)
    thread.start()
    eventually(one_is_seen, within_s=WITHIN_S)
    cluster.kill_leader()
    enqueued.clear()
    eventually(one_is_seen, within_s=WITHIN_S)
    done.set()
    eventually(it_has_ended, within_s=WITHIN_S)


class Working:
    """A worker that knows all nodes, and what became of its tasks."""

    def __init__(self, cluster: ThreeNodes, client: tq.Client, queue: str, folder: Path) -> None:
        self.client = client
        self.queue = queue
        self.folder = folder
        self.process = WorkerProcess(
            folder, ",".join(cluster.urls), "--app", APP, "-q", queue, "-c", "2", "--name", queue
        )

    def enqueue(self, kind: str, *args: object, **options: float) -> str:
        payload = {"args": args, "kwargs": {}}
        return self.client.enqueue(kind, payload, queue=self.queue, **options).id  # type: ignore[arg-type]  # the options of one test or another

    def ended(self, task_id: str) -> Task:
        def final() -> Task | None:
            task = self.client.get(task_id)
            return task if task.state in FINAL else None

        found = eventually(final, within_s=WITHIN_S)
        assert found is not None
        return found


@pytest.fixture
def working(cluster: ThreeNodes, client: tq.Client, queue: str, tmp_path: Path) -> Iterator[Working]:
    made = Working(cluster, client, queue, tmp_path)
    try:
        yield made
    except BaseException:
        print(made.process.log)
        raise
    finally:
        made.process.end()


@pytest.mark.parametrize("harm", HARMS)
def test_worker_keeps_what_it_runs_and_claims_on_at_the_new_leader(
    cluster: ThreeNodes, working: Working, harm: Callable[[ThreeNodes], None]
) -> None:
    (registered,) = [worker for worker in working.client.workers() if worker.name == working.queue]
    running = working.enqueue("until_released", "r", lease_s=5.0)
    eventually((working.folder / "r.begun").exists, within_s=WITHIN_S)
    harm(cluster)
    lease = working.client.get(running).lease_expires_at or ""
    eventually(lambda: (working.client.get(running).lease_expires_at or "") > lease, within_s=WITHIN_S)
    (working.folder / "r.go").touch()
    task = working.ended(running)
    assert (task.state, task.attempt, task.crashes, tq.value(task.result)) == ("succeeded", 1, 0, "r")
    sums = [working.enqueue("add", number, number) for number in range(20)]
    assert [tq.value(working.ended(task_id).result) for task_id in sums] == [2 * n for n in range(20)]
    assert registered.id in [worker.id for worker in working.client.workers()]
    assert "the outcome is dropped" not in working.process.log
