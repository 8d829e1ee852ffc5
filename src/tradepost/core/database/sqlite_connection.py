"""A connection to SQLite that survives the deadline of a request, and whose thread has ended when it is closed."""

import asyncio
import sqlite3
from collections.abc import Callable
from functools import partial
from typing import Any, Final

import aiosqlite
from typing_extensions import override

from tradepost.core.deadlines import DeadlineExceeded, taken_back
from tradepost.core.finishing import finished

INTERRUPTION: Final = 0.02
"""Seconds from one interruption to the next: one that comes before its statement has begun is lost."""


class SqliteConnection(aiosqlite.Connection):
    """A connection whose thread is stopped once, and whose end every caller of ``close`` waits for.

    aiosqlite's own can be stopped twice, by ``close`` and by a cancellation in it, and answers one of the two: the other
    waits for ever, and the end of its event loop with it.
    """

    def __init__(self, database: str, **arguments: Any) -> None:
        super().__init__(partial(sqlite3.connect, database, **arguments), iter_chunk_size=64)
        # Should nobody close it, it must not keep the process from ending.
        self._thread.daemon = True
        self._end: asyncio.Future[Any] | None = None

    def stop(self) -> "asyncio.Future[Any] | None":
        """Close it and end its thread after the statement under way; return a future that is done then."""
        if self._end is None:
            self._end = super().stop()
        return self._end

    @override
    async def _execute(self, fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Call a function in the thread; the deadline of the task interrupts its statement, and leaves it open."""
        if not self._running or not self._connection:
            raise ValueError("Connection closed")
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        self._tx.put_nowait((future, partial(fn, *args, **kwargs)))
        try:
            return await future
        except asyncio.CancelledError:
            if not taken_back():
                raise
        # Its turn comes when the statement has ended.
        after = loop.create_future()
        self._tx.put_nowait((after, bool))
        while not after.done():
            self._conn.interrupt()
            await asyncio.wait([after], timeout=INTERRUPTION)
        raise DeadlineExceeded

    async def close(self) -> None:
        """Close it; a cancellation meanwhile is raised afterwards."""
        if (end := self.stop()) is not None:
            await finished(end)


async def connect_sqlite(database: str, **arguments: Any) -> aiosqlite.Connection:
    """Open ``database`` with the arguments of ``sqlite3.connect``.

    When that fails or is cancelled, its thread has ended before the error is raised: it would answer an event loop that
    may be closed by then.
    """
    connection = SqliteConnection(database, **arguments)
    try:
        return await finished(connection)
    except BaseException:
        await connection.close()
        raise
