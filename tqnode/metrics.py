"""What the node counts of itself: one registry, handed to whoever counts."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

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
        self.schedule_fires = Counter(
            "tq_schedule_fires_total", "Ticks of schedules that made a task.", registry=self.registry
        )
        self.schedule_skips = Counter(
            "tq_schedule_skips_total",
            "Times that ticks of a schedule were left out, by reason.",
            ["reason"],
            registry=self.registry,
        )
        self.webhook_deliveries = Counter(
            "tq_webhook_deliveries_total",
            "Attempts to deliver a webhook, by what came of it.",
            ["outcome"],
            registry=self.registry,
        )


class ClusterMetrics:
    """The collectors of a cluster's node.

    Args:
        registry: where they are registered.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self.quorum_ack_seconds = Histogram(
            "tq_quorum_ack_duration_seconds",
            "Time from a commit on this node's disk until a majority had it.",
            buckets=_SECONDS,
            registry=registry,
        )
        self.leader_changes = Counter(
            "tq_leader_changes_total",
            "Times that another node, or this one, began to lead.",
            registry=registry,
        )
        self.has_leader = Gauge("tq_has_leader", "Whether this node knows one that leads.", registry=registry)
        self.leads = Gauge("tq_leads", "Whether this node leads.", registry=registry)
        self.row_term = Gauge(
            "tq_cluster_term", "The highest term this node has taken part in.", registry=registry
        )
        self.lag = Gauge(
            "tq_replication_lag_seq",
            "Entries that the leader has and a peer has not stored; only on the leader.",
            ["peer"],
            registry=registry,
        )
        self.connected = Gauge(
            "tq_peer_connected",
            "Whether this node's connection to a peer stands.",
            ["peer"],
            registry=registry,
        )
        self.refusals = Gauge(
            "tq_peer_refusals",
            "Connections of peers that were refused, by reason.",
            ["reason"],
            registry=registry,
        )


class LitestreamMetrics:
    """The collectors of the log and the archive; they are there only where Litestream runs.

    Args:
        registry: where they are registered.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self.up = Gauge("tq_litestream_up", "Whether Litestream runs and answers.", registry=registry)
        self.restarts = Counter(
            "tq_litestream_restarts_total",
            "Times that Litestream had to be started again.",
            registry=registry,
        )
        self.sync_seconds = Histogram(
            "tq_litestream_sync_duration_seconds",
            "Time of one sync: to files on this disk, or to the archive.",
            ["reached"],
            buckets=_SECONDS,
            registry=registry,
        )
        self.term = Gauge("tq_term", "The term whose log is being written.", registry=registry)
        self.txid = Gauge("tq_log_txid", "The last transaction of the log.", registry=registry)
        self.archived_txid = Gauge(
            "tq_archive_txid", "The last transaction that the archive has.", registry=registry
        )
        self.archive_age = Gauge(
            "tq_archive_age_seconds", "Time since the archive had everything.", registry=registry
        )
        self.unknown = Counter(
            "tq_unknown_outcomes_total", "Writes answered as of unknown outcome.", registry=registry
        )
        self.verified_age = Gauge(
            "tq_backup_verified_age_seconds",
            "Time since a restore was found to agree with the queue; -1 if none was yet.",
            registry=registry,
        )
        self.verified_ok = Gauge(
            "tq_backup_verified_ok", "Whether the last restore agreed with the queue.", registry=registry
        )
        self.verify_seconds = Gauge(
            "tq_backup_verify_duration_seconds", "How long the last such restore took.", registry=registry
        )
