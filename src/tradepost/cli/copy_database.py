"""``tradepost copy-database``: from SQLite to PostgreSQL or back, or from one server to another."""

from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

import click

from tradepost.bootstrap import METADATA
from tradepost.cli.running import run
from tradepost.core.database.copying import DatabaseCopy
from tradepost.core.database.engines import Database
from tradepost.core.database.options import DatabaseOptions
from tradepost.core.settings.database_url import async_url

KEPT_BY_TRIGGERS: Final = ("item_counts", "item_count_changes")
PATIENCE: Final = 3600.0
"""Seconds that one statement of a copy may take."""


def _address(_context: click.Context, _parameter: click.Parameter, value: str) -> str:
    try:
        async_url(value)
    except ValueError as error:
        raise click.BadParameter(f"it {error}") from None
    return value


@click.command("copy-database")
@click.argument("source", metavar="FROM", callback=_address)
@click.argument("target", metavar="TO", callback=_address)
def copy_database(source: str, target: str) -> None:
    """Copy all rows of the database FROM, with their ids, into TO, which is empty; and compare them.

    Both are addresses as in DATABASE_URL. Servers may go on reading FROM; what they write after the beginning is not copied.
    A copy that broke off goes on when it is asked for once more. Files are not in a database: copy UPLOAD_DIR or the
    bucket as well, and keep SECRET_KEY.
    """
    if async_url(source) == async_url(target):
        raise click.ClickException("FROM and TO are the same database")
    found = async_url(source)
    # Opening it would make an empty one.
    if found.get_backend_name() == "sqlite" and not Path(str(found.database)).is_file():
        raise click.ClickException(f"There is no database in FROM: {found.database} is no file")
    run(_copied(source, target))


async def _copied(source: str, target: str) -> None:
    async with AsyncExitStack() as closing:
        databases = [
            Database(DatabaseOptions(url=async_url(url), statement_timeout=PATIENCE))
            for url in (source, target)
        ]
        for database in databases:
            closing.push_async_callback(database.close)
        total = 0

        def tell(table: str, rows: int) -> None:
            nonlocal total
            total += rows
            click.echo(f"{table}: {rows} rows, the same in both")

        copy = DatabaseCopy(*databases, tables=METADATA.sorted_tables, derived=KEPT_BY_TRIGGERS, tell=tell)
        await copy.run()
        click.echo(
            f"{total} rows are copied and compared. Files and SECRET_KEY are not in a database: take them along."
        )
