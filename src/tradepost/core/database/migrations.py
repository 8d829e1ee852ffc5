"""Schema migrations: run by one process at a time, in one transaction, and skipped fast at the newest revision."""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Final

import alembic.command
import structlog
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect, text

from tradepost.core.database.engines import Database
from tradepost.core.database.locks import lock_advisory

LOCK_TIMEOUT: Final = "10s"
"""How long a migration waits for the lock of a table; longer, and every statement would queue up behind it."""

MIGRATION_WAIT: Final = 120
"""Seconds for which a migration of SQLite waits for another process's."""

log = structlog.get_logger(__name__)


@cache
def script_location() -> Path:
    """Return the directory of the migrations: of the checkout this code runs in, else the wheel's own copy.

    Never one of the working directory, which may be anybody's.
    """
    package = Path(__file__).parents[2]
    for directory in (package.parents[1] / "migrations", package / "migrations"):
        if (directory / "env.py").is_file() and directory.parent.name != "site-packages":
            return directory
    message = "the migrations are neither beside src/ nor in the package"
    raise FileNotFoundError(message)


def configuration(connection: Connection | None = None) -> Config:
    """Return Alembic's configuration, bound to ``connection`` if one is given."""
    config = Config()
    config.set_main_option("script_location", str(script_location()).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.set_main_option("file_template", "%%(rev)s_%%(slug)s")
    if connection is not None:
        config.attributes["connection"] = connection
    return config


@cache
def head() -> str | None:
    """Return the newest revision that this code knows."""
    return ScriptDirectory.from_config(configuration()).get_current_head()


@cache
def _known() -> frozenset[str]:
    """Return every revision of this code's history."""
    return frozenset(
        script.revision for script in ScriptDirectory.from_config(configuration()).walk_revisions()
    )


def is_newer(revision: str | None) -> bool:
    """Tell whether a database at ``revision`` was migrated by a newer version than this: it is not in this history."""
    return revision is not None and revision not in _known()


def suits(revision: str | None) -> bool:
    """Tell whether this code can work on a database at ``revision``: at the head, or past it.

    While replicas are replaced one by one the first new one migrates, and the old ones must go on serving.
    """
    return revision == head() or is_newer(revision)


async def current(database: Database) -> str | None:
    """Return the revision that the database is at, None before the first."""
    async with database.read() as db:
        connection = await db.connection()
        return await connection.run_sync(
            lambda bound: MigrationContext.configure(bound).get_current_revision()
        )


async def upgrade(database: Database, revision: str = "head") -> bool:
    """Bring the database to ``revision``; tell whether there was anything to do.

    A database that a newer version has migrated is left as it is.
    """
    if revision == "head":
        found = await current(database)
        if is_newer(found):
            log.warning("the database was migrated by a newer version", revision=found, ours=head())
        if suits(found):
            return False
    await exclusively(
        database, lambda connection: alembic.command.upgrade(configuration(connection), revision)
    )
    return True


async def downgrade(database: Database, revision: str) -> None:
    """Take the database back to ``revision``; ``base`` is the empty one."""
    await exclusively(
        database, lambda connection: alembic.command.downgrade(configuration(connection), revision)
    )


async def exclusively(database: Database, work: Callable[[Connection], object]) -> None:
    """Run ``work`` in one transaction that no other migration runs beside."""
    async with database.engine.connect() as connection:
        if database.is_sqlite:
            raw = (await connection.get_raw_connection()).driver_connection
            # Inside a transaction this statement does nothing, and rebuilding a parent table would then cascade its
            # children away: so it goes to the driver, before BEGIN.
            await raw.execute("PRAGMA foreign_keys = OFF")  # type: ignore[union-attr]
            # Another process's migration may take longer than any transaction of the API may, on a busy machine above all.
            await raw.execute(f"PRAGMA busy_timeout = {MIGRATION_WAIT * 1000}")  # type: ignore[union-attr]
            try:
                async with connection.begin():
                    await connection.run_sync(_keeping_sequences, work)
                    if (await connection.execute(text("PRAGMA foreign_key_check"))).first() is not None:
                        message = "the migration left rows that refer to nothing; it was taken back"
                        raise RuntimeError(message)
            finally:
                await raw.execute("PRAGMA foreign_keys = ON")  # type: ignore[union-attr]
                patience = int(database.options.pool_timeout * 1000)
                await raw.execute(f"PRAGMA busy_timeout = {patience}")  # type: ignore[union-attr]
            return
        async with connection.begin():
            # Waiting for another replica's migration may take longer than any statement of the API may.
            await connection.execute(text("SET LOCAL statement_timeout = 0"))
            await lock_advisory(connection, "migrations")
            await connection.execute(text(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'"))
            await connection.run_sync(work)


def _keeping_sequences(connection: Connection, work: Callable[[Connection], object]) -> None:
    """Run ``work`` on SQLite; a table that it rebuilds must not hand out the ids of deleted rows again."""
    tables = inspect(connection).get_table_names()
    given = connection.execute(text("SELECT name, seq FROM sqlite_sequence")).all() if tables else []
    work(connection)
    for name, sequence in given:
        connection.execute(
            text("UPDATE sqlite_sequence SET seq = max(seq, :sequence) WHERE name = :name"),
            {"name": name, "sequence": sequence},
        )
