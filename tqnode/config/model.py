"""Every configuration key of the node, declared once."""
# ruff: noqa: RUF009  # setting() makes dataclass fields; it shares no state between instances

import os
import re
from dataclasses import dataclass
from pathlib import Path

from tqnode.config.address import split_address, wrong_address, wrong_name
from tqnode.config.archive import wrong_archive
from tqnode.config.outbound import wrong_allowance, wrong_ports
from tqnode.config.peers import peer_contradictions, split_peers, wrong_peers, wrong_url
from tqnode.config.setting import setting

KIB = 1024
MIB = 1024 * KIB
DAY_S = 86_400
TEN_YEARS_S = 315_360_000


def _host_name() -> str:
    return re.sub(r"[^A-Za-z0-9_.-]", "-", os.uname().nodename).lstrip(".-")[:64] or "node"


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """The configuration of one node, complete and checked. Built by ``tqnode.config.load``."""

    data_dir: Path = setting(Path("/var/lib/tqnode"), "Folder of the node's files; made if it is not there.")
    listen: str = setting(
        "127.0.0.1:7333", "Address of the HTTP API; port 0 lets the system choose.", shape=wrong_address
    )
    name: str = setting(_host_name, "Name of this node, by default the host's.", shape=wrong_name)
    log_level: str = setting(
        "info", "Least severity that is logged.", choices=("debug", "info", "warning", "error")
    )
    log_format: str = setting(
        "text", "Log lines for people or one JSON object a line.", choices=("text", "json")
    )

    body_bytes_max: int = setting(32 * MIB, "Largest request body.", unit="bytes", low=KIB, high=1024 * MIB)
    json_depth_max: int = setting(100, "Deepest nesting of a request's JSON.", unit="levels", low=8, high=500)
    batch_max: int = setting(
        10_000, "Most tasks of one enqueue and outcomes of one request.", unit="items", low=1, high=100_000
    )
    page_max: int = setting(1000, "Most tasks of one page of a list.", unit="tasks", low=1, high=10_000)
    name_chars_max: int = setting(
        200, "Longest kind, queue, tag, key or label.", unit="characters", low=8, high=1000
    )
    payload_bytes_max: int = setting(
        MIB, "Largest payload of one task.", unit="bytes", low=KIB, high=256 * MIB
    )
    result_bytes_max: int = setting(MIB, "Largest result of one task.", unit="bytes", low=KIB, high=256 * MIB)
    progress_bytes_max: int = setting(
        16 * KIB, "Largest progress report of one task.", unit="bytes", low=64, high=MIB
    )
    meta_bytes_max: int = setting(
        16 * KIB, "Largest meta object of one task.", unit="bytes", low=64, high=MIB
    )
    tags_max: int = setting(20, "Most tags of one task.", unit="tags", low=0, high=50)
    parents_max: int = setting(1000, "Most tasks that one task waits for.", unit="tasks", low=0, high=10_000)
    errors_max: int = setting(
        10, "Errors kept of one task; older ones are dropped.", unit="errors", low=1, high=100
    )
    error_type_chars_max: int = setting(
        100, "Length at which an error's type is cut.", unit="characters", low=10, high=1000
    )
    error_message_chars_max: int = setting(
        2000, "Length at which an error's message is cut.", unit="characters", low=10, high=100_000
    )
    error_trace_chars_max: int = setting(
        20_000, "Length at which an error's trace is cut.", unit="characters", low=10, high=1_000_000
    )
    attempted_by_max: int = setting(
        10, "Names of past workers kept of one task.", unit="workers", low=1, high=100
    )
    log_lines_max: int = setting(
        1000, "Log lines kept of one task; older ones are dropped.", unit="lines", low=1, high=100_000
    )
    log_line_bytes_max: int = setting(
        4 * KIB, "Length at which a log line is cut.", unit="bytes", low=64, high=MIB
    )
    queues_max: int = setting(10_000, "Most queues there may be.", unit="queues", low=1, high=1_000_000)
    queue_depth_max: int = setting(
        10_000_000, "Most waiting tasks of one queue.", unit="tasks", low=1, high=1_000_000_000
    )
    depth_max: int = setting(
        0,
        "Most waiting tasks of all queues together; 0 for no limit.",
        unit="tasks",
        low=0,
        high=1_000_000_000,
    )
    bytes_max: int = setting(
        0,
        "Most bytes of payload and meta in the waiting and running tasks of all queues; 0 for no limit.",
        unit="bytes",
        low=0,
        high=1024 * 1024 * MIB,
    )
    claim_max: int = setting(1000, "Most tasks of one claim.", unit="tasks", low=1, high=1000)
    claim_wait_s_max: float = setting(60.0, "Longest wait of one claim.", unit="seconds", low=0, high=60)
    waiting_claims_max: int = setting(
        20_000, "Most claims that wait at a time.", unit="claims", low=1, high=1_000_000
    )
    read_wait_s_max: float = setting(
        60.0,
        "Longest wait for the end of a task or batch, or for log lines.",
        unit="seconds",
        low=0,
        high=600,
    )
    waiting_reads_max: int = setting(
        20_000,
        "Most clients that wait for the end of a task or batch, or for log lines.",
        unit="clients",
        low=1,
        high=1_000_000,
    )
    writer_backlog_max: int = setting(
        20_000, "Most writes that wait for the disk at a time.", unit="writes", low=1, high=1_000_000
    )
    connections_max: int = setting(
        20_000, "Most open client connections.", unit="connections", low=8, high=1_000_000
    )
    event_streams_max: int = setting(
        1000, "Most clients that follow the events at a time.", unit="clients", low=1, high=100_000
    )
    events_kept: int = setting(
        10_000, "Past events kept for clients that reconnect.", unit="events", low=1, high=1_000_000
    )
    request_read_s: float = setting(
        30.0, "Time in which a request's head and body must arrive.", unit="seconds", low=0.1, high=3600
    )

    lease_s: float = setting(
        30.0, "Lease of a task that does not say its own.", unit="seconds", low=0.1, high=TEN_YEARS_S
    )
    lease_s_max: float = setting(float(DAY_S), "Longest lease.", unit="seconds", low=0.1, high=TEN_YEARS_S)
    delay_s_max: float = setting(
        float(TEN_YEARS_S), "Longest delay of a task.", unit="seconds", low=0, high=TEN_YEARS_S
    )
    max_attempts: int = setting(
        10, "Attempts of a task that does not say its own.", unit="attempts", low=1, high=1000
    )
    crashes_max: int = setting(
        3, "Leases in a row that run out before a task is dead.", unit="leases", low=1, high=1000
    )

    workers_max: int = setting(
        10_000, "Most workers registered at a time.", unit="workers", low=1, high=1_000_000
    )
    bulks_max: int = setting(
        100, "Most bulk operations under way at a time.", unit="operations", low=0, high=10_000
    )
    bulks_kept: int = setting(
        1000, "Most bulk operations kept that have ended.", unit="operations", low=1, high=100_000
    )
    schedules_max: int = setting(1000, "Most schedules there may be.", unit="schedules", low=0, high=100_000)
    limits_max: int = setting(1000, "Most limits on claims there may be.", unit="limits", low=0, high=10_000)
    worker_heartbeat_s: float = setting(
        10.0, "How often workers are told to report.", unit="seconds", low=0.1, high=3600
    )
    worker_silent_s: float = setting(
        60.0, "Silence after which a worker is dropped from the list.", unit="seconds", low=0.2, high=DAY_S
    )

    keep_succeeded_s: int = setting(
        DAY_S, "How long succeeded tasks are kept; -1 for ever.", unit="seconds", low=-1, high=TEN_YEARS_S
    )
    keep_cancelled_s: int = setting(
        DAY_S, "How long cancelled tasks are kept; -1 for ever.", unit="seconds", low=-1, high=TEN_YEARS_S
    )
    keep_dead_s: int = setting(
        7 * DAY_S, "How long dead tasks are kept; -1 for ever.", unit="seconds", low=-1, high=TEN_YEARS_S
    )
    keep_batches_s: int = setting(
        7 * DAY_S,
        "How long a batch is kept after its last change, once no member is to come to an end; -1 for ever.",
        unit="seconds",
        low=-1,
        high=TEN_YEARS_S,
    )
    idempotency_s: int = setting(
        3600, "How long an Idempotency-Key is remembered.", unit="seconds", low=1, high=30 * DAY_S
    )

    litestream: str = setting(
        "auto",
        "The program that writes the log and the archive: a path; auto finds it; off runs without both.",
    )
    archive: str = setting(
        "",
        "Where the archive is: file://, s3://, gs://, abs://, sftp://, webdav:// or oss://; "
        "empty for the folder archive in data_dir.",
        shape=wrong_archive,
    )
    archive_credentials_file: str = setting(
        "", "TOML file of what opens the archive, such as access-key-id; empty for none."
    )
    archive_keep_s: int = setting(
        7 * DAY_S,
        "How far back the archive can restore at least.",
        unit="seconds",
        low=60,
        high=TEN_YEARS_S,
    )
    archive_disk_free_min: int = setting(
        1024 * MIB,
        "Free space below which an archive in a folder gives up its past instead of filling the disk.",
        unit="bytes",
        low=0,
        high=1024 * 1024 * MIB,
    )
    archive_snapshot_s: int = setting(
        6 * 3600,
        "Time between two whole copies in the archive, if anything changed.",
        unit="seconds",
        low=60,
        high=30 * DAY_S,
    )
    durability: str = setting(
        "local",
        "What an answered write has reached: this disk, or the archive too.",
        choices=("local", "archive"),
    )
    durable_within_s: float = setting(
        10.0,
        "Time for a write to get there; then its outcome is answered as unknown.",
        unit="seconds",
        low=0.1,
        high=600,
    )
    backup_verify_every_s: int = setting(
        DAY_S,
        "Time between two restores that check the archive against the queue; 0 for none.",
        unit="seconds",
        low=0,
        high=TEN_YEARS_S,
    )
    past_kept_max: int = setting(
        4, "Most past states of the queue that are kept restored at a time.", unit="states", low=1, high=100
    )
    past_bytes_max: int = setting(
        4 * 1024 * MIB,
        "Most disk the restored past states take together; one may be larger.",
        unit="bytes",
        low=MIB,
        high=1024 * 1024 * MIB,
    )

    peers: str = setting(
        "",
        "All nodes of the cluster, this one included: a list of name=host:port; empty for one node alone.",
        shape=wrong_peers,
        many=True,
    )
    peer_listen: str = setting(
        "",
        "Address at which the other nodes reach this one; empty for its own in peers.",
        shape=lambda text: wrong_address(text) if text else None,
    )
    advertise: str = setting(
        "", "URL at which clients reach this node; empty for the one it listens on.", shape=wrong_url
    )
    witness: bool = setting(False, "This node keeps the log and votes, but never leads and serves no reads.")
    lease_ttl_s: float = setting(
        2.0, "Silence of a leader after which the others elect a new one.", unit="seconds", low=0.5, high=60
    )
    peer_secret_file: str = setting(
        "", "File with the secret by which nodes know each other; empty for none."
    )
    peer_tls_cert: str = setting(
        "", "PEM file of this node's certificate for the other nodes, with its name as a DNS name."
    )
    peer_tls_key: str = setting("", "PEM file of its key.")
    peer_tls_ca: str = setting("", "PEM file of the authority that signs the nodes' certificates.")

    webhooks_file: str = setting(
        "", "TOML file of the webhooks' secrets and endpoints; empty for none: no task can ask for one then."
    )
    webhook_allow: str = setting(
        "",
        "Networks, addresses and host names that webhooks may reach though they are not public: a list.",
        shape=wrong_allowance,
        many=True,
    )
    webhook_ports: str = setting(
        "", "Ports that webhooks may reach: a list; empty for all.", shape=wrong_ports, many=True
    )
    webhook_timeout_s: float = setting(
        15.0, "Time of one delivery, from its name's resolution on.", unit="seconds", low=0.1, high=300
    )
    webhook_concurrency: int = setting(16, "Deliveries at a time.", unit="deliveries", low=1, high=1000)
    webhook_max_attempts: int = setting(
        10, "Attempts of a delivery whose task does not say its own.", unit="attempts", low=1, high=1000
    )
    webhook_url_chars_max: int = setting(
        2048, "Longest URL of a webhook.", unit="characters", low=64, high=32_768
    )

    drain_s: float = setting(
        4.0,
        "Time that requests in flight have to finish when the node stops.",
        unit="seconds",
        low=0,
        high=300,
    )

    @property
    def address(self) -> tuple[str, int]:
        """Host and port of ``listen``."""
        return split_address(self.listen)

    @property
    def peer_addresses(self) -> dict[str, tuple[str, int]]:
        """Host and port of each node in ``peers``, this one included, by name."""
        return split_peers(self.peers)

    @property
    def peer_address(self) -> tuple[str, int]:
        """Where this node listens for the others."""
        return split_address(self.peer_listen) if self.peer_listen else self.peer_addresses[self.name]


def contradictions(config: Config) -> list[tuple[str, str]]:
    """Pairs of keys that are each right and together wrong: (key, what is wrong)."""
    found = []
    pairs = (
        ("payload_bytes_max", "body_bytes_max"),
        ("result_bytes_max", "body_bytes_max"),
        ("lease_s", "lease_s_max"),
    )
    for low, high in pairs:
        if getattr(config, low) > getattr(config, high):
            found.append((low, f"must not be more than {high} ({getattr(config, high):.16g})"))
    if config.worker_silent_s < 2 * config.worker_heartbeat_s:
        found.append(
            ("worker_silent_s", f"must be at least twice worker_heartbeat_s ({config.worker_heartbeat_s:g})")
        )
    if config.durability == "archive" and config.litestream == "off":
        found.append(("durability", "must be local when litestream is off: nothing writes an archive then"))
    return found + peer_contradictions(config)


LATER: dict[str, tuple[object, ...]] = {
    "tls_cert": ("",),
    "tls_key": ("",),
    "tls_ca": ("",),
    "tokens_file": ("",),
}
"""Keys of protections this version does not have, with the values that ask for none.

They are known so that a configuration that relies on one is refused, instead of run without it.
"""
