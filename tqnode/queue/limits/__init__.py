"""The limits: put, looked at, deleted; ``lanes`` has what claims make of them."""

import msgspec

from tqnode.errors import InvalidField, NotFound
from tqnode.queue import cursors
from tqnode.queue.controls import controls_of
from tqnode.queue.limits.buckets import look_again
from tqnode.queue.limits.rules import Rule, forget_rules, rule_of
from tqnode.queue.rows import Reads
from tqnode.sql import statement
from tqnode.store.readers import Reader
from tqnode.store.tx import Tx

_READ = statement("read_limit")
_LIST = statement("list_limits")
_COUNT = statement("count_limits")
_FIND_ON = statement("find_limit_on")
_PUT = statement("put_limit")
_DELETE = statement("delete_limit")
_MARK_LIMITED = statement("mark_limited")
_MARK_SLOTS = statement("mark_slots")
_FIND_KEYED_QUEUES = statement("find_keyed_queues")
_DROP_TURNS = statement("drop_turns")


class LimitSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A limit that is put: on a queue, or on the keys that ``key`` is a pattern of; empty texts for none."""

    name: str
    queue: str = ""
    key: str = ""
    running: int | None = None
    rate: int | None = None
    per_ms: int | None = None
    burst: int | None = None
    fair: bool = False


class LimitPage(msgspec.Struct, frozen=True):
    """``next_cursor`` is None on the last page."""

    limits: list[Rule]
    next_cursor: str | None


def read(reader: Reads, name: str) -> Rule:
    """One limit.

    Raises:
        NotFound: there is none of that name.
    """
    row = reader.one(_READ, {"name": name})
    if row is None:
        raise NotFound("limit", name)
    return rule_of(row)


def page(reader: Reader, *, limit: int, cursor: str | None) -> LimitPage:
    """Limits in the order of their names, from the cursor on.

    Raises:
        InvalidCursor: no page ended with this cursor.
    """
    after = cursors.name_of(cursor)
    found = [rule_of(row) for row in reader.all(_LIST, {"after": after, "limit": limit + 1})]
    if len(found) <= limit:
        return LimitPage(found, None)
    return LimitPage(found[:limit], cursors.of_name(found[limit - 1].name))


def put(tx: Tx, spec: LimitSpec, *, limit: int) -> tuple[Rule, bool]:
    """Makes a limit, or gives the one of that name what is said now; the next claim goes by it.

    Args:
        limit: how many limits there may be.

    Returns:
        The limit, and whether it is new.

    Raises:
        InvalidField: another one is on the same tasks, there are too many already, or it is fair and the
            tasks of its queue gain priority as they wait.
    """
    row = tx.one(_READ, {"name": spec.name})
    old = None if row is None else rule_of(row)
    if old is not None and _says_the_same(spec, old):
        return old, False
    holder = tx.one(_FIND_ON, {"queue": spec.queue, "key": spec.key})
    if holder is not None and holder[0] != spec.name:
        raise InvalidField(
            f"the limit {holder[0]} is on the same tasks already",
            field="key" if spec.key else "queue",
            code="limit_exists",
        )
    if spec.fair and spec.queue in controls_of(tx).ages:
        raise InvalidField(
            f"tasks of {spec.queue} gain priority as they wait (age_per_minute), and keys can not take turns "
            "within priorities that grow: end that first",
            field="fair",
        )
    if old is None:
        (count,) = tx.one(_COUNT) or (0,)
        if count >= limit:
            raise InvalidField(
                f"there are {limit} limits already, the most allowed", limit=limit, code="too_many_limits"
            )
    tx.run(_PUT, {**msgspec.structs.asdict(spec), "now_ms": tx.now_ms})
    new = read(tx, spec.name)
    _take_effect(tx, [rule for rule in (old, new) if rule is not None])
    return new, old is None


def delete(tx: Tx, name: str) -> None:
    """Deletes a limit.

    Raises:
        NotFound: there is none of that name.
    """
    old = read(tx, name)
    tx.run(_DELETE, {"name": name})
    _take_effect(tx, [old])


def _says_the_same(spec: LimitSpec, old: Rule) -> bool:
    return all(getattr(old, field) == getattr(spec, field) for field in spec.__struct_fields__)


def _take_effect(tx: Tx, rules: list[Rule]) -> None:
    """Has claims go by the limits as they are now, those that wait too."""
    forget_rules(tx)
    queues: set[str] = set()
    for rule in rules:
        if not rule.key:
            tx.run(_MARK_LIMITED, {"queue": rule.queue})
            tx.run(_DROP_TURNS, {"queue": rule.queue})
            if rule.running is not None:
                # Who runs already was claimed without one.
                tx.run(_MARK_SLOTS, {"queue": rule.queue})
        if rule.queue:
            queues.add(rule.queue)
        else:
            queues.update(name for (name,) in tx.all(_FIND_KEYED_QUEUES))
    look_again(tx)
    tx.effects.resumed += sorted(queues)
