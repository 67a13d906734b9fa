"""Limits on what may wait: by number and by bytes, of a queue and of the node.

Numbers come from the tallies. Bytes are counted only where they are limited: the tally of a queue, or of the
node, is made by a scan when its limit is set, and kept from then on by triggers on the tables of tasks, which
are there only while something is counted. So no statement that moves a task has to know of it.
"""

from collections.abc import Mapping, Sequence

from tqnode.config import Config
from tqnode.errors import QueueDraining, QueueFull
from tqnode.queue.controls import changed, controls_of
from tqnode.settings import NO_SETTINGS, Controls
from tqnode.sql import script, statement
from tqnode.store.tx import NODE, Tx
from tqnode.task import TaskSpec

_START = statement("start_byte_tally")
_END = statement("end_byte_tally")
_READ = statement("read_byte_tally")
_READ_NODE_DEPTH = statement("read_node_depth")

RETRY_AFTER_S = 5.0


class Quotas:
    """Refuses tasks for which there is no room.

    Args:
        config: the node's limits.
    """

    def __init__(self, config: Config) -> None:
        self._config = config

    def settle(self, tx: Tx) -> None:
        """Has the node's bytes counted if its configuration limits them: which it may since this start."""
        count_bytes(tx, NODE, wanted=bool(self._config.bytes_max))

    def admit(
        self, tx: Tx, specs: Sequence[TaskSpec], more: Mapping[str, int], *, follows: bool = False
    ) -> None:
        """Returns if all of ``specs`` may enter.

        Args:
            tx: knows how many tasks wait in each of their queues.
            specs: the tasks.
            more: how many of them there are by queue.
            follows: whether they go on what is running already: a drain lets such in.

        Raises:
            QueueDraining: one of their queues takes none.
            QueueFull: there is no room in one of their queues, or in the node.
        """
        controls = controls_of(tx)
        if controls.draining and not follows:
            _refuse_drained(controls, more)
        for queue, count in more.items():
            depth = tx.depths[queue]
            own = controls.settings.get(queue, NO_SETTINGS).depth_max if controls.settings else None
            limit = self._config.queue_depth_max if own is None else min(own, self._config.queue_depth_max)
            if depth + count > limit:
                raise QueueFull(
                    f"queue {queue} holds {depth} waiting tasks; its limit is {limit}",
                    retry_after_s=RETRY_AFTER_S,
                    field="queue_depth_max" if own is None or own > limit else "depth_max",
                    limit=limit,
                )
        if self._config.depth_max:
            self._judge_node_depth(tx, len(specs))
        if controls.counted or self._config.bytes_max:
            self._judge_bytes(tx, controls, specs)

    def room(self, tx: Tx, queue: str) -> int:
        """How many tasks that are in the node already a queue still takes.

        Args:
            tx: knows how many tasks wait in it.
            queue: its name.
        """
        controls = controls_of(tx)
        if queue in controls.draining:
            return 0
        own = controls.settings.get(queue, NO_SETTINGS).depth_max
        limit = self._config.queue_depth_max if own is None else min(own, self._config.queue_depth_max)
        return max(0, limit - tx.depths[queue])

    def _judge_node_depth(self, tx: Tx, count: int) -> None:
        depth = tx.depths.get(NODE)
        if depth is None:
            (tallied,) = tx.one(_READ_NODE_DEPTH) or (0,)
            depth = tx.know_depth(NODE, tallied)
        if depth + count > self._config.depth_max:
            raise QueueFull(
                f"the node holds {depth} waiting tasks; its limit is {self._config.depth_max}",
                retry_after_s=RETRY_AFTER_S,
                field="depth_max",
                limit=self._config.depth_max,
            )

    def _judge_bytes(self, tx: Tx, controls: Controls, specs: Sequence[TaskSpec]) -> None:
        if bool(self._config.bytes_max) is not (NODE in controls.counted):
            self.settle(tx)
            controls = controls_of(tx)
        sizes: dict[str, int] = dict.fromkeys(controls.counted, 0)
        for spec in specs:
            size = len(spec.payload) + (0 if spec.meta is None else len(spec.meta))
            for name in (spec.queue, NODE):
                if name in sizes:
                    sizes[name] += size
        for queue, size in sizes.items():
            limit = controls.settings[queue].bytes_max if queue else self._config.bytes_max
            if not size or limit is None:
                continue
            (held,) = tx.one(_READ, {"queue": queue}) or (0,)
            if held + size > limit:
                whose = f"queue {queue}" if queue else "the node"
                raise QueueFull(
                    f"{whose} holds {held} bytes of tasks and would get {size} more; its limit is {limit}",
                    retry_after_s=RETRY_AFTER_S,
                    field="bytes_max",
                    limit=limit,
                )


def _refuse_drained(controls: Controls, queues: Mapping[str, int]) -> None:
    for queue in queues:
        if queue in controls.draining:
            raise QueueDraining(f"queue {queue} is being drained: it takes no new tasks until it is resumed")


def count_bytes(tx: Tx, queue: str, *, wanted: bool) -> None:
    """Begins or ends the count of a queue's bytes, or of the node's under the empty name.

    To begin with, it takes a scan of all tasks.
    """
    counted = controls_of(tx).counted
    if wanted is (queue in counted):
        return
    if wanted:
        if not counted:
            tx.run_script(script("count_bytes"))
        tx.run(_START, {"queue": queue})
    else:
        tx.run(_END, {"queue": queue})
        if counted == {queue}:
            tx.run_script(script("uncount_bytes"))
    changed(tx)
