"""Delivers the events of webhooks, for as long as this node leads: claims their tasks and carries them out.

The only worker of the reserved queue. A delivery that it could not end, since the node stopped or leads no
more, goes back to the line without an attempt spent: here, or when the next deliverer begins.
"""

import asyncio
import logging
import math
from collections.abc import Callable
from functools import partial
from typing import Any

import msgspec

from tqnode.clock import Clock
from tqnode.config import Config
from tqnode.delivery.answer import GONE, Answer, Undelivered
from tqnode.delivery.courier import Courier
from tqnode.delivery.silence import Silence
from tqnode.errors import Busy, OutcomeUnknown, TqnodeError
from tqnode.metrics import Metrics
from tqnode.queue import Queue
from tqnode.queue.deliveries import take_back
from tqnode.queue.webhooks import META_KEY, QUEUE
from tqnode.store import Effects, Store
from tqnode.task import Ask, ClaimedTask, Complete, Fail, Finish, Snooze, TaskState

WORKER = "tqnode"
LEASE_EXTRA_S = 30.0
"""Beyond the longest delivery: for the writes around it."""
GIVE_BACK_S = 0.3
"""How long a stop waits for the deliveries at hand to be given back."""
LOOK_S = 60.0
"""How often it looks by itself: what became ready in a write of unknown outcome was not announced."""
WRITES_MAX = 10
"""How often the end of a delivery is tried to be written; after that its lease runs out."""

_meta = msgspec.json.Decoder(dict[str, dict[str, Any]])

logger = logging.getLogger(__name__)


