"""Connections to SQLite that are over when they are closed: each is a thread, and must not outlive its event loop."""

import asyncio
import sqlite3
from functools import partial
from typing import Any

import aiosqlite

from tradepost.core.finishing import finished


class SqliteConnection(aiosqlite.Connection):
    """A connection whose thread is told to end once, and whose end is waited for.

    aiosqlite's own can be told twice, by who closes it and by who is cancelled in that, and answers one of them: the other
    waits for ever, and the end of its event loop with it.
    """

    def __init__(self, database: str, **arguments: Any) -> None:
        super().__init__(partial(sqlite3.connect, database, **arguments), iter_chunk_size=64)
        # Should it be forgotten all the same, it must not keep the process from its end.
        self._thread.daemon = True
        self._end: asyncio.Future[Any] | None = None

    def stop(self) -> "asyncio.Future[Any] | None":
        """Have it closed, and its thread end, after what that is at; return what is done then."""
        if self._end is None:
            self._end = super().stop()
        return self._end

    async def close(self) -> None:
        """Close it; who is cancelled meanwhile hears of that afterwards."""
        if (end := self.stop()) is not None:
            await finished(end)


async def connect_sqlite(database: str, **arguments: Any) -> aiosqlite.Connection:
    """Open ``database`` with the arguments of ``sqlite3.connect``.

    When that fails, or nobody waits for it any more, its thread has ended before that is raised: it would answer an event
    loop that may be closed by then.
    """
    connection = SqliteConnection(database, **arguments)
    try:
        return await finished(connection)
    except BaseException:
        await connection.close()
        raise
