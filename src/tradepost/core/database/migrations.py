"""Schema migrations: run by one process at a time, each revision committed by itself, and skipped fast at the newest.

Only who migrates imports this, and with it Alembic: ``revisions`` tells everybody else what they ask. ``online`` has what a revision does outside of its transaction, ``migration_lock`` how processes wait for each other.
"""

from collections.abc import Callable, Collection, Mapping
from typing import Any

import alembic.command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.runtime.migration import MigrationInfo
from alembic.util import CommandError
from sqlalchemy import Connection

from tradepost.core.database import revisions
from tradepost.core.database.engines import Database
from tradepost.core.database.migration_lock import only_migrator
from tradepost.core.database.online import begin_part, end_part, end_revision, patiently
from tradepost.core.errors import CannotMigrate


def configuration(connection: Connection | None = None) -> Config:
    """Return Alembic's configuration, bound to ``connection`` if one is given."""
    config = Config()
    config.set_main_option("script_location", str(revisions.script_location()).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.set_main_option("file_template", "%%(rev)s_%%(slug)s")
    if connection is not None:
        config.attributes["connection"] = connection
    return config


async def upgrade(database: Database, revision: str = "head") -> bool:
    """Bring the database to ``revision``; tell whether this call did anything: of several at once, one does.

    A database that a newer version has migrated is left as it is. Each revision is committed by itself: a process that is
    killed leaves the database at one of them, and the next goes on from there.
    """
    if revision == "head" and not await revisions.is_behind(database):
        return False
    async with only_migrator(database) as connection:

        def work(bound: Connection) -> bool:
            before = revisions.stamp(bound)
            found = revisions.hindrance(bound)
            bound.rollback()
            if revision == "head" and revisions.suits(before):
                return False
            if found is not None:
                raise CannotMigrate from ValueError(found)
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
    except BaseException as error:
        if not connection.invalidated:
            connection.rollback()
        if isinstance(error, CommandError):
            raise CannotMigrate from error
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
