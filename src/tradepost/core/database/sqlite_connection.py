"""A connection to SQLite whose thread has ended when it is closed: it must not outlive its event loop."""

import asyncio
import sqlite3
from functools import partial
from typing import Any

import aiosqlite

from tradepost.core.finishing import finished


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
