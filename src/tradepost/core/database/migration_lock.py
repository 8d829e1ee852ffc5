"""The migrators' mutex: one process migrates at a time, and those that wait for it hold no transaction open.

It is held by a connection, not by a transaction: a migration takes many. A waiter asks again and again, because CREATE INDEX
CONCURRENTLY waits for every transaction that is older than itself, and a waiter inside one would wait for it in turn.
"""

import asyncio
import fcntl
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Final

import structlog
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from tradepost.core.database.engines import Database
from tradepost.core.database.locks import let_go_of_advisory, try_hold_advisory
from tradepost.core.errors import DatabaseUnavailable

PATIENCE: Final = 3600.0
"""Seconds for which a migrator waits for another: as long as a large database may take."""
POLL: Final = 0.2
"""Seconds between two looks at whether the other one is done."""
TELL: Final = 10.0
"""Seconds between two lines in the log that tell of the wait."""
LOCK_TIMEOUT: Final = "500ms"
"""How long a migration waits for a table: whoever comes after it queues up behind it, readers and writers alike."""
SQLITE_PATIENCE: Final = 120
"""Seconds for which a migration of SQLite waits for other transactions, each of which is short."""

log = structlog.get_logger(__name__)


@asynccontextmanager
async def only_migrator(database: Database) -> AsyncIterator[AsyncConnection]:
    """Wait until no other process migrates, and hand out a connection that is prepared for migrations.

    Nothing is open on it. The lock ends with the block, and with the connection at the latest: a killed migrator's is free.
    """
    if database.is_sqlite:
        async with (
            _directory_lock(Path(str(database.options.url.database)).parent),
            database.engine.connect() as connection,
            _prepared_sqlite(database, connection),
        ):
            yield connection
        return
    async with database.direct_connection() as connection:
        try:
            await _set(connection, "SET statement_timeout = 0", f"SET lock_timeout = '{LOCK_TIMEOUT}'")
            await _wait_until(lambda: try_hold_advisory(connection, "migrations"))
            yield connection
            await let_go_of_advisory(connection, "migrations")
            await _set(connection, "RESET statement_timeout", "RESET lock_timeout")
        except BaseException:
            # The lock is the connection's: closed, it holds none.
            await connection.invalidate()
            raise


async def _set(connection: AsyncConnection, *commands: str) -> None:
    """Change settings of the connection for longer than a transaction."""
    async with connection.begin():
        for command in commands:
            await connection.execute(text(command))


@asynccontextmanager
async def _prepared_sqlite(database: Database, connection: AsyncConnection) -> AsyncIterator[None]:
    raw: Any = (await connection.get_raw_connection()).driver_connection
    # Inside a transaction this statement does nothing, and rebuilding a parent table would then cascade its children
    # away: so it goes to the driver, before BEGIN.
    await raw.execute("PRAGMA foreign_keys = OFF")
    # Without this the rebuilt table could not take its name back while a trigger of another table speaks of it.
    await raw.execute("PRAGMA legacy_alter_table = ON")
    await raw.execute(f"PRAGMA busy_timeout = {SQLITE_PATIENCE * 1000}")
    try:
        yield
    finally:
        await raw.execute("PRAGMA legacy_alter_table = OFF")
        await raw.execute("PRAGMA foreign_keys = ON")
        await raw.execute(f"PRAGMA busy_timeout = {int(database.options.pool_timeout * 1000)}")


@asynccontextmanager
async def _directory_lock(directory: Path) -> AsyncIterator[None]:
    """Lock the directory of a file of SQLite, never the file: closing it would end SQLite's own locks of this process."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_CLOEXEC)
    try:

        async def try_hold() -> bool:
            with suppress(BlockingIOError):
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return True
            return False

        await _wait_until(try_hold)
        yield
    finally:
        os.close(descriptor)


async def _wait_until(is_free: Callable[[], Awaitable[bool]]) -> None:
    """Ask until the answer is yes, tell of the wait in the log, and give up in the end."""
    time = asyncio.get_running_loop().time
    since = tell_at = time()
    while not await is_free():
        waited = time() - since
        if waited > PATIENCE:
            raise DatabaseUnavailable(f"Another process has been migrating for over {PATIENCE:.0f} seconds")
        if time() >= tell_at:
            tell_at += TELL
            log.info("waiting for another process, which migrates the database", seconds=round(waited))
        await asyncio.sleep(POLL)
