"""``tradepost reindex``: the texts that search looks into, made anew while everything goes on."""

import sys

import click

from tradepost.cli.running import require_schema, with_resources
from tradepost.core.resources import Resources
from tradepost.items.indexing import ItemIndexer


@click.command()
@click.option(
    "--all", "everything", is_flag=True, help="Every item, not only those that search is behind with."
)
@with_resources
async def reindex(resources: Resources, *, everything: bool) -> None:
    """Bring search up to date with the items, in small steps beside the server's work."""
    await require_schema(resources)
    indexer = resources[ItemIndexer]
    number = 0

    def report(batch: int) -> None:
        nonlocal number
        number += batch
        if sys.stderr.isatty():
            click.echo(f"\r{number} items", nl=False, err=True)

    await (indexer.rebuild if everything else indexer.refresh)(report)
    click.echo(f"{number} items indexed anew")
