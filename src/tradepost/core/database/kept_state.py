"""The state of a database that is kept beside it, and put back while servers run: what load tests begin with again and again.

On SQLite a file beside the database's, written and put back by SQLite's own online backup: to the servers it is one transaction
of somebody else. On PostgreSQL a database beside it, ``<name>_seeded``, copied as a template: connections are ended for as long
as two databases take to change their names, and servers connect again by themselves. The copies are marked by a comment, so
that no other database of such a name is dropped or taken for one, and processes work on them in turn. Until it is marked
a copy has a name that nobody else gives.
"""

import asyncio
import hashlib
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any, Final

import asyncpg
from sqlalchemy import URL

from tradepost.core.database import occupancy, revisions
from tradepost.core.database.engines import Database
from tradepost.core.database.hosts import Hosts
from tradepost.core.database.locks import try_hold_name
from tradepost.core.errors import DatabaseUnavailable, RuleBroken

KEPT: Final = "seeded"
MAINTENANCE: Final = "postgres"
"""The database that is connected to for making and renaming others."""
PATIENCE: Final = 30.0
"""Seconds to wait for a writer on SQLite, and on PostgreSQL for somebody else who works on the copies."""
FILE_COPY: Final = 15
"""The first version of PostgreSQL that can be told to copy files rather than to write all of it into its log."""
NAME_BYTES: Final = 63
"""As many as a name may have in PostgreSQL."""
TRIES: Final = 20
"""Times that a database is tried to be renamed, should somebody have connected in between."""

WRITTEN: Final = "another process writes to the database and does not end"
TWO_AT_ONCE: Final = "somebody else keeps or puts back this database's state just now"


class NothingKept(RuleBroken):
    """No state is kept that could be put back; ``detail`` says what to do. Commands say it, and no answer does."""

    detail = "No state is kept to go back to; keep one: tradepost reset --keep"


async def keep(database: Database) -> None:
    """Keep the present state, in the place of the one that was kept before."""
    if database.is_sqlite:
        await asyncio.to_thread(_keep_file, Path(str(database.options.url.database)))
        return
    url = _direct(database)
    async with _maintenance(url) as connection:
        copies = _Copies(connection, url)
        await copies.drop(KEPT)
        async with _alone(connection, copies.live):
            await copies.make(KEPT, of=copies.live)


async def let_in(database: Database) -> None:
    """Let everybody connect again, should somebody have died who had kept them out."""
    if database.is_sqlite:
        return
    url = _direct(database)
    async with _maintenance(url) as connection:
        await _Copies(connection, url).recover()


async def put_back(database: Database) -> None:
    """Put the kept state back; ``NothingKept`` when there is none, or one of another schema."""
    if database.is_sqlite:
        await asyncio.to_thread(_put_file_back, Path(str(database.options.url.database)))
        return
    url = _direct(database)
    async with _maintenance(url) as connection:
        copies = _Copies(connection, url)
        await copies.recover()
        if not await copies.exists(KEPT):
            raise NothingKept
        _check_revision(await _revision(url))
        await copies.drop("new")
        await copies.drop("old")
        await copies.make("new", of=copies.name(KEPT))
        new, old = copies.name("new"), copies.name("old")
        async with _alone(connection, copies.live, renamed=old):
            await copies.mark(copies.live)
            await _renamed(connection, copies.live, old)
            try:
                await _renamed(connection, new, copies.live)
            except BaseException:
                await _renamed(connection, old, copies.live)
                raise
        await connection.execute(f'COMMENT ON DATABASE "{copies.live}" IS NULL')
        await copies.drop("old")


