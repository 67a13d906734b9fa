"""Waits that end early: because the client has gone away, or because the node drains."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, MutableMapping
from typing import Any, TypeVar

from tqnode.errors import Draining

T = TypeVar("T")
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]


class ClientGone(Exception):
    """The client has closed its connection: nobody reads an answer."""


class Waiting:
    """All the calls that wait now.

    Args:
        draining: set when the node stops; ends every wait.
    """

    def __init__(self, draining: asyncio.Event) -> None:
        self._draining = draining
        self._waits: set[_Wait] = set()
        self._ender: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        return len(self._waits)

    async def run(
        self,
        work: Coroutine[Any, Any, T],
        receive: Receive,
        *,
        gone: Callable[[], bool] = bool,
        unwanted: Callable[[T], Awaitable[None]] | None = None,
    ) -> T:
        """Runs ``work`` for a client whose request has been read; cancels it if it is not wanted any more.

        Args:
            work: what to run.
            receive: tells that the client has gone.
            gone: whether the client has gone already, though ``receive`` has still to tell it.
            unwanted: gets the result if the client went away in the moment it came. If it did not, an
                answer that is written before the next ``await`` is one it can still read.

        Raises:
            ClientGone: the client went away first.
            Draining: the node began to drain first.
        """
        if self._draining.is_set():
            work.close()
            raise Draining("the node is stopping")
        if self._ender is None:
            self._ender = asyncio.get_running_loop().create_task(self._end_all())
        wait = _Wait()
        self._waits.add(wait)
        try:
            return await wait.run(work, receive, gone, unwanted)
        finally:
            self._waits.discard(wait)

    async def _end_all(self) -> None:
        await self._draining.wait()
        for wait in list(self._waits):
            wait.end(Draining("the node is stopping"))

    async def close(self) -> None:
        """Stops watching for the drain."""
        if self._ender is not None:
            self._ender.cancel()
            await asyncio.wait([self._ender])
            self._ender = None


class _Wait:
    """One call's wait, and why it ended if it was ended."""

    __slots__ = ("_cause", "_over", "_task")

    def __init__(self) -> None:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a wait needs a task to end")
        self._task = task
        self._cause: Exception | None = None
        self._over = False

    def end(self, cause: Exception) -> None:
        """Has :meth:`run` raise ``cause``, unless the work is over already."""
        if self._cause is None and not self._over:
            self._cause = cause
            self._task.cancel()

    async def run(
        self,
        work: Coroutine[Any, Any, T],
        receive: Receive,
        gone: Callable[[], bool],
        unwanted: Callable[[T], Awaitable[None]] | None,
    ) -> T:
        """Runs ``work`` until it is done, the client is gone, or :meth:`end` is called."""
        listener = asyncio.get_running_loop().create_task(_gone(receive))
        listener.add_done_callback(self._on_gone)
        try:
            result = await work
        except asyncio.CancelledError:
            if self._cause is not None and self._task.uncancel() == 0:
                raise self._cause from None
            raise
        finally:
            # A callback that is scheduled already would still come: it must not cancel what follows.
            self._over = True
            listener.cancel()
        if unwanted is not None and (listener.done() or gone()):
            await unwanted(result)
            raise ClientGone
        return result

    def _on_gone(self, listener: "asyncio.Task[None]") -> None:
        if not listener.cancelled():
            self.end(ClientGone())


async def _gone(receive: Receive) -> None:
    """Returns once the client has closed its connection."""
    while (await receive())["type"] != "http.disconnect":
        pass
