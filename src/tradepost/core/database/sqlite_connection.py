"""A connection to SQLite that survives the deadline of a request, and whose thread has ended when it is closed.

A statement goes to that thread once: the way there and back costs more than most statements do.
"""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from functools import partial
from typing import Any, Final, Self, cast

import aiosqlite
from typing_extensions import override

from tradepost.core.database.short_way import Found, Step
from tradepost.core.deadlines import DeadlineExceeded, taken_back
from tradepost.core.finishing import finished

INTERRUPTION: Final = 0.02
"""Seconds from one interruption to the next: one that comes before its statement has begun is lost."""

ROWS_AT_ONCE: Final = 1_000
"""Rows that come back with their statement; a statement with fewer is done then."""


class SqliteCursor:
    """A cursor that is made, executed, read and closed in one visit to the connection's thread.

    What finds more rows than ``ROWS_AT_ONCE`` stays open, and hands the others out when it is asked for them.
    """

    arraysize = 1

    def __init__(self, connection: "SqliteConnection") -> None:
        self.description: Any = None
        self.rowcount = -1
        self.lastrowid: int | None = None
        self._connection = connection
        self._rows: list[Any] = []
        self._open: sqlite3.Cursor | None = None

    async def __aenter__(self) -> Self:
        return self

    async def execute(self, statement: str, parameters: Any = ()) -> None:
        """Execute a statement."""
        await self._connection._execute(self._run, sqlite3.Cursor.execute, statement, parameters)  # noqa: SLF001

    async def executemany(self, statement: str, parameters: Iterable[Any]) -> None:
        """Execute a statement once for each of these parameters."""
        await self._connection._execute(self._run, sqlite3.Cursor.executemany, statement, parameters)  # noqa: SLF001

    async def fetchone(self) -> Any:
        """Return the next row, or None."""
        rows = await self.fetchmany(1)
        return rows[0] if rows else None

    async def fetchmany(self, size: int | None = None) -> list[Any]:
        """Return the next rows, fewer than ``size`` only at the end."""
        wanted = self.arraysize if size is None else size
        if len(self._rows) < wanted:
            await self._read(max(wanted - len(self._rows), ROWS_AT_ONCE))
        rows, self._rows = self._rows[:wanted], self._rows[wanted:]
        return rows

    async def fetchall(self) -> list[Any]:
        """Return all rows that are left."""
        await self._read(-1)
        rows, self._rows = self._rows, []
        return rows

    async def __aiter__(self) -> AsyncIterator[Any]:
        while rows := await self.fetchmany(ROWS_AT_ONCE):
            for row in rows:
                yield row

    async def close(self) -> None:
        """Let go of the rows that are left."""
        self._rows = []
        if self._open is not None:
            cursor, self._open = self._open, None
            await self._connection._execute(cursor.close)  # noqa: SLF001

    async def _read(self, most: int) -> None:
        if self._open is not None:
            await self._connection._execute(self._take, self._open, most)  # noqa: SLF001

    def _run(self, execute: Callable[..., Any], statement: str, parameters: Any) -> None:
        if self._open is not None:
            self._open.close()
        self._rows = []
        self._connection._begin()  # noqa: SLF001
        cursor = self._connection._conn.cursor()  # noqa: SLF001
        try:
            execute(cursor, statement, parameters)
            self._take(cursor, ROWS_AT_ONCE)
        except BaseException:
            cursor.close()
            raise

    def _take(self, cursor: sqlite3.Cursor, most: int) -> None:
        if cursor.description is None:
            found = []
        else:
            found = cursor.fetchall() if most < 0 else cursor.fetchmany(most)
        self._rows += found
        self.description, self.rowcount, self.lastrowid = (
            cursor.description,
            cursor.rowcount,
            cursor.lastrowid,
        )
        if 0 <= most == len(found):
            self._open = cursor
        else:
            self._open = None
            cursor.close()


class SqliteConnection(aiosqlite.Connection):
    """A connection whose thread is stopped once, and whose end every caller of ``close`` waits for.

    aiosqlite's own can be stopped twice, by ``close`` and by a cancellation in it, and answers one of the two: the other
    waits for ever, and the end of its event loop with it.
    """

    def __init__(self, database: str, **arguments: Any) -> None:
        super().__init__(partial(sqlite3.connect, database, **arguments), iter_chunk_size=64)
        # Should nobody close it, it must not keep the process from ending.
        self._thread.daemon = True
        self._begins = False
        self._end: asyncio.Future[Any] | None = None

    def stop(self) -> "asyncio.Future[Any] | None":
        """Close it and end its thread after the statement under way; return a future that is done then."""
        if self._end is None:
            self._end = super().stop()
        return self._end

    @override
    def cursor(self) -> SqliteCursor:  # type: ignore[override] # SQLAlchemy awaits what it returns, not this
        return SqliteCursor(self)

    def begin(self) -> None:
        """Have the next statement begin a transaction that writes, on its own way to the thread."""
        self._begins = True

    @override
    async def commit(self) -> None:
        if self._begins:
            self._begins = False
        else:
            await super().commit()

    @override
    async def rollback(self) -> None:
        self._begins = False
        # Asked for before a connection goes back to its pool, mostly after a COMMIT.
        if self._conn.in_transaction:
            await super().rollback()

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

    async def read_all(self, text: str, values: Sequence[Any]) -> list[Any]:
        """Return what a statement finds, by one call in the thread."""

        def read() -> list[Any]:
            self._begin()
            return self._conn.execute(text, values).fetchall()

        rows: list[Any] = await self._execute(read)
        return rows

    async def take(self, steps: Sequence[Step]) -> list[Found]:
        """Execute statements one after the other, by one call in the thread, and return what each finds."""

        def take() -> list[Found]:
            self._begin()
            found: list[Found] = []
            for text, values in steps:
                given = values(found) if callable(values) else values
                execute = self._conn.executemany if isinstance(given, list) else self._conn.execute
                found.append(execute(text, given).fetchall())
            return found

        found: list[Found] = await self._execute(take)
        return found

    def _begin(self) -> None:
        if self._begins:
            # A transaction that reads before it writes must hold the lock from the start, or it fails instead of waiting.
            self._conn.execute("BEGIN IMMEDIATE")
            # Not before: where that fails, the next statement is still to be in a transaction.
            self._begins = False

    def is_closed(self) -> bool:
        """Tell whether it was closed."""
        return self._end is not None

    async def close(self) -> None:
        """Close it; a cancellation meanwhile is raised afterwards."""
        if (end := self.stop()) is not None:
            await finished(end)


async def connect_sqlite(database: str, **arguments: Any) -> SqliteConnection:
    """Open ``database`` with the arguments of ``sqlite3.connect``.

    When that fails or is cancelled, its thread has ended before the error is raised: it would answer an event loop that
    may be closed by then.
    """
    connection = SqliteConnection(database, **arguments)
    try:
        return cast("SqliteConnection", await finished(connection))
    except BaseException:
        await connection.close()
        raise
