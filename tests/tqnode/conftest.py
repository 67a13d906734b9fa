"""Fixtures of the node's core."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.tqnode.nodes import Core, FakeClock, open_core


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def core(tmp_path: Path, clock: FakeClock) -> AsyncIterator[Core]:
    """A node's core on an empty database; at the end its tallies must agree with its tasks."""
    async with open_core(tmp_path / "tq.db", clock=clock) as core:
        yield core
        assert not core.fatal
        assert not await core.drift()
