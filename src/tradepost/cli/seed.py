"""``tradepost seed``: a made-up marketplace of any size, the same rows for the same number."""

import sys
from contextlib import ExitStack
from typing import Any

import click

from tradepost.cli.running import require_schema, with_resources
from tradepost.core.resources import Resources
from tradepost.seeding.gallery import Gallery
from tradepost.seeding.loader import SeedRefused, SeedReport, seed


async def run_seed(
    resources: Resources,
    *,
    seed_number: int,
    users: int,
    items: int,
    events: int,
    pictures: int = 0,
    append: bool,
) -> SeedReport:
    """Seed with a progress bar on standard error, if that is a terminal; none is shown for what is refused."""
    with ExitStack() as shown:
        bars: list[Any] = []

        def progress(done: int, _total: int) -> None:
            if not bars:
                bar = click.progressbar(length=users + items + events, label="Seeding", file=sys.stderr)
                bars.append(shown.enter_context(bar))
            bars[0].update(done - bars[0].pos)

        return await seed(
            resources.database,
            seed=seed_number,
            users=users,
            items=items,
            events=events,
            pictures=pictures,
            gallery=Gallery(resources),
            append=append,
            environment=resources.settings.ENVIRONMENT,
            progress=progress,
            clock=resources.clock,
        )


@click.command("seed")
@click.option(
    "--seed", "seed_number", default=42, show_default=True, help="The same number makes the same rows."
)
@click.option("--users", default=1000, show_default=True, type=click.IntRange(1, 1_000_000))
@click.option("--items", default=100_000, show_default=True, type=click.IntRange(0, 10_000_000))
@click.option(
    "--events",
    type=click.IntRange(0, 1_000_000),
    help="With participants and waiting lists.  [default: one for every five users]",
)
@click.option(
    "--pictures",
    default=0,
    show_default=True,
    type=click.IntRange(0, 10_000),
    help="Of the newest items, one each, kept in the storage.",
)
@click.option("--append", is_flag=True, help="Add to a database that has rows.")
@with_resources
async def seed_command(
    resources: Resources,
    *,
    seed_number: int,
    users: int,
    items: int,
    events: int | None,
    pictures: int,
    append: bool,
) -> None:
    """Fill the database with a made-up marketplace; log in as user1@example.com, password Tradepost1."""
    await require_schema(resources)
    try:
        report = await run_seed(
            resources,
            seed_number=seed_number,
            users=users,
            items=items,
            events=users // 5 if events is None else events,
            pictures=pictures,
            append=append,
        )
    except SeedRefused as error:
        raise click.ClickException(str(error)) from error
    click.echo(
        f"{report.users} users, {report.items} items, {report.events} events, {report.tags} tags, {report.categories} categories "
        f"in {report.seconds:.1f} s; fingerprint {report.fingerprint}"
    )
