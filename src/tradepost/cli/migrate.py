"""``tradepost migrate``: the schema's migration, a step of its own before a new version serves."""

import click

from tradepost.bootstrap import prepare_database
from tradepost.cli.running import with_resources
from tradepost.core.database import migrations
from tradepost.core.resources import Resources
from tradepost.items.indexing import ItemIndexer


@click.command()
@with_resources
async def migrate(resources: Resources) -> None:
    """Bring the database to the newest schema and make the first superuser."""
    changed = await prepare_database(resources)
    # Here and not within the migration, which would hold its locks for as long: the previous version is still serving. In
    # ``local`` the server migrates by itself, and a recurring job does this.
    await resources[ItemIndexer].refresh()
    revision = await migrations.current(resources.database)
    newer = ", by a newer version than this one" if migrations.is_newer(revision) else ""
    click.echo(f"Migrated to {revision}" if changed else f"At {revision} already{newer}")
