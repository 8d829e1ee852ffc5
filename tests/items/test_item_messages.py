"""What items announce: each change tells of itself once, in its own transaction, and a refused one of nothing."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from tests.conftest import Person, World
from tests.items.market import ITEMS
from tradepost.core.database.sessions import WriteSession
from tradepost.core.messaging.dispatcher import Dispatcher
from tradepost.core.messaging.messages import Envelope, Message, Subscriptions
from tradepost.items.messages import ItemCreated, ItemDeleted, ItemUpdated

FACTS = (ItemCreated, ItemUpdated, ItemDeleted)


@pytest.fixture
def heard(world: World) -> Iterator[list[Message]]:
    """What a subscriber of every fact about items has been told, in order."""
    told: list[Message] = []

    async def listen(_session: WriteSession, envelopes: Sequence[Envelope[Any]]) -> None:
        told.extend(envelope.message for envelope in envelopes)

    subscriptions = world.resources[Subscriptions]
    names = [f"tests.{fact.__name__}" for fact in FACTS]
    for name, fact in zip(names, FACTS, strict=True):
        subscriptions.react(name, fact, listen)
    yield told
    for name, fact in zip(names, FACTS, strict=True):
        subscriptions.by_type[fact].remove(subscriptions.by_name.pop(name))


async def test_each_change_is_told_once(
    world: World, alice: Person, bob: Person, admin: Person, heard: list[Message]
) -> None:
    lamp = (await alice.api.post(ITEMS, json={"title": "Lamp", "price": 5})).json()
    path = f"{ITEMS}{lamp['id']}"
    # Refused or without effect: nothing to tell.
    assert (await alice.api.post(ITEMS, json={"title": "", "price": 5})).status_code == 422
    assert (
        await alice.api.post(ITEMS, json={"title": "Rug", "price": 5, "category_id": 9})
    ).status_code == 422
    assert (await bob.api.patch(path, json={"title": "Mine"})).status_code == 403
    assert (await alice.api.patch(path, json={"discount_price": 6})).status_code == 422
    assert (await alice.api.patch(path, json={"title": "Lamp"})).status_code == 200
    assert (await bob.api.delete(path)).status_code == 403
    # Whoever makes the change, it is the owner's item.
    assert (await admin.api.patch(path, json={"title": "Old lamp", "price": 6})).status_code == 200
    assert (await alice.api.patch(path, json={"tags": ["light"]})).status_code == 200
    assert (await admin.api.delete(path)).status_code == 200
    assert (await alice.api.delete(path)).status_code == 404
    await world.resources[Dispatcher].drain()
    assert heard == [
        ItemCreated(lamp["id"], alice.id, "Lamp"),
        ItemUpdated(lamp["id"], alice.id, "Old lamp", 2),
        ItemUpdated(lamp["id"], alice.id, "Old lamp", 3),
        ItemDeleted(lamp["id"], alice.id),
    ]


async def test_many_new_ones_in_few_statements(
    world: World, alice: Person, bob: Person, heard: list[Message], statements: Callable[[], Any]
) -> None:
    with statements() as sent:
        answers = await asyncio.gather(
            *(
                (alice, bob)[number % 2].api.post(ITEMS, json={"title": f"T{number}", "price": 1})
                for number in range(60)
            )
        )
    groups = [statement for statement in sent if "INSERT INTO items " in statement]
    told = [statement for statement in sent if "INSERT INTO messages " in statement]
    assert len(told) == len(groups) < 30
    await world.resources[Dispatcher].drain()
    made = [answer.json() for answer in answers]
    wanted = {ItemCreated(item["id"], item["owner_id"], item["title"]) for item in made}
    assert len(heard) == 60
    assert set(heard) == wanted


async def test_two_deletions_at_once_are_one(world: World, alice: Person, heard: list[Message]) -> None:
    lamp = (await alice.api.post(ITEMS, json={"title": "Lamp", "price": 5})).json()["id"]
    answers = await asyncio.gather(*(alice.api.delete(f"{ITEMS}{lamp}") for _ in range(5)))
    assert sorted(answer.status_code for answer in answers) == [200, 404, 404, 404, 404]
    await world.resources[Dispatcher].drain()
    assert heard == [ItemCreated(lamp, alice.id, "Lamp"), ItemDeleted(lamp, alice.id)]
