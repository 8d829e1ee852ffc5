"""Schema migrations: run by one process at a time, each revision committed by itself, and skipped fast at the newest.

``online`` has what a revision does outside of its transaction, ``migration_lock`` how processes wait for each other.
"""

from collections.abc import Callable, Collection, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import alembic.command
import structlog
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.runtime.migration import MigrationInfo
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from tradepost.core.database.engines import Database
from tradepost.core.database.migration_lock import only_migrator
from tradepost.core.database.online import begin_part, end_part, end_revision, patiently

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
    """Bring the database to ``revision``; tell whether this call did anything: of several at once, one does.

    A database that a newer version has migrated is left as it is. Each revision is committed by itself: a process that is
    killed leaves the database at one of them, and the next goes on from there.
    """
    if revision == "head":
        found = await current(database)
        if is_newer(found):
            log.warning("the database was migrated by a newer version", revision=found, ours=head())
        if suits(found):
            return False
    async with only_migrator(database) as connection:

        def work(bound: Connection) -> bool:
            before = MigrationContext.configure(bound).get_current_revision()
            bound.rollback()
            if revision == "head" and suits(before):
                return False
            patiently(
                bound,
                lambda: _in_revisions(bound, lambda: alembic.command.upgrade(configuration(bound), revision)),
            )
            return True

        return await connection.run_sync(work)


async def downgrade(database: Database, revision: str) -> None:
    """Take the database back to ``revision``; ``base`` is the empty one."""
    async with only_migrator(database) as connection:
        await connection.run_sync(
            lambda bound: _in_revisions(
                bound, lambda: alembic.command.downgrade(configuration(bound), revision)
            )
        )


async def exclusively(database: Database, work: Callable[[Connection], object]) -> None:
    """Run ``work`` in one transaction that no other migration runs beside."""
    async with only_migrator(database) as connection:
        await connection.run_sync(lambda bound: _in_revisions(bound, lambda: work(bound)))


def _in_revisions(connection: Connection, work: Callable[[], object]) -> None:
    """Run ``work`` in a transaction, which the end of each revision commits and begins anew (see ``revision_done``)."""
    begin_part(connection)
    try:
        work()
        end_part(connection)
    except BaseException:
        if not connection.invalidated:
            connection.rollback()
        raise


def revision_done(
    ctx: MigrationContext,
    step: MigrationInfo,  # noqa: ARG001 - Alembic names all four
    heads: Collection[Any],  # noqa: ARG001
    run_args: Mapping[str, Any],  # noqa: ARG001
) -> None:
    """Commit a revision with its number: what Alembic calls after each."""
    if ctx.connection is not None:
        end_revision(ctx.connection)
        begin_part(ctx.connection)