class _Copies:
    """The databases that are made beside one, under its name and a word."""

    def __init__(self, connection: Any, url: URL) -> None:
        self.live = str(url.database)
        self._connection = connection
        self._mark = f"made by tradepost reset beside {self.live}"
        digest = hashlib.sha256(self._mark.encode()).hexdigest()[:16]
        self._half_made = _beside_name(self.live, f"half_{digest}")

    def name(self, word: str) -> str:
        """Return the name of a copy."""
        return _beside_name(self.live, word)

    async def exists(self, word: str) -> bool:
        """Tell whether there is such a copy; ``RuleBroken`` when a database has its name that is none."""
        name = self.name(word)
        marks = "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = $1"
        found = await self._connection.fetch(marks, name)
        if found and found[0][0] != self._mark:
            raise RuleBroken(
                f"the database {name} is no copy that tradepost reset made of {self.live}; rename it, or drop it"
            )
        return bool(found)

    async def drop(self, word: str) -> None:
        """Drop a copy, if it is there."""
        if await self.exists(word):
            await self._connection.execute(f'DROP DATABASE "{self.name(word)}" WITH (FORCE)')

    async def make(self, word: str, *, of: str) -> None:
        """Copy a database that nobody is connected to, where no such copy is."""
        half = self._half_made
        await self._drop_half_made()
        await self._connection.execute(
            f'CREATE DATABASE "{half}" TEMPLATE "{of}"{_strategy(self._connection)}'
        )
        await self.mark(half)
        await _renamed(self._connection, half, self.name(word))

    async def _drop_half_made(self) -> None:
        """Drop what somebody made who died before it could be marked: its name says whose it is."""
        await self._connection.execute(f'DROP DATABASE IF EXISTS "{self._half_made}" WITH (FORCE)')

    async def mark(self, name: str) -> None:
        """Mark a database as one that may be dropped under the name of a copy."""
        mark = self._mark.replace("'", "''")
        await self._connection.execute(f"COMMENT ON DATABASE \"{name}\" IS '{mark}'")

    async def recover(self) -> None:
        """Give the database its name back and let everybody connect, should somebody have died who was at it alone.

        What that one left half made is dropped.
        """
        query = "SELECT datallowconn FROM pg_database WHERE datname = $1"
        is_open = await self._connection.fetchval(query, self.live)
        if is_open is None and await self.exists("old"):
            await _renamed(self._connection, self.name("old"), self.live)
            is_open = False
        if is_open is False:
            await self._connection.execute(f'ALTER DATABASE "{self.live}" ALLOW_CONNECTIONS true')
        if await self._mark_of(self.live) == self._mark:
            # Marked as a copy of the past, which it was about to be: under another name somebody might keep it.
            await self._connection.execute(f'COMMENT ON DATABASE "{self.live}" IS NULL')
        await self._drop_half_made()

    async def _mark_of(self, name: str) -> str | None:
        marks = "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = $1"
        return await self._connection.fetchval(marks, name)  # type: ignore[no-any-return]


def _direct(database: Database) -> URL:
    return database.options.direct_url or database.options.url


def _beside_name(name: str, word: str) -> str:
    if '"' in name:
        raise RuleBroken("a database whose name has quotation marks is not copied")
    # Of a longer name PostgreSQL would cut off the end, which says what it is.
    begin = name.encode()[: min(50, NAME_BYTES - len(f"_{word}"))].decode(errors="ignore")
    return f"{begin}_{word}"


def _strategy(connection: Any) -> str:
    return " STRATEGY FILE_COPY" if connection.get_server_version().major >= FILE_COPY else ""


async def _connected(url: URL, name: str) -> Any:
    wanted = url.set(database=name)
    _, arguments = wanted.get_dialect()().create_connect_args(wanted)
    return await Hosts().connect({**arguments, "command_timeout": 120})


@asynccontextmanager
async def _maintenance(url: URL) -> AsyncIterator[Any]:
    try:
        # Nobody can be kept out of the database that one is connected to oneself.
        connection = await _connected(url, "template1" if url.database == MAINTENANCE else MAINTENANCE)
    except (OSError, asyncpg.PostgresError) as error:
        raise DatabaseUnavailable from error
    try:
        await _wait_in_turn(connection, str(url.database))
        yield connection
    except asyncpg.InsufficientPrivilegeError as error:
        raise RuleBroken(f"the database's user may not do this: {error}") from error
    finally:
        await connection.close()


