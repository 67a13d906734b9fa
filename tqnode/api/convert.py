"""From the wire's types to the core's: defaults filled in, units turned to ms, limits held."""

from collections.abc import Sequence
from datetime import datetime

import msgspec
from msgspec import UNSET, Raw, UnsetType
from msgspec.structs import replace

from tq import wire
from tqnode.api.decode import within
from tqnode.api.dependencies import Refs, parents_of, refs_of
from tqnode.api.hooks import Hooks, open_queue
from tqnode.api.stamps import MOMENT_MAX_MS, moment_ms
from tqnode.api.unique import unique_of
from tqnode.config import Config
from tqnode.errors import BadRequest, InvalidField
from tqnode.queue.dependencies.circles import check_acyclic
from tqnode.queue.webhooks import QUEUE as RESERVED
from tqnode.task import UNSAID, Needs, TaskSpec

_encode = msgspec.json.Encoder().encode
_NULL = b"null"
_Terms = tuple[int, int, int, bytes | None, int | None, int]
"""Priority, attempts, lease, retry policy and timeout of a task, and which of them were left open."""
_ALL = sum(UNSAID.values())
_NEEDS = {need.value: need for need in Needs}


def ms_of(seconds: float) -> int:
    """Whole milliseconds, the nearest ones."""
    return round(seconds * 1000)


def json_part(raw: Raw | UnsetType, field: str, bytes_max: int) -> bytes | None:
    """The bytes of a JSON value as they were sent; None when absent.

    Raises:
        InvalidField: it is larger than ``bytes_max``.
    """
    if raw is UNSET:
        return None
    value = bytes(raw)
    if len(value) > bytes_max:
        raise InvalidField(f"must be at most {bytes_max} bytes of JSON", field=field, limit=bytes_max)
    return value


