"""What the node counts of itself: one registry, handed to whoever counts."""

from prometheus_client import CollectorRegistry, Counter, Histogram

_SECONDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)


class Metrics:
    """The collectors of the storage and of the operations.

    Args:
        registry: where they are registered; a fresh one when absent.
    """

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = registry or CollectorRegistry()
        self.fsync_seconds = Histogram(
            "tq_fsync_duration_seconds",
            "Time of one COMMIT: the write-ahead log written and fsynced.",
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.group_size = Histogram(
            "tq_group_operations",
            "Operations that shared one transaction.",
            buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024),
            registry=self.registry,
        )
        self.operations = Counter(
            "tq_operations_total",
            "Tasks by what was done with them.",
            ["operation"],
            registry=self.registry,
        )
        self.fenced = Counter(
            "tq_fenced_requests_total",
            "Finishes and heartbeats refused because their token was not the current one.",
            registry=self.registry,
        )
        self.leases_expired = Counter(
            "tq_leases_expired_total",
            "Leases that ran out because their worker fell silent.",
            registry=self.registry,
        )
