"""A few threads that read, each with a connection of its own."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import apsw

from tqnode.sql import statement
from tqnode.store.connection import open_reader
from tqnode.store.tx import Params, Row

T = TypeVar("T")

_BEGIN = statement("begin_read")
_ROLLBACK = statement("rollback")


class Reader:
    """Reads in one snapshot.

    Args:
        connection: a read-only one, inside a transaction.
    """

    __slots__ = ("_connection",)

    def __init__(self, connection: apsw.Connection) -> None:
        self._connection = connection

    def all(self, sql: str, params: Params | None = None) -> list[Row]:
        """Every row of a statement."""
        return self._connection.execute(sql, params).fetchall()

    def each(self, sql: str, params: Params | None = None) -> Iterator[Row]:
        """A statement's rows one by one, so that the caller may stop before they are all in memory."""
        return self._connection.execute(sql, params)

    def one(self, sql: str, params: Params | None = None) -> Row | None:
        """The first row of a statement, None without one."""
        row: Row | None = self._connection.execute(sql, params).fetchone()
        return row


class Readers:
    """The pool.

    Args:
        path: the database file.
        threads: how many reads may run at once.
        checkpoints: as for :func:`~tqnode.store.connection.open_writer`.
    """

    def __init__(self, path: Path, *, threads: int, checkpoints: bool = True) -> None:
        self._path = path
        self._checkpoints = checkpoints
        self._local = threading.local()
        self._connections: list[apsw.Connection] = []
        self._pool = ThreadPoolExecutor(threads, "tqnode-reader", initializer=self._open)

    def _open(self) -> None:
        connection = open_reader(self._path, checkpoints=self._checkpoints)
        self._local.connection = connection
        self._connections.append(connection)

    async def read(self, operation: Callable[[Reader], T]) -> T:
        """Runs ``operation`` on a snapshot of what is committed."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._pool, self._snapshot, operation)

    def _snapshot(self, operation: Callable[[Reader], Any]) -> Any:
        connection: apsw.Connection = self._local.connection
        connection.execute(_BEGIN)
        try:
            return operation(Reader(connection))
        finally:
            connection.execute(_ROLLBACK)

    async def close(self) -> None:
        """Lets running reads end, then closes the connections."""
        await asyncio.to_thread(self._pool.shutdown)
        for connection in self._connections:
            connection.close()
