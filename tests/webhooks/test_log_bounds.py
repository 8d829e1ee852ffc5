"""The delivery log is bounded in rows for each webhook, and is cleared up so many at a time."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import insert, select, update

from tests.conftest import Person, World
from tests.webhooks.conftest import Hook, NewHook
from tests.webhooks.receiver import Receiver
from tradepost.core.messaging.dispatcher import Dispatcher
from tradepost.webhooks import delivery
from tradepost.webhooks.dependencies import build_webhook_deliverer
from tradepost.webhooks.models import WebhookDelivery

KEEP, CHUNK = 20, 7


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery, "MOST_KEPT", KEEP)
    monkeypatch.setattr(delivery, "PRUNE_CHUNK", CHUNK)


async def fill(
    world: World, hook: Hook, count: int, *, age: timedelta, state: str = "delivered"
) -> list[int]:
    """Write lines into the log of a webhook, and return their ids."""
    at = datetime.now(UTC) - age
    row = {
        "webhook_id": hook.id,
        "message_id": "msg",
        "event_type": "items.created",
        "body": "{}",
        "state": state,
        "attempts": 1,
        "created_at": at,
    }
    async with world.database.transaction() as db:
        statement = insert(WebhookDelivery).returning(WebhookDelivery.id, sort_by_parameter_order=True)
        return list(await db.scalars(statement, [row] * count))


async def states(world: World, hook: Hook) -> list[tuple[int, str]]:
    async with world.database.read() as db:
        rows = await db.execute(
            select(WebhookDelivery.id, WebhookDelivery.state)
            .where(WebhookDelivery.webhook_id == hook.id)
            .order_by(WebhookDelivery.id)
        )
        return [(row.id, row.state) for row in rows]


async def test_each_log_keeps_its_newest_lines(
    world: World, alice: Person, new_hook: NewHook, receiver: Receiver, statements: Any
) -> None:
    busy, quiet, empty = [await new_hook(alice, receiver) for _ in range(3)]
    many = await fill(world, busy, KEEP + 3 * CHUNK + 2, age=timedelta(days=1))
    few = await fill(world, quiet, KEEP, age=timedelta(days=2))
    with statements() as sent:
        await build_webhook_deliverer(world.resources).clear_up()
    assert [line for line, _ in await states(world, busy)] == many[-KEEP:]
    assert [line for line, _ in await states(world, quiet)] == few
    assert await states(world, empty) == []
    # So many at a time: 23 rows are four transactions of seven at most.
    assert sum(statement.startswith("DELETE") for statement in sent) == 1 + 4


async def test_what_is_too_old_to_be_sent_is_given_up_so_many_at_a_time(
    world: World, alice: Person, new_hook: NewHook, receiver: Receiver, statements: Any
) -> None:
    hook = await new_hook(alice, receiver)
    late: Sequence[int] = await fill(world, hook, 2 * CHUNK + 1, age=timedelta(days=9), state="pending")
    (fresh,) = await fill(world, hook, 1, age=timedelta(days=1), state="pending")
    with statements() as sent:
        await build_webhook_deliverer(world.resources).clear_up()
    assert await states(world, hook) == [*((line, "failed") for line in late), (fresh, "pending")]
    given_up = [each for each in sent if each.startswith("UPDATE webhook_deliveries")]
    assert len(given_up) == 3


async def test_a_delivery_that_was_cut_off_is_not_sent(
    world: World, alice: Person, new_hook: NewHook, receiver: Receiver
) -> None:
    hook = await new_hook(alice, receiver)
    await hook.post("/test")
    ((planned, _),) = await states(world, hook)
    await fill(world, hook, KEEP, age=timedelta(days=0))
    await build_webhook_deliverer(world.resources).clear_up()
    assert planned not in [line for line, _ in await states(world, hook)]
    async with world.database.transaction() as db:
        await db.execute(update(WebhookDelivery).values(state="delivered"))
    await world.resources[Dispatcher].drain()
    assert receiver.requests == []
