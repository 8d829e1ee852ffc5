"""What programs are told of events: a fact for each change, to the organiser's webhooks."""

import json
from typing import Any

from sqlalchemy import select

from tests.conformance.test_document import document, faults
from tests.conftest import NewPerson, Person, World
from tests.events.gatherings import join, leave, path_of, plan
from tradepost.core.messaging.messages import Subscriptions
from tradepost.core.messaging.reactions import Reactions
from tradepost.webhooks.models import WebhookDelivery


async def facts(world: World, webhook_id: int) -> list[dict[str, Any]]:
    """Have everything reacted to, and return the bodies of a webhook's deliveries; nothing is sent."""
    reactions = Reactions(
        database=world.database,
        subscriptions=world.resources[Subscriptions],
        clock=world.clock,
        observe=lambda *_: None,
    )
    while await reactions.react_to_due():
        pass
    bodies = select(WebhookDelivery.body).where(WebhookDelivery.webhook_id == webhook_id)
    async with world.database.read() as db:
        return [json.loads(body) for body in await db.scalars(bodies.order_by(WebhookDelivery.id))]


async def hook(person: Person) -> int:
    made = await person.api.post(
        "/api/v1/webhooks/", json={"url": "https://example.com/hook", "event_types": ["*"]}
    )
    assert made.status_code == 201, made.text
    webhook_id: int = made.json()["id"]
    return webhook_id


async def test_the_organiser_s_programs_hear_of_every_change(
    world: World, alice: Person, bob: Person, admin: Person, new_person: NewPerson
) -> None:
    mine, others = await hook(alice), await hook(bob)
    event = await plan(world, alice, max_participants=1)
    ids = {"event_id": event["id"], "organiser_id": alice.id}
    late = await new_person("Late")
    await join(event, bob)
    await join(event, late)
    await alice.api.patch(path_of(event), json={"title": "Another title"})
    await leave(event, bob)
    assert (await alice.api.delete(path_of(event, f"participants/{late.id}"))).status_code == 200
    await alice.api.post(path_of(event, "cancel"))
    other = await plan(world, alice)
    await alice.api.delete(path_of(other))
    heard = await facts(world, mine)
    assert [(fact["type"], fact["data"]) for fact in heard] == [
        ("events.created", ids | {"title": "Repair café"}),
        ("events.joined", ids | {"user_id": bob.id, "status": "joined"}),
        ("events.joined", ids | {"user_id": late.id, "status": "waiting"}),
        ("events.updated", ids | {"title": "Another title", "version": 2}),
        ("events.left", ids | {"user_id": bob.id}),
        (
            "events.moved_up",
            ids
            | {
                "title": "Another title",
                "start_date": event["start_date"],
                "time_zone": "UTC",
                "user_ids": [late.id],
            },
        ),
        ("events.left", ids | {"user_id": late.id}),
        (
            "events.removed",
            ids
            | {
                "title": "Another title",
                "start_date": event["start_date"],
                "time_zone": "UTC",
                "user_id": late.id,
            },
        ),
        ("events.cancelled", ids | {"title": "Another title"}),
        ("events.created", {**ids, "event_id": other["id"], "title": "Repair café"}),
        ("events.deleted", {**ids, "event_id": other["id"]}),
    ]
    assert await facts(world, others) == []
    described = document()["webhooks"]
    for fact in heard:
        (content,) = described[fact["type"]]["post"]["requestBody"]["content"].values()
        assert not faults(content["schema"], fact)


async def test_staff_hear_of_what_a_deleted_organiser_leaves_behind(
    world: World, alice: Person, admin: Person
) -> None:
    made = await admin.api.post(
        "/api/v1/webhooks/",
        json={"url": "https://example.com/", "event_types": ["events.cancelled"], "scope": "all"},
    )
    event = await plan(world, alice)
    assert (await admin.api.delete(f"/api/v1/users/{alice.id}")).status_code == 200
    (fact,) = await facts(world, made.json()["id"])
    assert fact["data"] == {"event_id": event["id"], "organiser_id": alice.id, "title": "Repair café"}
