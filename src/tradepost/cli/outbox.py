"""``tradepost outbox``: looking after messages, by the service that the staff's routes use."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import wraps
from typing import Any

import click

from tradepost.cli.running import with_resources
from tradepost.core.messaging.dispatcher import PRUNE_CHUNK
from tradepost.core.messaging.outbox import MessageState
from tradepost.core.resources import Resources
from tradepost.core.wire.pagination import Total, Window
from tradepost.core.wire.schemas import MAX_ID
from tradepost.outbox.dependencies import build_outbox_service
from tradepost.outbox.schemas import Selection


@click.group()
def outbox() -> None:
    """Look after messages: what waits, what was given up, and sending it after all."""


def selecting(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that select messages; the command gets them as a ``selection``."""

    @wraps(command)
    def selected(ids: Sequence[int], kind: str | None, channel: str | None, **options: Any) -> None:
        command(selection=Selection(None, channel, kind, ids), **options)

    for option in (
        click.option("--id", "ids", multiple=True, type=click.IntRange(1, MAX_ID), help="May be repeated."),
        click.option("--type", "kind", help="Such as items.created.v1."),
        click.option("--channel", help="Such as mail."),
    ):
        selected = option(selected)
    return selected


def refuse_everything(selection: Selection, *, everything: bool) -> None:
    """End the program unless the messages are selected, or ``--all`` says that all of them are meant."""
    if everything == bool(selection.ids or selection.type or selection.channel):
        raise click.UsageError("Say which messages are meant, by --channel, --type or --id, or --all.")


@outbox.command("list")
@click.option(
    "--state", type=click.Choice([state.value for state in MessageState]), help="dead, pending or done."
)
@selecting
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 1000))
@with_resources
async def list_messages(resources: Resources, *, selection: Selection, state: str | None, limit: int) -> None:
    """List messages, the newest first, one JSON object a line."""
    async with resources.database.read() as db:
        page = await build_outbox_service(db, resources).page(
            replace(selection, state=MessageState(state) if state else None),
            Window(limit=limit, total=Total.NONE, sort="-created_at"),
        )
    for message in page.rows:
        click.echo(message.model_dump_json())


@outbox.command()
@selecting
@click.option("--all", "everything", is_flag=True, help="Every message that was given up.")
@with_resources
async def retry(resources: Resources, *, selection: Selection, everything: bool) -> None:
    """Have messages that were given up delivered after all."""
    refuse_everything(selection, everything=everything)
    async with resources.database.transaction() as db:
        number = await build_outbox_service(db, resources).retry_all(selection)
    click.echo(f"{number} messages are on their way again")


@outbox.command()
@click.option(
    "--state",
    default=MessageState.DEAD.value,
    show_default=True,
    type=click.Choice([MessageState.DEAD.value, MessageState.DONE.value]),
)
@selecting
@click.option("--all", "everything", is_flag=True, help="Every message in that state.")
@with_resources
async def purge(resources: Resources, *, selection: Selection, state: str, everything: bool) -> None:
    """Delete messages that were given up, or delivered."""
    refuse_everything(selection, everything=everything)
    number, deleted = 0, PRUNE_CHUNK
    while deleted == PRUNE_CHUNK:
        async with resources.database.transaction() as db:
            messages = build_outbox_service(db, resources)
            deleted = await messages.purge(replace(selection, state=MessageState(state)), limit=PRUNE_CHUNK)
        number += deleted
    click.echo(f"{number} messages deleted")
