import subprocess
import sys
from pathlib import Path
from typing import Any

import apsw

from tests.source_tree import ROOT
from tests.tqnode.nodes import Core, open_core
from tqnode.store.connection import open_reader, open_writer


def wal_after_closing(path: Path, *, checkpoints: bool) -> int:
    """Bytes in the write-ahead log when writer and reader are closed."""
    writer = open_writer(path, checkpoints=checkpoints)
    writer.execute("CREATE TABLE t (a)")
    reader = open_reader(path, checkpoints=checkpoints)
    for _ in range(20):
        with writer:
            writer.executemany("INSERT INTO t VALUES (zeroblob(?))", [(4096,)] * 500)
    reader.execute("SELECT count(*) FROM t").fetchall()
    writer.close()
    reader.close()
    wal = path.with_name(f"{path.name}-wal")
    return wal.stat().st_size if wal.exists() else 0


def test_nobody_but_litestream_makes_checkpoints_where_it_does(tmp_path: Path) -> None:
    # Each page once, and none of them moved into the file: neither on the way nor when the last one closes.
    assert wal_after_closing(tmp_path / "followed.db", checkpoints=False) > 10_000 * 4096
    assert wal_after_closing(tmp_path / "alone.db", checkpoints=True) < 10_000 * 4096


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


def test_a_disk_without_room_for_the_index_of_the_log_is_full_and_has_not_failed(tmp_path: Path) -> None:
    on_a_small_disk = 'mount -t tmpfs -o size=1m none "$0" && exec "$@" "$0"'
    command = ["unshare", "--mount", "--map-root-user", "sh", "-c", on_a_small_disk, str(tmp_path)]
    command += [sys.executable, "-m", "tests.tqnode.store.full_disk_process"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100, check=False)
    *before, last = done.stdout.split() or [done.stderr]
    assert ({*before}, last) == ({"full"}, "open")
