"""``tradepost migrate``: the schema's migration, a step of its own before a new version serves."""

import asyncio
from typing import Final

import click
from sqlalchemy.exc import SQLAlchemyError

from tradepost.bootstrap import prepare_database
from tradepost.cli.running import in_words, with_resources
from tradepost.core.database import revisions
from tradepost.core.database.faults import translate
from tradepost.core.errors import DatabaseUnavailable
from tradepost.core.resources import Resources
from tradepost.items.indexing import ItemIndexer

FIRST_PAUSE: Final = 0.25
LONGEST_PAUSE: Final = 5.0
"""Seconds from one try to the next while the database is away: each time twice as many, up to the longest."""


@click.command()
@click.option(
    "--wait",
    default=0.0,
    type=click.FloatRange(0, 86_400),
    metavar="SECONDS",
    help="For how long to go on trying while the database is away.",
)
@with_resources
async def migrate(resources: Resources, wait: float) -> None:
    """Bring the database to the newest schema and make the first superuser."""
    changed = await _prepared(resources, wait)
    # Here and not within the migration, which would hold its locks for as long: the previous version is still serving. In
    # ``local`` the server migrates by itself, and a recurring job does this.
    await resources[ItemIndexer].refresh()
    revision = await revisions.current(resources.database)
    newer = ", by a newer version than this one" if revisions.is_newer(revision) else ""
    click.echo(f"Migrated to {revision}" if changed else f"At {revision} already{newer}")


async def _prepared(resources: Resources, wait: float) -> bool:
    """Migrate, again and again for ``wait`` seconds while the database is away; tell whether the schema changed."""
    time = resources.clock.monotonic
    end, pause = time() + wait, FIRST_PAUSE
    while True:
        try:
            return await prepare_database(resources)
        except (DatabaseUnavailable, SQLAlchemyError) as error:
            meaning = translate(error) if isinstance(error, SQLAlchemyError) else error
            left = end - time()
            if not isinstance(meaning, DatabaseUnavailable) or left <= 0:
                raise
            click.echo(f"{in_words(error)}; trying again for {left:.0f} seconds", err=True)
        await asyncio.sleep(min(pause, left))
        pause = min(2 * pause, LONGEST_PAUSE)
