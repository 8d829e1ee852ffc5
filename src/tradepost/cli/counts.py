"""``tradepost counts``: holds the kept counts of items against the items themselves."""

import click

from tradepost.cli.running import with_resources
from tradepost.core.resources import Resources
from tradepost.items.counting import ItemCounting


@click.command()
@click.option("--repair", is_flag=True, help="Make the counts right.")
@with_resources
async def counts(resources: Resources, *, repair: bool) -> None:
    """Compare the kept counts of items with the items; fails if any is wrong. The server goes on meanwhile."""
    counting = ItemCounting(resources.database)
    wrong = await counting.differences()
    for count in wrong:
        click.echo(
            f"{count.dimension} {count.key}".rstrip()
            + f", {count.status}: {count.kept} kept, {count.truth} there are"
        )
    if not wrong:
        click.echo("Every count is right")
    elif repair:
        await counting.repair()
        click.echo(f"{len(wrong)} counts repaired")
    else:
        raise click.ClickException(
            f"{len(wrong)} counts are wrong; tradepost counts --repair makes them right."
        )
