"""Runs the migrations: on the connection that ``tradepost.core.database.migrations`` hands in, else on the settings' database."""

import asyncio

from alembic import context
from sqlalchemy import Connection

from tradepost.bootstrap import METADATA, database_options
from tradepost.core.database import autogenerate, migrations
from tradepost.core.database.engines import Database
from tradepost.core.settings.settings import Settings


def run(connection: Connection) -> None:
    """Run what Alembic was asked for within the transaction of ``connection``."""
    context.configure(
        connection=connection,
        target_metadata=METADATA,
        compare_server_default=True,
        include_name=autogenerate.is_declared,
        render_item=autogenerate.render_item,
        process_revision_directives=autogenerate.complete,
        # SQLite's DDL is transactional too once BEGIN is said explicitly, as the engine does.
        transactional_ddl=True,
        on_version_apply=migrations.revision_done,
    )
    with context.begin_transaction():
        context.run_migrations()


async def run_on_settings() -> None:
    """Run on the database that the environment names: for Alembic's own command line."""
    database = Database(database_options(Settings.load()))
    try:
        await migrations.exclusively(database, run)
    finally:
        await database.close()


given = context.config.attributes.get("connection")
if given is None:
    asyncio.run(run_on_settings())
else:
    run(given)
