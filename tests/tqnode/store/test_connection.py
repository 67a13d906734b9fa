from pathlib import Path
from typing import Any

import apsw

from tests.tqnode.nodes import Core, open_core


async def lifecycle(core: Core, name: str) -> None:
    """Statements with other parameters for each ``name``."""
    await core.enqueue(queue=name, kind=f"kind-{name}")
    (task,) = await core.claim(name, kinds=(f"kind-{name}",), worker=f"worker-{name}")
    await core.complete(task)
    core.clock.advance(1)
    await core.sweeper.sweep()


async def test_no_statement_is_compiled_again_because_its_parameters_have_changed(tmp_path: Path) -> None:
    compiled: list[tuple[Any, ...]] = []

    def follow(connection: apsw.Connection) -> None:
        # SQLite asks its authorizer while it compiles, and only then.
        def note(action: int, *what: Any) -> int:
            if action != apsw.SQLITE_PRAGMA:  # as a table, a pragma is compiled whenever it is read
                compiled.append(what)
            return apsw.SQLITE_OK

        connection.authorizer = note

    apsw.connection_hooks.append(follow)
    try:
        async with open_core(tmp_path / "tq.db") as core:
            await lifecycle(core, "a")
            assert compiled
            compiled.clear()
            await lifecycle(core, "b")
            await lifecycle(core, "c")
    finally:
        apsw.connection_hooks.remove(follow)
    assert not compiled
