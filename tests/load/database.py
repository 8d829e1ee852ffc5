"""The database that all contestants share: a cluster of its own, migrated and filled by Tradepost's commands."""

from __future__ import annotations

import asyncio
import os
import random
import subprocess
import sys
import tempfile
from contextlib import contextmanager
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
    postmaster: int
    """The process above every process of the cluster."""
    version: str
    items: int
    item_ids: list[int]
    """Active items, in an order that is random and the same in every run."""
    emails: list[str]
    """Active people, lowest id first, without the superuser of the first migration."""
    tags: list[str]

    def maintain(self) -> None:
        """Vacuum, analyze and checkpoint, so that no contestant pays for what another left behind."""
        asyncio.run(_maintain(self.url))


@contextmanager
def filled_database(*, items: int, users: int, secret: str, durable: bool) -> Iterator[Dataset]:
    """A database with `items` items and `users` people, for the length of the block."""
    with PostgresServer.running(durable=durable) as server, tempfile.TemporaryDirectory() as directory:
        url = asyncio.run(_create(server))
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
        try:
            yield asyncio.run(_inspect(url))
        finally:
            asyncio.run(server.drop_database(DATABASE))


async def _create(server: PostgresServer) -> str:
    await server.drop_database(DATABASE)
    return await server.create_database(DATABASE)


async def _inspect(url: str) -> Dataset:
    await _maintain(url)
    connection = await asyncpg.connect(url)
    try:
        active = await connection.fetch("SELECT id FROM items WHERE status = 'active' ORDER BY id")
        people = await connection.fetch(
            "SELECT email FROM users WHERE is_active AND role = 'user' ORDER BY id LIMIT 100"
        )
        tags = await connection.fetch("SELECT name FROM tags ORDER BY id LIMIT 100")
        backend: int = await connection.fetchval("SELECT pg_backend_pid()")
        return Dataset(
            url=url,
            postmaster=parent_of(backend),
            version=await connection.fetchval("SHOW server_version"),
            items=await connection.fetchval("SELECT count(*) FROM items"),
            item_ids=random.Random(SEED).sample([row[0] for row in active], min(SAMPLE, len(active))),
            emails=[row[0] for row in people],
            tags=[row[0] for row in tags],
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
