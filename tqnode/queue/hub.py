"""What happened to tasks, for those who follow it: a bounded past, and bounded subscriptions."""

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from itertools import chain, islice

from tqnode.errors import Overloaded
from tqnode.store.effects import Effects, TaskEvent, TaskEvents, TaskNews

SUBSCRIPTION_MAX = 10_000
"""Events a slow follower may be behind before it is told to start anew."""
PROGRESS_MAX = 2_000
"""Tasks whose newest progress is kept for a follower until it takes it."""

Wanted = Callable[[TaskNews], bool]


class Numbered:
    """An event and its place in this boot's order."""

    __slots__ = ("event", "number")

    def __init__(self, number: int, event: TaskEvent) -> None:
        self.number = number
        self.event = event


class Subscription:
    """One follower's events in order; ``missed`` is set when some were lost to it.

    Args:
        missed: whether events came between its last one and the first that is kept.
        past: the kept events it has not seen.
        wanted: of which tasks it follows the progress; None: of none.
    """

    def __init__(self, *, missed: bool, past: list[Numbered], wanted: Wanted | None = None) -> None:
        self.missed = missed
        self._wanted = wanted
        # By task: what is not taken in time gives way to what is newer.
        self._progress: dict[bytes, TaskNews] = {}
        self.ended = False
        """No event comes any more."""
        self._waiting = deque(past)
        self._arrived = asyncio.Event()
        if past or missed:
            self._arrived.set()

    def end(self) -> None:
        """Lets the follower take what is there, and no more."""
        self.ended = True
        self._arrived.set()

    def put(self, events: list[Numbered]) -> None:
        """Adds events; a follower too far behind loses all and is told so."""
        self._waiting.extend(events)
        if len(self._waiting) > SUBSCRIPTION_MAX:
            self._waiting.clear()
            self.missed = True
        self._arrived.set()

    def tell(self, news: list[TaskNews]) -> None:
        """Notes the newest progress of tasks, as far as it is followed."""
        if self._wanted is None:
            return
        for one in news:
            if one.progress is None or not self._wanted(one):
                continue
            if one.id in self._progress or len(self._progress) < PROGRESS_MAX:
                self._progress[one.id] = one
                self._arrived.set()

    @property
    def has_progress(self) -> bool:
        """Whether there is progress that it has not taken."""
        return bool(self._progress)

    def take_progress(self) -> list[TaskNews]:
        """The newest progress of each task that has told some since the last time."""
        taken = list(self._progress.values())
        self._progress.clear()
        return taken

    async def next(self) -> list[Numbered]:
        """Waits for events; none when there is progress alone, or when some were missed.

        The latter it acknowledges by clearing ``missed``.
        """
        await self._arrived.wait()
        self._arrived.clear()
        events = list(self._waiting)
        self._waiting.clear()
        return events


class _Past:
    """The last events, in the groups they came in; an event's number is its place in this boot's order.

    Args:
        kept: how many can be had again.
    """

    def __init__(self, kept: int) -> None:
        self._kept = kept
        self._groups: deque[TaskEvents] = deque()
        self._held = 0
        self.last = 0
        """The newest one's number."""

    def add(self, events: TaskEvents) -> None:
        """Takes a group's events in; lets those go that are too many, as far as whole groups are."""
        count = len(events)
        if not count:
            return
        self.last += count
        self._held += count
        self._groups.append(events)
        while (rest := self._held - len(self._groups[0])) >= self._kept and len(self._groups) > 1:
            self._held = rest
            self._groups.popleft()

    def knows(self, number: int) -> bool:
        """Whether all that came after an event can be had."""
        return self.last - min(self._kept, self._held) <= number <= self.last

    def after(self, number: int) -> Iterator[TaskEvent]:
        """What came after the event of this number."""
        return islice(chain.from_iterable(self._groups), number - (self.last - self._held), None)


class Hub:
    """Takes in each committed group's events.

    Args:
        boot: names this start of the node in event ids, since numbers begin anew with it.
        kept: how many past events a reconnecting follower can resume over.
        followers_max: how many may follow at a time.
    """

    def __init__(self, *, boot: str, kept: int, followers_max: int) -> None:
        self._boot = boot
        self._past = _Past(kept)
        self._followers: set[Subscription] = set()
        self._followers_max = followers_max

    def id_of(self, number: int) -> str:
        """The event id that a follower sends back as ``Last-Event-ID``."""
        return f"{self._boot}-{number}"

    @property
    def followers(self) -> int:
        """How many follow now."""
        return len(self._followers)

    def publish(self, effects: Effects) -> None:
        """Numbers a group's events and hands them to the followers."""
        events = effects.events
        if self._followers and events:
            fresh = [Numbered(number, event) for number, event in enumerate(events, self._past.last + 1)]
            for follower in self._followers:
                follower.put(fresh)
        for follower in self._followers if effects.news else ():
            follower.tell(effects.news)
        self._past.add(events)

    def subscribe(self, after: str | None, *, progress: Wanted | None = None) -> Subscription:
        """Follows from now on, or from the event after the one with id ``after``.

        Args:
            after: the id of the last event it has seen; None to begin now.
            progress: of which tasks it follows the progress too, from now on.

        Raises:
            Overloaded: too many follow already.
        """
        if len(self._followers) >= self._followers_max:
            raise Overloaded(f"{self._followers_max} clients follow the events already")
        past: list[Numbered] = []
        missed = False
        if after is not None:
            boot, _, number = after.rpartition("-")
            known = number.isascii() and number.isdigit() and len(number) <= 18
            seen = int(number) if boot == self._boot and known else -1
            missed = not self._past.knows(seen)
            if not missed:
                unseen = self._past.after(seen)
                past = [Numbered(number, event) for number, event in enumerate(unseen, seen + 1)]
        subscription = Subscription(missed=missed, past=past, wanted=progress)
        self._followers.add(subscription)
        return subscription

    def close(self) -> None:
        """Ends all subscriptions: whoever goes on following has to ask again."""
        for follower in self._followers:
            follower.end()

    def unsubscribe(self, subscription: Subscription) -> None:
        """Ends a subscription."""
        self._followers.discard(subscription)
