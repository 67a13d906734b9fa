"""What tasks tell while they run, line by line: the last ones are kept, and how many were lost is known."""

from collections.abc import Sequence

import msgspec

from tqnode.clock import Clock
from tqnode.config import Config
from tqnode.errors import LeaseLost, NotFound
from tqnode.metrics import Metrics
from tqnode.queue import token
from tqnode.queue.onlookers import Onlookers
from tqnode.queue.rows import Reads, place
from tqnode.sql import statement
from tqnode.store import Store, Tx
from tqnode.store.effects import TaskNews
from tqnode.task import FINAL, TaskState

_FIND_HOLDER = statement("find_holder")
_READ_LAST = statement("read_last_line")
_INSERT = "insert_line"
_DROP = statement("drop_lines")
_READ = statement("read_lines")
_READ_STATE = statement("read_state")
_NEXT_REMAINS = statement("next_remains")
_DELETE_REMAINS = statement("delete_remains")
_FORGET_REMAINS = statement("forget_remains")

REPLACED = "replaced: what the task was before, and its earlier lines, are gone"
"""The line that stands where a log was whose task was replaced."""


class NewLine(msgspec.Struct, frozen=True):
    """A line to add; ``at_ms`` None is now."""

    text: str
    level: str = "info"
    at_ms: int | None = None


class NewLines(msgspec.Struct, frozen=True, kw_only=True):
    """Lines of one attempt.

    Args:
        id: the task's.
        token: of the claim.
        lines: in their order.
        first: the place of the first one among all lines of this claim, from 0. Lines that are here already
            are not added again, and what lies between was lost. None: they follow what is here.
    """

    id: str
    token: str
    lines: tuple[NewLine, ...]
    first: int | None = None


class Line(msgspec.Struct, frozen=True):
    """A line as it is kept."""

    number: int
    attempt: int
    at_ms: int
    level: str
    text: str


class LogPage(msgspec.Struct, frozen=True, kw_only=True):
    """Lines in their order.

    Args:
        lines: those behind the number asked for.
        dropped: lines between that number and the last of these that are gone.
        next: the number to go on after.
        ended: whether no more will come: the task is final, and these are its last.
    """

    lines: list[Line]
    dropped: int
    next: int
    ended: bool


