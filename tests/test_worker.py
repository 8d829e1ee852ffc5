"""The worker within this process, on a clock that a test moves; as an operator runs it, it is in ``tests/faults``."""

import asyncio
from datetime import timedelta
from functools import partial
from pathlib import Path

from sqlalchemy import select

from tests.clock import MovableClock
from tests.conftest import Template, settings_for
from tests.flows.live import eventually
from tradepost.bootstrap import opened
from tradepost.core.messaging.outbox import MessageState, Outbox, StoredMessage
from tradepost.core.resources import Resources
from tradepost.items.messages import ItemCreated
from tradepost.worker import work


async def delivered(resources: Resources) -> set[int]:
    """Return the items whose every message is delivered."""
    async with resources.database.read() as db:
        messages = list(await db.scalars(select(StoredMessage).where(StoredMessage.type == ItemCreated.type)))
    waiting = {message.payload["item_id"] for message in messages if message.state is not MessageState.DONE}
    return {message.payload["item_id"] for message in messages} - waiting


async def test_what_is_due_in_an_hour_is_delivered_when_the_clock_says_so(
    template: Template, tmp_path: Path
) -> None:
    settings = settings_for(await template.copy(), tmp_path)
    clock = MovableClock()

    async with opened(settings, clock=clock) as resources:

        async def are_delivered(*items: int) -> bool:
            return await delivered(resources) == set(items)

        async with resources.database.transaction() as db:
            outbox = resources[Outbox]
            await outbox.add(db, ItemCreated(item_id=1, owner_id=1, title="Lamp"))
            later = clock.now() + timedelta(hours=1)
            await outbox.add(db, ItemCreated(item_id=2, owner_id=1, title="Sofa"), due_at=later)
        working = asyncio.create_task(work(settings, clock=clock))
        try:
            await eventually(partial(are_delivered, 1))
            clock.move(timedelta(hours=1))
            await eventually(partial(are_delivered, 1, 2))
        finally:
            working.cancel()
            await working