async def _wait_in_turn(connection: Any, name: str) -> None:
    """Wait for whoever works on the copies: somebody else, or the server for one who was killed."""
    loop = asyncio.get_running_loop()
    until = loop.time() + PATIENCE
    while not await try_hold_name(connection, name):
        if loop.time() > until:
            raise RuleBroken(TWO_AT_ONCE)
        await asyncio.sleep(0.1)


@asynccontextmanager
async def _alone(connection: Any, name: str, *, renamed: str | None = None) -> AsyncIterator[None]:
    """Have nobody connected to a database, and nobody connect, for the length of the block; ``renamed`` is its name then."""
    await connection.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false')
    try:
        await _end_others(connection, name)
        yield
    finally:
        for each in {name, renamed or name}:
            exists = await connection.fetchval("SELECT count(*) FROM pg_database WHERE datname = $1", each)
            if exists:
                await connection.execute(f'ALTER DATABASE "{each}" ALLOW_CONNECTIONS true')


async def _end_others(connection: Any, name: str) -> None:
    await connection.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1", name
    )


async def _renamed(connection: Any, name: str, new: str) -> None:
    for left in reversed(range(TRIES)):
        try:
            await connection.execute(f'ALTER DATABASE "{name}" RENAME TO "{new}"')
        except asyncpg.ObjectInUseError:
            if not left:
                raise
            # Somebody's connection is still ending.
            await _end_others(connection, name)
            await asyncio.sleep(0.05)
        else:
            return


async def _revision(url: URL) -> str | None:
    try:
        kept = await _connected(url, _beside_name(str(url.database), KEPT))
    except asyncpg.InvalidCatalogNameError as error:
        raise NothingKept from error
    except (OSError, asyncpg.PostgresError) as error:
        raise DatabaseUnavailable from error
    try:
        found: str | None = await kept.fetchval("SELECT version_num FROM alembic_version")
    except asyncpg.UndefinedTableError:
        return None
    finally:
        await kept.close()
    return found


def _check_revision(revision: str | None) -> None:
    if revision != revisions.head():
        raise NothingKept(
            "The state that is kept has another version's schema; seed anew, and keep that: tradepost reset --keep"
        )


def _beside(path: Path) -> Path:
    return path.with_name(f"{path.name}.{KEPT}")


def _refuse_busy(status: int, _left: int, _all: int) -> None:
    """Raise ``RuleBroken`` for a writer that was waited for in vain: Python would go on without end."""
    if status == sqlite3.SQLITE_BUSY:
        raise RuleBroken(WRITTEN)


def _keep_file(path: Path) -> None:
    half = path.with_name(f"{path.name}.half")
    try:
        with occupancy.alone(_beside(path)):
            half.unlink(missing_ok=True)
            with (
                closing(sqlite3.connect(path, timeout=PATIENCE)) as live,
                closing(sqlite3.connect(half)) as copy,
            ):
                live.backup(copy, progress=_refuse_busy)
            half.replace(_beside(path))
    except occupancy.DatabaseInUse as error:
        raise RuleBroken(TWO_AT_ONCE) from error


def _put_file_back(path: Path) -> None:
    if not _beside(path).exists():
        raise NothingKept
    with closing(sqlite3.connect(f"file:{_beside(path)}?mode=ro", uri=True)) as kept:
        try:
            (revision,) = kept.execute("SELECT version_num FROM alembic_version").fetchone()
        except sqlite3.Error as error:
            raise NothingKept from error
        _check_revision(revision)
        with closing(sqlite3.connect(path, timeout=PATIENCE)) as live:
            kept.backup(live, progress=_refuse_busy)
            live.execute("PRAGMA journal_mode = WAL")