class Logs:
    """The operations on logs.

    Args:
        store: where they are.
        clock: the node's clock.
        config: how much is kept.
        metrics: counts the fenced.
        onlookers: where clients wait.
    """

    def __init__(
        self, store: Store, clock: Clock, *, config: Config, metrics: Metrics, onlookers: Onlookers
    ) -> None:
        self._store = store
        self._clock = clock
        self._lines_max = config.log_lines_max
        self._line_bytes_max = config.log_line_bytes_max
        self._metrics = metrics
        self._onlookers = onlookers

    async def append(self, new: NewLines) -> int:
        """Adds lines to the log of a task that is running; the number of its last line.

        Raises:
            LeaseLost: the token is not the task's current one.
            NotFound: there is no such task.
        """

        def operation(tx: Tx) -> int:
            try:
                return self.add(tx, new)
            except LeaseLost:
                self._metrics.fenced.inc()
                raise

        return await self._store.write(operation)

    async def page(self, task_id: str, *, after: int, limit: int, wait_s: float) -> LogPage:
        """The lines behind number ``after``, the first ``limit`` of them.

        Without any, waits up to ``wait_s`` seconds for the next ones or the task's end.

        Raises:
            NotFound: there is no such task, or it was deleted meanwhile.
            Overloaded: too many wait already.
        """
        if wait_s <= 0:
            return await self._read(task_id, after=after, limit=limit)
        deadline = self._clock.monotonic() + wait_s
        onlooker = self._onlookers.join(place(task_id)["id"], lines=True)
        try:
            while True:
                page = await self._read(task_id, after=after, limit=limit)
                left_s = deadline - self._clock.monotonic()
                if page.lines or page.ended or left_s <= 0:
                    return page
                if not await self._onlookers.news(onlooker, within_s=left_s):
                    return page
        finally:
            self._onlookers.leave(onlooker)

    def add(self, tx: Tx, new: NewLines) -> int:
        """As :meth:`append`, in a transaction."""
        where = place(new.id)
        fence = token.read(new.token, task=new.id)
        holder = tx.one(_FIND_HOLDER, where | {"grants": fence.grants, "secret": fence.secret})
        if holder is None:
            if tx.one(_READ_STATE, where) is None:
                raise NotFound("task", new.id)
            raise LeaseLost("the token is not this task's current one", task=new.id)
        queue, kind, attempt = holder
        news = TaskNews(where["id"], queue, kind, attempt, tx.now_ms)
        return self._write(tx, where["seq"], new, fence.grants, news)

    def add_all(self, tx: Tx, many: Sequence[NewLines]) -> None:
        """Adds the lines of several attempts; those of a lost lease are left out."""
        for new in many:
            try:
                self.add(tx, new)
            except (LeaseLost, NotFound):
                continue  # what comes with them is refused by itself, and told so

    def _write(self, tx: Tx, seq: int, new: NewLines, grants: int, news: TaskNews) -> int:
        number: int
        number, last_grants, last_place = tx.one(_READ_LAST, {"seq": seq}) or (0, None, 0)
        expected = last_place + 1 if last_grants == grants else 0
        first = expected if new.first is None else new.first
        lines = new.lines[max(0, expected - first) :]
        if not lines:
            return number
        begin = max(first, expected)
        base = number + (begin - expected) + 1
        last: int = base + len(lines) - 1
        # Of more than are kept, the last.
        surplus = max(0, len(lines) - self._lines_max)
        rows = [
            (
                seq,
                base + index,
                grants,
                begin + index,
                news.attempt,
                tx.now_ms if line.at_ms is None else line.at_ms,
                line.level,
                self._cut(line.text),
            )
            for index, line in enumerate(lines[surplus:], surplus)
        ]
        tx.insert(_INSERT, rows)
        if last > self._lines_max:
            tx.run(_DROP, {"seq": seq, "upto": last - self._lines_max})
        tx.effects.news.append(news)
        return last

    def _cut(self, text: str) -> str:
        limit = self._line_bytes_max
        if len(text) * 4 <= limit or len(encoded := text.encode()) <= limit:
            return text
        return encoded[: limit - 3].decode(errors="ignore") + "…"

    async def _read(self, task_id: str, *, after: int, limit: int) -> LogPage:
        return await self._store.read(lambda reader: read_page(reader, task_id, after=after, limit=limit))


def read_page(reader: Reads, task_id: str, *, after: int, limit: int) -> LogPage:
    """The first ``limit`` lines behind number ``after``, with how the task stands at this moment.

    Raises:
        NotFound: there is no such task.
    """
    where = place(task_id)
    state = reader.one(_READ_STATE, where)
    if state is None:
        raise NotFound("task", task_id)
    rows = reader.all(_READ, {"seq": where["seq"], "after": after, "limit": limit + 1})
    lines = [Line(*row) for row in rows[:limit]]
    last = lines[-1].number if lines else after
    ended = len(rows) <= limit and TaskState(state[0]) in FINAL
    return LogPage(lines=lines, dropped=last - after - len(lines), next=last, ended=ended)


def replace_log(tx: Tx, seq: int) -> None:
    """Deletes the lines of a task that becomes another one, but for one that says so.

    It keeps the count: who follows the log goes on behind it.
    """
    row = tx.one(_READ_LAST, {"seq": seq})
    if row is not None:
        tx.run(_DROP, {"seq": seq, "upto": row[0]})
        tx.insert(_INSERT, [(seq, row[0] + 1, 0, 0, 0, tx.now_ms, "info", REPLACED)])


def delete_remains(tx: Tx, limit: int) -> int:
    """Lines of tasks that are gone; how many were deleted."""
    if tx.one(_NEXT_REMAINS) is None:
        return 0
    deleted = tx.run(_DELETE_REMAINS, {"limit": limit})
    tx.run(_FORGET_REMAINS)
    return deleted
