"""The registry of workers and their heartbeats."""

from typing import Annotated, Literal

from msgspec import UNSET, Meta, Raw, UnsetType

from tq.wire.log import NewLines
from tq.wire.names import Answer, Id, Label, Name, Request, Stamp, Token, WorkerState


class NewWorker(Request, kw_only=True):
    """A worker process, registered once per boot."""

    name: Label
    host: Label | None = None
    pid: Annotated[int, Meta(ge=1, le=2**31)] | None = None
    queues: Annotated[list[Name], Meta(max_length=100)] = []
    kinds: Annotated[list[Name], Meta(max_length=500)] = []
    concurrency: Annotated[int, Meta(ge=1, le=100_000)] = 1
    version: Label | None = None


class Worker(Answer, kw_only=True):
    id: Id
    name: str
    state: WorkerState
    started_at: Stamp
    last_heartbeat_at: Stamp
    concurrency: int
    host: str | None = None
    pid: int | None = None
    queues: list[str] = []
    kinds: list[str] = []
    version: str | None = None
    running: int = 0


class Registered(Answer, kw_only=True):
    """The worker's id for claims and heartbeats, and how often to heartbeat."""

    id: Id
    state: WorkerState
    heartbeat_s: float


class Workers(Answer, kw_only=True):
    workers: list[Worker]


class HeldLease(Request, kw_only=True):
    id: str
    token: Token
    progress: Raw | UnsetType = UNSET
    log: NewLines | None = None


class WorkerHeartbeat(Request, kw_only=True):
    """One heartbeat for the worker and all the leases it holds."""

    leases: Annotated[list[HeldLease], Meta(max_length=10_000)] = []


class LeaseStatus(Answer, kw_only=True):
    id: str
    status: Literal["ok", "lost", "cancel"]
    lease_expires_at: Stamp | None = None


class WorkerHeartbeatAnswer(Answer, kw_only=True):
    state: WorkerState
    leases: list[LeaseStatus]
