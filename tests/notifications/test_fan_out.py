"""The fan-out of facts: an audience may be one person, several, or nobody."""

from datetime import UTC, datetime
from functools import partial

from sqlalchemy import func, select

from tests.conftest import Person, World
from tests.notifications.inbox.test_inbox import inbox_of
from tradepost.accounts.dependencies import build_user_service
from tradepost.core.messaging.messages import Envelope
from tradepost.core.messaging.outbox import Outbox, StoredMessage
from tradepost.core.signals.signals import Signals
from tradepost.items.messages import ItemDeleted, ItemUpdated
from tradepost.notifications.fan_out import NotificationFanOut
from tradepost.notifications.kinds import Note, NotificationKind

NOW = datetime(2026, 5, 1, tzinfo=UTC)


def fan_out(
    world: World, *kinds: NotificationKind[ItemDeleted] | NotificationKind[ItemUpdated]
) -> NotificationFanOut:
    resources = world.resources
    return NotificationFanOut(
        people=partial(build_user_service, resources=resources),
        outbox=resources[Outbox],
        signals=resources[Signals],
        clock=resources.clock,
        kinds=kinds,
    )


async def due_emails(world: World) -> int:
    async with world.database.read() as db:
        rows = select(func.count()).where(StoredMessage.subscription == "notifications.mail")
        return await db.scalar(rows) or 0


async def test_a_kind_may_tell_nobody(world: World, alice: Person) -> None:
    before = await due_emails(world)
    silent = NotificationKind("silent", "Concerns nobody", ItemDeleted, lambda _fact: ())
    loud = NotificationKind(
        "item_created", "Concerns its owner", ItemUpdated, lambda fact: [Note(fact.owner_id, "New", "Here.")]
    )
    nobody = Envelope(1, ItemDeleted(1, alice.id), NOW)
    somebody = Envelope(2, ItemUpdated(1, alice.id, "Lamp", 2), NOW)
    async with world.database.transaction() as db:
        await fan_out(world, silent).react(db, [nobody, nobody])
    assert (await inbox_of(alice))["total"] == 0
    assert await due_emails(world) == before
    async with world.database.transaction() as db:
        await fan_out(world, silent, loud).react(db, [nobody, somebody, nobody])
    assert [row["title"] for row in (await inbox_of(alice))["notifications"]] == ["New"]


async def test_a_kind_may_tell_several(world: World, alice: Person, bob: Person) -> None:
    both = NotificationKind(
        "item_created",
        "Concerns two",
        ItemDeleted,
        lambda fact: [Note(user_id, "Gone", "An item is gone.") for user_id in (alice.id, bob.id)],
    )
    async with world.database.transaction() as db:
        await fan_out(world, both).react(db, [Envelope(1, ItemDeleted(1, alice.id), NOW)])
    for person in (alice, bob):
        assert [row["title"] for row in (await inbox_of(person))["notifications"]] == ["Gone"]