class Conversion:
    """Turns requests into what the core takes, by one configuration's limits and defaults.

    Args:
        config: the node's configuration.
        hooks: judges what tasks ask of webhooks.
    """

    def __init__(self, config: Config, hooks: Hooks) -> None:
        self._hooks = hooks
        self._by_queue = hooks.by_queue
        self._config = config
        self._name_chars_max = config.name_chars_max
        self._payload_bytes_max = config.payload_bytes_max
        self._lease_ms = ms_of(config.lease_s)
        self._lease_s_max = config.lease_s_max
        self._delay_ms_max = ms_of(config.delay_s_max)
        self._max_attempts = config.max_attempts
        self._nothing_said: _Terms = (wire.PRIORITY, self._max_attempts, self._lease_ms, None, None, _ALL)

    def specs(self, tasks: Sequence[wire.NewTask], now_ms: int, *, field: str = "") -> list[TaskSpec]:
        """Each task of an array.

        Args:
            tasks: what was sent.
            now_ms: the time delays count from.
            field: the array's own path; empty for the body itself.

        Raises:
            InvalidField: naming the task by its index.
        """
        refs = None
        if any(task.ref or task.after for task in tasks):
            try:
                refs = refs_of(tasks)
            except BadRequest as error:
                raise (within(error, field) if field else error) from None
        specs: list[TaskSpec] = []
        alike: wire.NewTask | None = None
        for index, task in enumerate(tasks):
            try:
                # Most tasks of an array differ in their payload alone: then the rest is judged once.
                shape = replace(task, payload=UNSET)
                if alike is None or shape != alike:
                    specs.append(self.spec(task, now_ms, refs))
                    alike = None if task.unique or task.ref or task.after else shape
                else:
                    payload = json_part(task.payload, "payload", self._payload_bytes_max) or _NULL
                    specs.append(replace(specs[-1], payload=payload))
            except BadRequest as error:
                raise within(error, f"{field}[{index}]") from None
        if refs:
            check_acyclic(specs, field)
        return specs

    def spec(self, task: wire.NewTask, now_ms: int, refs: Refs | None = None) -> TaskSpec:
        """One task, with every default filled in.

        Args:
            task: what was sent.
            now_ms: the time delays count from.
            refs: the places of the tasks in the request that have names; None where names are of no use.

        Raises:
            InvalidField: a field is beyond this node's limits, or contradicts another.
        """
        chars_max = self._name_chars_max
        if len(task.kind) > chars_max:
            self.name(task.kind, "kind")
        if len(task.queue) > chars_max:
            self.name(task.queue, "queue")
        if task.queue == RESERVED:
            open_queue(task.queue)
        payload = json_part(task.payload, "payload", self._payload_bytes_max) or _NULL
        run_at_ms = None
        if task.delay_s is not None or task.run_at is not None:
            run_at_ms = self._run_at_ms(task.delay_s, task.run_at, now_ms)
        if (
            task.lease_s is None
            and task.max_attempts is None
            and task.priority is None
            and task.retry is None
            and task.timeout_s is None
        ):
            priority, max_attempts, lease_ms, retry, timeout_ms, unsaid = self._nothing_said
        else:
            priority, max_attempts, lease_ms, retry, timeout_ms, unsaid = self._said(task)
        after: tuple[bytes | int, ...] = ()
        if task.after:
            after = parents_of(task, refs or {}, limit=self._config.parents_max)
        if task.ref is not None and refs is None:
            raise InvalidField("only tasks of one array that is enqueued as a whole have refs", field="ref")
        return TaskSpec(
            kind=task.kind,
            queue=task.queue,
            payload=payload,
            priority=priority,
            run_at_ms=run_at_ms,
            max_attempts=max_attempts,
            lease_ms=lease_ms,
            retry=retry,
            timeout_ms=timeout_ms,
            expires_at_ms=self._expires_at_ms(task.expires_at, run_at_ms, now_ms),
            tags=self._tags(task.tags) if task.tags else (),
            meta=None if task.meta is UNSET else self._meta(task.meta),
            after=after,
            needs=_NEEDS[task.after_policy] if after else None,
            webhook=self._hooks.of(task.webhook, task.queue) if task.webhook or self._by_queue else None,
            limit_key=None if task.limit_key is None else self.name(task.limit_key, "limit_key"),
            unsaid=unsaid,
            result_ttl_ms=None if task.result_ttl_s is None else max(1, ms_of(task.result_ttl_s)),
            **({} if task.unique is None else unique_of(task.unique, payload, self._config)),
        )

    def _said(self, task: wire.NewTask) -> _Terms:
        priority, max_attempts, lease_s = task.priority, task.max_attempts, task.lease_s
        said = (priority, max_attempts, lease_s, task.retry, task.timeout_s)
        return (
            wire.PRIORITY if priority is None else priority,
            self._max_attempts if max_attempts is None else max_attempts,
            self._lease_ms if lease_s is None else self._lease_of(lease_s),
            None if task.retry is None else _encode(task.retry),
            None if task.timeout_s is None else max(1, ms_of(task.timeout_s)),
            sum(bit for bit, value in zip(UNSAID.values(), said, strict=True) if value is None),
        )

    def name(self, name: str, field: str) -> str:
        """A name of allowed length.

        Raises:
            InvalidField: it is too long.
        """
        if len(name) > self._name_chars_max:
            raise InvalidField(
                f"must be at most {self._name_chars_max} characters long",
                field=field,
                limit=self._name_chars_max,
            )
        return name

    def names(self, names: Sequence[str], field: str) -> tuple[str, ...]:
        """Names of allowed length, each once, in the order given.

        Raises:
            InvalidField: one is too long.
        """
        for index, name in enumerate(names):
            if len(name) > self._name_chars_max:
                self.name(name, f"{field}[{index}]")
        return tuple(dict.fromkeys(names))

    def lease_ms(self, lease_s: float | None) -> int | None:
        """A lease of allowed length; None stays None.

        Raises:
            InvalidField: it is too long.
        """
        return None if lease_s is None else self._lease_of(lease_s)

    def delay_ms(self, delay_s: float, field: str = "delay_s") -> int:
        """A delay of allowed length.

        Raises:
            InvalidField: it is too long.
        """
        delay_ms = ms_of(delay_s)
        if delay_ms > self._delay_ms_max:
            limit = self._config.delay_s_max
            raise InvalidField(f"must be at most {limit:g} seconds", field=field, limit=limit)
        return delay_ms

    def _lease_of(self, lease_s: float) -> int:
        if lease_s > self._lease_s_max:
            raise InvalidField(
                f"must be at most {self._lease_s_max:g} seconds", field="lease_s", limit=self._lease_s_max
            )
        return max(1, ms_of(lease_s))

    def _run_at_ms(self, delay_s: float | None, run_at: datetime | None, now_ms: int) -> int | None:
        """When the task may run; None is at once, which any time in the past means too."""
        if run_at is None:
            delay_ms = self.delay_ms(0.0 if delay_s is None else delay_s)
            return now_ms + delay_ms if delay_ms else None
        if delay_s is not None:
            raise InvalidField("delay_s and run_at exclude each other", field="run_at")
        run_at_ms = moment_ms(run_at)
        if run_at_ms > now_ms + self._delay_ms_max:
            limit = self._config.delay_s_max
            raise InvalidField(f"must be at most {limit:g} seconds from now", field="run_at", limit=limit)
        return run_at_ms if run_at_ms > now_ms else None

    def _expires_at_ms(self, expires_at: datetime | None, run_at_ms: int | None, now_ms: int) -> int | None:
        if expires_at is None:
            return None
        expires_at_ms = moment_ms(expires_at)
        if expires_at_ms <= (now_ms if run_at_ms is None else run_at_ms):
            raise InvalidField("must be later than now and than the time to run", field="expires_at")
        if expires_at_ms > MOMENT_MAX_MS:
            raise InvalidField("must be within the year 9999", field="expires_at")
        return expires_at_ms

    def _tags(self, tags: Sequence[str]) -> tuple[str, ...]:
        unique = self.names(tags, "tags")
        if len(unique) > self._config.tags_max:
            limit = self._config.tags_max
            raise InvalidField(f"a task has at most {limit} tags", field="tags", limit=limit)
        return unique

    def _meta(self, raw: Raw | UnsetType) -> bytes | None:
        meta = json_part(raw, "meta", self._config.meta_bytes_max)
        if meta is not None and not meta.startswith(b"{"):
            raise InvalidField("must be a JSON object", field="meta")
        return meta
