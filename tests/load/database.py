"""The database that all contestants share: a PostgreSQL cluster of its own or an SQLite file, filled by Tradepost."""

from __future__ import annotations

import asyncio
import os
import random
import sqlite3
import subprocess
import sys
import tempfile
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import asyncpg

from tests.load.processor_time import parent_of
from tests.servers import PostgresServer

if TYPE_CHECKING:
    from collections.abc import Iterator

DATABASE = "tradepost_load"
SEED = 42
SAMPLE = 10_000
"""So many different items are asked for; more would only make the generator's job description longer."""


def tradepost_command() -> str:
    """The `tradepost` that was installed with the interpreter at hand."""
    return str(Path(sys.executable).with_name("tradepost"))


def clean_environment() -> dict[str, str]:
    """What every process needs of the caller's environment: Tradepost's settings must not leak in from it."""
    return {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TZ") if name in os.environ}


@dataclass(frozen=True)
class Dataset:
    """A filled database, and what the workloads must know of its rows."""

    url: str
    postmaster: int | None
    """The process above every process of the cluster; None for SQLite, which works in the server's own."""
    version: str
    items: int
    item_ids: list[int]
    """Active items, in an order that is random and the same in every run."""
    emails: list[str]
    """Active people, lowest id first, without the superuser of the first migration."""
    tags: list[str]
    titles: list[str]
    """Of some active items."""
    owned: list[tuple[int, str]]
    """Active items of these people, each with its owner's address."""

    def maintain(self) -> None:
        """Vacuum, analyze and checkpoint, so that no contestant pays for what another left behind."""
        if self.is_sqlite:
            with closing(sqlite3.connect(_path_in(self.url))) as connection:
                connection.execute("ANALYZE")
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        else:
            asyncio.run(_maintain(self.url))

    @property
    def is_sqlite(self) -> bool:
        """Whether it is a file."""
        return self.url.startswith("sqlite:")

    @property
    def engine(self) -> str:
        """Its name, with the version."""
        return f"{'SQLite' if self.is_sqlite else 'PostgreSQL'} {self.version}"


@contextmanager
def filled_database(
    *, items: int, users: int, secret: str, durable: bool, sqlite: bool = False
) -> Iterator[Dataset]:
    """A database with `items` items and `users` people, for the length of the block; SQLite is always durable."""
    with ExitStack() as stack:
        directory = stack.enter_context(tempfile.TemporaryDirectory(dir=Path.cwd() if sqlite else None))
        if sqlite:
            url = f"sqlite:///{directory}/load.db"
        else:
            server = stack.enter_context(PostgresServer.running(durable=durable))
            url = asyncio.run(_create(server))
            stack.callback(lambda: asyncio.run(server.drop_database(DATABASE)))
        environment = clean_environment() | {"DATABASE_URL": url, "SECRET_KEY": secret, "DATA_DIR": directory}
        seeding = ["seed", "--seed", str(SEED), "--users", str(users), "--items", str(items)]
        for arguments in (["migrate"], seeding):
            # In a directory without `.env`; standard output belongs to the bench's tables.
            subprocess.run(
                [tradepost_command(), *arguments],
                env=environment,
                cwd=directory,
                check=True,
                stdout=sys.stderr,
            )
        yield _inspect_sqlite(url) if sqlite else asyncio.run(_inspect(url))


def _path_in(url: str) -> str:
    return url.removeprefix("sqlite:///")


ACTIVE = "SELECT id FROM items WHERE status = 'active' ORDER BY id"
PEOPLE = "SELECT email FROM users WHERE is_active AND role = 'user' ORDER BY id LIMIT 100"
TAGS = "SELECT name FROM tags ORDER BY id LIMIT 100"
OWNED = f"""
SELECT i.id, p.email FROM items i JOIN users u ON u.id = i.owner_id JOIN ({PEOPLE}) p ON p.email = u.email
WHERE i.status = 'active' ORDER BY i.id
"""  # noqa: S608 - put together from constants
TITLES = "SELECT title FROM items WHERE status = 'active' ORDER BY id LIMIT 100"


def _inspect_sqlite(url: str) -> Dataset:
    with closing(sqlite3.connect(_path_in(url))) as connection:
        active, people, tags, titles, counted = (
            [row[0] for row in connection.execute(statement)]
            for statement in (ACTIVE, PEOPLE, TAGS, TITLES, "SELECT count(*) FROM items")
        )
        owned = connection.execute(OWNED).fetchall()
    dataset = Dataset(
        url=url,
        postmaster=None,
        version=sqlite3.sqlite_version,
        items=counted[0],
        item_ids=_sample(active),
        emails=people,
        tags=tags,
        titles=titles,
        owned=owned,
    )
    dataset.maintain()
    return dataset


def _sample(item_ids: list[int]) -> list[int]:
    return random.Random(SEED).sample(item_ids, min(SAMPLE, len(item_ids)))


async def _create(server: PostgresServer) -> str:
    await server.drop_database(DATABASE)
    return await server.create_database(DATABASE)


async def _inspect(url: str) -> Dataset:
    await _maintain(url)
    connection = await asyncpg.connect(url)
    try:
        active, people, tags, titles = [
            await connection.fetch(statement) for statement in (ACTIVE, PEOPLE, TAGS, TITLES)
        ]
        backend: int = await connection.fetchval("SELECT pg_backend_pid()")
        return Dataset(
            url=url,
            postmaster=parent_of(backend),
            version=await connection.fetchval("SHOW server_version"),
            items=await connection.fetchval("SELECT count(*) FROM items"),
            item_ids=_sample([row[0] for row in active]),
            emails=[row[0] for row in people],
            tags=[row[0] for row in tags],
            titles=[row[0] for row in titles],
            owned=[(row[0], row[1]) for row in await connection.fetch(OWNED)],
        )
    finally:
        await connection.close()


async def _maintain(url: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute("VACUUM ANALYZE")
        await connection.execute("CHECKPOINT")
    finally:
        await connection.close()
