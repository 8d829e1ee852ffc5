"""Processes and their database in a simulated loop: SQLite in memory, whose every statement is a turn of the loop.

The statements are the real ones, and one connection runs them all, a transaction at a time. A host that is killed, or a
database that is away, makes statements fail; a commit that fails may have happened.
"""

import asyncio
import sqlite3
from collections.abc import Callable, Generator
from contextlib import suppress
from contextvars import ContextVar
from typing import Any, Final

import aiosqlite
from pydantic_core import from_json
from sqlalchemy import NullPool, event, text
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from typing_extensions import override

from tests.simulation.loop import SimulatedLoop, play
from tradepost.core.database.engines import Database, Room
from tradepost.core.database.gate import Gate

LATENCY: Final = 0.004
"""Seconds of a statement at most."""


class Host:
    """What runs on one machine: whatever is started while it is ``here``."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.is_dead = False

    def __str__(self) -> str:
        return self.name


here: ContextVar[Host] = ContextVar("here")


class Server:
    """The database of a schedule."""

    def __init__(self, loop: SimulatedLoop, *, places: int = 1) -> None:
        self.loop = loop
        self.is_away = False
        self.raw = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        # More than one is for reads: transactions have but the one connection.
        self.gate = Gate(places, 60.0)

    async def reached(self, what: str) -> None:
        """Wait until a statement or a commit has come to the database, if it does."""
        chance = self.loop.chance
        await asyncio.sleep(chance.uniform(0, LATENCY))
        if not (self.is_away or here.get().is_dead):
            return
        if self.raw.in_transaction:
            # It may have come, and its answer may not.
            end = self.raw.commit if what == "commit" and chance.random() < 0.5 else self.raw.rollback
            end()
        error = sqlite3.OperationalError("the database is away")
        error.sqlite_errorcode = sqlite3.SQLITE_IOERR
        raise error


_server: ContextVar[Server] = ContextVar("server")


class _Connection(aiosqlite.Connection):
    """A connection without a thread: all of a schedule are the same in the end."""

    def __init__(self) -> None:
        self._server = _server.get()
        super().__init__(lambda: self._server.raw, iter_chunk_size=64)
        self._connection = self._server.raw

    def __await__(self) -> Generator[Any, None, "_Connection"]:
        return self._opened().__await__()

    async def _opened(self) -> "_Connection":
        return self

    @override
    async def _execute(self, fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        if fn.__name__ in {"execute", "executemany", "commit"}:
            await self._server.reached(fn.__name__)
        return fn(*args, **kwargs)

    def is_closed(self) -> bool:
        """Tell whether it was given up."""
        return self._connection is None

    def stop(self) -> None:
        """Give it up, and what it has not committed."""
        if self._connection is not None and self._connection.in_transaction:
            self._connection.rollback()
        self._connection = None

    @override
    async def close(self) -> None:
        self.stop()


async def _connected(_database: str, **_arguments: Any) -> aiosqlite.Connection:
    return await _Connection()


def _engine() -> AsyncEngine:
    return create_async_engine(
        "sqlite+aiosqlite://",
        poolclass=NullPool,
        json_deserializer=from_json,
        connect_args={"async_creator_fn": _connected},
    )


# For all schedules: they have no state but their memory of how statements are compiled.
_writing: Final = _engine()
_reading: Final = _engine()


@event.listens_for(_writing.sync_engine, "begin")
def _begin(connection: Any) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")


class SimulatedDatabase(Database):
    """The database of whoever is ``here``; closing it is not needed."""

    def __init__(self, server: Server) -> None:
        _server.set(server)
        self.room = Room()
        self.is_sqlite = True
        self.engine = _writing
        self.read_engine = _reading
        self.write_gate = self.read_gate = server.gate
        # It has no driver that could be asked.
        self._executions = None
        self.sessions_rest = True


def introduce() -> None:
    """Have SQLAlchemy come to know the database: the first schedule would have statements that others have not."""

    async def scene(loop: SimulatedLoop) -> None:
        here.set(Host("first"))
        database = SimulatedDatabase(Server(loop))
        for opened in (database.transaction(), database.read()):
            async with opened as db:
                await db.execute(text("SELECT 1"))

    play(0, scene)


def end(task: "asyncio.Task[Any]") -> "asyncio.Future[Any]":
    """Cancel a task, and return what waits for its end."""
    task.cancel()

    async def ended() -> None:
        with suppress(asyncio.CancelledError):
            await task

    return asyncio.ensure_future(ended())
