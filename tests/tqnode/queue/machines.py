"""State machines over a node's core on a real file: what all of them begin and end with."""

import asyncio
import tempfile
from collections.abc import Awaitable
from contextlib import AbstractAsyncContextManager, ExitStack
from pathlib import Path
from typing import Any, TypeVar
from unittest.mock import patch

from hypothesis.stateful import RuleBasedStateMachine

from tests.tqnode.nodes import Core, open_core

T = TypeVar("T")


class CoreMachine(RuleBasedStateMachine):
    """Opens a core in :meth:`start`, which each machine calls first, and closes it in the end."""

    core: Core

    def __init__(self) -> None:
        super().__init__()
        self._undo = ExitStack()
        self._folder = Path(self._undo.enter_context(tempfile.TemporaryDirectory(prefix="tqnode-machine-")))
        self._runner = self._undo.enter_context(asyncio.Runner())
        # None where the values that a machine begins with could not be drawn.
        self._opened: AbstractAsyncContextManager[Core] | None = None

    def start(self, **settings: Any) -> None:
        """Opens the core; ``settings`` as of ``open_core``. What an earlier one left is there."""
        opened = open_core(self._folder / "tq.db", **settings)
        self.core = self.run(opened.__aenter__())
        self._opened = opened

    def stop(self) -> None:
        """Closes the core."""
        assert self._opened is not None
        opened, self._opened = self._opened, None
        self.run(opened.__aexit__(None, None, None))

    def patch(self, target: str, value: object) -> None:
        """Puts a value in the place of another until the end."""
        self._undo.enter_context(patch(target, value))

    def run(self, work: Awaitable[T]) -> T:
        """What comes of some work on the event loop."""

        async def wait() -> T:
            return await work

        return self._runner.run(wait())

    def teardown(self) -> None:
        with self._undo:
            if self._opened is not None:
                self.stop()
