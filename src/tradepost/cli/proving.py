"""``tradepost tokens`` and ``tradepost reset``: people for a load test, and the state that each begins with."""

import asyncio
from typing import Any, Final

import click

from tradepost.accounts.dependencies import build_user_service
from tradepost.accounts.permissions import Role
from tradepost.accounts.sessions import SessionService
from tradepost.cli.running import require_schema, with_resources
from tradepost.core.database import kept_state
from tradepost.core.resources import Resources
from tradepost.core.settings.settings import Environment
from tradepost.core.signals import sqlite
from tradepost.core.wire.pagination import Total, Window
from tradepost.seeding.loader import EMAIL

CHUNK: Final = 2_000
"""Accounts that are looked at at once, for made-up people among them."""


def _refuse_production(resources: Resources, what: str) -> None:
    if resources.settings.ENVIRONMENT not in {Environment.LOCAL, Environment.STAGING}:
        raise click.ClickException(f"{what} in local and staging alone")


@click.command()
@click.option(
    "--users", "number", default=100, show_default=True, type=click.IntRange(1, 100_000), help="How many."
)
@with_resources
async def tokens(resources: Resources, number: int) -> None:
    """Log in made-up people, without their passwords, and print their access tokens, one a line."""
    _refuse_production(resources, "Tokens are given out")
    await require_schema(resources)
    people: list[int] = []
    async with resources.database.read() as db:
        users = build_user_service(db, resources)
        seen = 0
        while len(people) < number:
            page = await users.page(Window(skip=seen, limit=CHUNK, total=Total.NONE, sort="created_at"))
            people += [
                user.id
                for user in page.rows
                if user.is_active and user.role is Role.USER and EMAIL.fullmatch(user.email)
            ]
            seen += len(page.rows)
            if len(page.rows) < CHUNK:
                break
    if len(people) < number:
        raise click.ClickException(
            f"There are {len(people)} made-up people; make more: tradepost seed --append --users {number} --items 0"
        )
    for token in await resources[SessionService].open_for(people[:number]):
        click.echo(token)


@click.command()
@click.option("--keep", is_flag=True, help="Keep the present state as the one to go back to.")
@with_resources
async def reset(resources: Resources, **options: Any) -> None:
    """Put the database back to the state that was kept; servers may run meanwhile."""
    _refuse_production(resources, "States are kept and put back")
    began = resources.clock.monotonic()
    if options["keep"]:
        await kept_state.let_in(resources.database)
        await require_schema(resources)
        # Whoever is connected keeps the database from being copied, this process too.
        await resources.database.engine.dispose()
        await kept_state.keep(resources.database)
    else:
        await kept_state.put_back(resources.database)
        if resources.settings.is_sqlite:
            # Servers look now and then whether the file is another; when this command is done they know it.
            await asyncio.sleep(3 * sqlite.PERIOD)
    said = "kept" if options["keep"] else "put back"
    click.echo(f"{said} in {resources.clock.monotonic() - began:.1f} s")