class Deliverer:
    """Runs from :meth:`run` until that is cancelled.

    Args:
        store: where the tasks are.
        queue: its operations.
        courier: sends.
        clock: the node's clock.
        config: how much at a time.
        metrics: counts the attempts.
    """

    def __init__(
        self,
        store: Store,
        queue: Queue,
        courier: Courier,
        *,
        clock: Clock,
        config: Config,
        metrics: Metrics,
    ) -> None:
        self._store = store
        self._queue = queue
        self._courier = courier
        self._clock = clock
        self._limit = config.webhook_concurrency
        self._lease_ms = round(1000 * (config.webhook_timeout_s + LEASE_EXTRA_S))
        self._chars_max = config.error_message_chars_max
        self._count: Callable[[str], None] = lambda outcome: metrics.webhook_deliveries.labels(outcome).inc()
        self._silence = Silence(clock)
        self._wake = asyncio.Event()
        self._draining = False
        self._at_hand: dict[asyncio.Task[None], ClaimedTask] = {}
        self._ends: dict[str, Finish] = {}
        """What came of those at hand whose end is being written."""
        store.listen(self._notice)

    def drain(self) -> None:
        """Begins no more deliveries; those at hand go on."""
        self._draining = True

    async def run(self) -> None:
        """Delivers until cancelled."""
        await self._patiently(self._take_back)
        try:
            while True:
                self._wake.clear()
                room = self._limit - len(self._at_hand)
                if self._draining or room <= 0 or await self._patiently(partial(self._begin, room)) < room:
                    await self._doze()
        finally:
            await self._stop()

    async def _doze(self) -> None:
        """Returns when there may be something to do."""
        try:
            async with asyncio.timeout(LOOK_S):
                await self._wake.wait()
        except TimeoutError:
            return

    async def _patiently(self, work: Callable[[], Any]) -> Any:
        """Does what may have to wait for the writer."""
        while True:
            try:
                return await work()
            except Busy as error:
                await self._clock.sleep(error.retry_after_s)
            except OutcomeUnknown:
                # A claim that nobody knows of would keep its tasks for the length of their lease.
                await self._clock.sleep(1.0)
                work = partial(self._take_back)

    async def _take_back(self) -> int:
        """Has what nobody delivers any more back in the line."""
        kept = frozenset(task.id for task in self._at_hand.values())
        movement = self._queue.movement
        taken = await self._store.write(lambda tx: take_back(tx, kept, movement=movement))
        if taken:
            logger.info("%d deliveries begin anew: who had them is gone", taken)
        # What is back is looked at with the next claim.
        return 0

    async def _begin(self, room: int) -> int:
        """Claims up to ``room`` deliveries and begins them; how many."""
        asked = Ask(queues=(QUEUE,), worker=WORKER, max=room, lease_ms=self._lease_ms)
        claimed = await self._queue.claim(asked, wait_s=0)
        for task in claimed:
            delivering = asyncio.create_task(self._deliver(task), name="delivery")
            self._at_hand[delivering] = task
            delivering.add_done_callback(self._ended)
        return len(claimed)

    def _ended(self, delivering: "asyncio.Task[None]") -> None:
        if delivering.cancelled():
            return  # it stays at hand, to be given back
        self._ends.pop(self._at_hand.pop(delivering).id, None)
        self._wake.set()
        error = delivering.exception()
        if error is not None:
            logger.error("a delivery could not be ended; its lease will run out", exc_info=error)

    async def _deliver(self, task: ClaimedTask) -> None:
        finish = self._ends[task.id] = await self._attempt(task)
        for _ in range(WRITES_MAX):
            try:
                (answer,) = await self._queue.finish([finish])
            except (Busy, OutcomeUnknown) as error:
                # Said again with the same token, it is the same end.
                await self._clock.sleep(error.retry_after_s if isinstance(error, Busy) else 1.0)
            except TqnodeError as error:
                logger.info("delivery %s is left to the next deliverer: %s", task.id, error.detail)
                return
            else:
                if isinstance(answer, TqnodeError):
                    logger.warning("delivery %s: %s", task.id, answer.detail)
                return
        logger.warning("delivery %s: its end could not be written; its lease will run out", task.id)

    async def _attempt(self, task: ClaimedTask) -> Finish:
        """Sends, and says what becomes of the task then."""
        began = self._clock.monotonic()
        about = _meta.decode(task.meta or b"{}")[META_KEY]
        receiver = self._courier.receiver(about) or ""
        pause_s = self._silence.pause_s(receiver)
        if pause_s > 0:
            self._count("put_off")
            return Snooze(id=task.id, token=task.token, delay_ms=math.ceil(1000 * pause_s))
        try:
            answer = await self._courier.send(about, event_id=task.id, body=task.payload)
        except Undelivered as error:
            self._count(error.outcome)
            if error.outcome == "timeout":
                self._silence.timed_out(receiver)
            return self._failed(task, f"webhook_{error.outcome}", error.detail)
        except Exception as error:
            # One that nobody foresaw must not keep the others from their receivers.
            logger.exception("delivery %s failed", task.id)
            self._count("error")
            return self._failed(task, type(error).__name__, str(error))
        self._silence.answered(receiver)
        if answer.delivered:
            self._count("delivered")
            took_ms = round(1000 * (self._clock.monotonic() - began))
            return Complete(
                id=task.id,
                token=task.token,
                result=msgspec.json.encode({"status": answer.status, "took_s": took_ms / 1000}),
            )
        self._count("gone" if answer.status == GONE else "refused")
        return self._refused(task, answer)

    def _refused(self, task: ClaimedTask, answer: Answer) -> Fail:
        said = f": {answer.excerpt}" if answer.excerpt else ""
        finish = self._failed(task, "webhook_refused", f"answered {answer.status}{said}")
        wait_ms = answer.wait_ms(self._clock.now_ms())
        return msgspec.structs.replace(finish, retry=answer.status != GONE, delay_ms=wait_ms)

    def _failed(self, task: ClaimedTask, kind: str, message: str) -> Fail:
        return Fail(id=task.id, token=task.token, type=kind, message=message[: self._chars_max])

    async def _stop(self) -> None:
        """Gives back what is at hand, and ends what has come to its end: nobody is to be told twice."""
        for delivering in self._at_hand:
            delivering.cancel()
        if not self._at_hand:
            return
        await asyncio.wait(list(self._at_hand))
        tasks = list(self._at_hand.values())
        for task in tasks:
            if task.id not in self._ends:
                self._ends[task.id] = Snooze(id=task.id, token=task.token)
                self._count("given_back")
        try:
            async with asyncio.timeout(GIVE_BACK_S):
                # An end that was written already, and whose answer did not come, is the same end once more.
                await self._queue.finish([self._ends[task.id] for task in tasks])
        except (TqnodeError, TimeoutError) as error:
            logger.info("%d deliveries are left to the next deliverer: %s", len(tasks), error or "no time")

    def _notice(self, effects: Effects) -> None:
        readied = any(queue == QUEUE and after is TaskState.READY for queue, _, after, _ in effects.moves)
        if readied or QUEUE in effects.resumed:
            self._wake.set()
