"""The node's state as Prometheus gauges, taken from one reading of the database."""

from collections.abc import Iterable, Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily, Metric

from tqnode.queue import Queue, QueueInfo, Stats

QUEUES_LABELLED_MAX = 200
"""Queues with a label of their own; clients choose their names, so there must be an end to them."""
OTHER = "other"


class Scrape:
    """What one scrape gets: all that is registered, and the gauges.

    Args:
        registry: the node's collectors.
        gauges: from :func:`gauges_of`.
    """

    def __init__(self, registry: CollectorRegistry, gauges: Iterable[Metric]) -> None:
        self._registry = registry
        self._gauges = gauges

    def collect(self) -> Iterator[Metric]:
        """Every metric once."""
        yield from self._registry.collect()
        yield from self._gauges


def gauges_of(stats: Stats, queue: Queue) -> Iterator[Metric]:
    """The gauges of one reading.

    Args:
        stats: the database's figures.
        queue: whose waiting claims and followers are counted.
    """
    yield from _queue_gauges(stats.queues)
    workers = GaugeMetricFamily("tq_workers", "Registered workers.", labels=["state"])
    for state, count in stats.workers.items():
        workers.add_metric([state], count)
    yield workers
    schedules = GaugeMetricFamily("tq_schedules", "Schedules by state.", labels=["state"])
    for state, count in stats.schedules.items():
        schedules.add_metric([state], count)
    yield schedules
    size = GaugeMetricFamily("tq_database_bytes", "Size of the database file.", labels=["part"])
    for part, count in stats.database.items():
        size.add_metric([part], count)
    yield size
    yield GaugeMetricFamily("tq_waiting_claims", "Claims that wait for a task.", value=len(queue.waiting))
    yield GaugeMetricFamily(
        "tq_waiting_reads",
        "Clients that wait for the end of a task or batch, or for log lines.",
        value=len(queue.onlookers),
    )
    yield GaugeMetricFamily(
        "tq_event_followers", "Clients that follow the events.", value=queue.hub.followers
    )


def _queue_gauges(infos: list[QueueInfo]) -> Iterator[Metric]:
    largest = sorted(infos, key=lambda info: (-sum(info.counts.values()), info.queue))
    labels = {info.queue: info.queue for info in largest[:QUEUES_LABELLED_MAX]}
    counts: dict[tuple[str, str], int] = {}
    ages_s: dict[str, float] = {}
    paused: dict[str, int] = {}
    for info in infos:
        label = labels.get(info.queue, OTHER)
        for state, count in info.counts.items():
            counts[label, state] = counts.get((label, state), 0) + count
        ages_s[label] = max(ages_s.get(label, 0.0), (info.oldest_ready_age_ms or 0) / 1000)
        paused[label] = paused.get(label, 0) + info.paused
    tasks = GaugeMetricFamily("tq_tasks", "Tasks by queue and state.", labels=["queue", "state"])
    for (label, state), count in counts.items():
        tasks.add_metric([label, state], count)
    yield tasks
    ages = GaugeMetricFamily(
        "tq_queue_oldest_age_seconds", "How long the oldest ready task has been ready.", labels=["queue"]
    )
    for label, age_s in ages_s.items():
        ages.add_metric([label], age_s)
    yield ages
    pauses = GaugeMetricFamily("tq_queue_paused", "Whether the queue is paused.", labels=["queue"])
    for label, count in paused.items():
        pauses.add_metric([label], count)
    yield pauses
