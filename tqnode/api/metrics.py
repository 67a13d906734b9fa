"""Counts of the HTTP side, kept in plain numbers and put into Prometheus' form only when asked for."""

from bisect import bisect_left
from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0)

_HTTP_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"})


class RouteCounts:
    """What happened on one route; only ever touched on the event loop."""

    __slots__ = ("buckets", "requests", "seconds")

    def __init__(self) -> None:
        self.requests: dict[tuple[str, int], int] = {}
        """By method and status."""
        self.buckets = [0] * (len(BUCKETS_S) + 1)
        self.seconds = 0.0

    def add(self, method: str, status: int, seconds: float) -> None:
        """Counts one answered request."""
        key = (method, status)
        try:
            self.requests[key] += 1
        except KeyError:
            # Clients choose the method: only known ones get a label of their own.
            key = (method if method in _HTTP_METHODS else "other", status)
            self.requests[key] = self.requests.get(key, 0) + 1
        self.buckets[bisect_left(BUCKETS_S, seconds)] += 1
        self.seconds += seconds


class HttpMetrics(Collector):
    """The collector of all routes."""

    def __init__(self) -> None:
        self._routes: dict[str, RouteCounts] = {}

    def route(self, name: str) -> RouteCounts:
        """The counts of the route of that path template, made when first asked for."""
        return self._routes.setdefault(name, RouteCounts())

    def describe(self) -> Iterator[Metric]:
        """The names alone, so that registering does not collect."""
        yield CounterMetricFamily("tq_http_requests", "")
        yield HistogramMetricFamily("tq_http_request_duration_seconds", "")

    def collect(self) -> Iterator[Metric]:
        """All counts, in Prometheus' form."""
        requests = CounterMetricFamily(
            "tq_http_requests", "Answered requests.", labels=["route", "method", "status"]
        )
        durations = HistogramMetricFamily(
            "tq_http_request_duration_seconds",
            "Time from a request's head to its answer, waits of claims included.",
            labels=["route"],
        )
        for name, counts in self._routes.items():
            for (method, status), count in counts.requests.items():
                requests.add_metric([name, method, str(status)], count)
            if counts.requests:
                durations.add_metric([name], _cumulative(counts.buckets), counts.seconds)
        yield requests
        yield durations


def _cumulative(buckets: list[int]) -> list[tuple[str, float]]:
    total = 0
    rows: list[tuple[str, float]] = []
    for bound, count in zip([*map(str, BUCKETS_S), "+Inf"], buckets, strict=True):
        total += count
        rows.append((bound, total))
    return rows
