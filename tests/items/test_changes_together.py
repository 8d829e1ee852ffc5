"""Changes and deletions of many requests in one transaction: each is answered, and refused, as if it were alone."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import httpx
from sqlalchemy import func, select

from tests.conftest import Person, World
from tests.items.market import path_of, read, sell
from tradepost.accounts.permissions import PERMISSIONS, Role
from tradepost.core.errors import NotOwner, TradepostError, Unprocessable
from tradepost.core.principal import Principal
from tradepost.core.wire.representations import Representation
from tradepost.items.changing import Change, Deletion
from tradepost.items.dependencies import build_item_change_service
from tradepost.items.errors import ItemNotFound
from tradepost.items.models import Item
from tradepost.items.schemas import ItemUpdate
from tradepost.tags.models import Tag


class _UndoneError(Exception):
    """Ends a transaction that is not to be committed."""


def to(item: dict[str, Any], by: Principal, **fields: Any) -> Change:
    return Change(item["id"], by, changes=ItemUpdate(**fields))


async def test_each_of_a_group_is_answered_and_refused_alone(
    world: World, client: httpx.AsyncClient, alice: Person, bob: Person
) -> None:
    lamp, desk, chair = [await sell(alice, title, 10, tags=["old"]) for title in ("Lamp", "Desk", "Chair")]
    me, stranger = (
        Principal(alice.id, PERMISSIONS[Role.USER], 1),
        Principal(bob.id, PERMISSIONS[Role.USER], 1),
    )
    wanted = [
        to(lamp, me, price=11),
        to(desk, stranger, price=1),
        to(desk, me, title="Table", tags=["new", "old"]),
        to(lamp, me, price=12, description="Brass"),
        to(chair, me, discount_price=50),
        to(chair, me, category_id=999_999),
        Change(999_999, me, changes=ItemUpdate(price=1)),  # type: ignore[arg-type]
        to(chair, me),
    ]
    async with world.database.transaction() as db:
        outcomes = await build_item_change_service(db, world.resources).update_many(wanted)
    assert [type(outcome) for outcome in outcomes] == [
        Representation,
        NotOwner,
        Representation,
        Representation,
        Unprocessable,
        Unprocessable,
        ItemNotFound,
        Representation,
    ]
    # The first one of an item shows what it alone has done.
    first, then = outcomes[0], outcomes[3]
    assert isinstance(first, Representation)
    assert isinstance(then, Representation)
    assert (first.version, then.version) == (2, 3)
    assert b'"price":11.0' in bytes(first.body)
    now = await read(client, lamp)
    assert (now["price"], now["description"], now["version"]) == (12, "Brass", 3)
    assert bytes(then.body) == (await client.get(path_of(lamp))).content.replace(b'"views":1', b'"views":0')
    table = await read(client, desk)
    assert (table["title"], table["tags"], table["version"], table["price"]) == (
        "Table",
        ["new", "old"],
        2,
        10,
    )
    assert (await read(client, chair))["version"] == 1
    found = await client.get("/api/v1/items/search/", params={"q": "table new"})
    assert [item["id"] for item in found.json()] == [desk["id"]]


async def test_whoever_is_refused_leaves_no_tag_behind_and_keeps_nobody_from_changing(
    world: World, alice: Person, bob: Person
) -> None:
    lamp, desk = await sell(alice, "Lamp"), await sell(bob, "Desk")
    async with world.database.transaction():
        # While this holds the writer's place on SQLite, or a connection, the changes below gather.
        together = [
            asyncio.create_task(bob.api.patch(path_of(lamp), json={"tags": ["refused"]})),
            asyncio.create_task(bob.api.patch(path_of(desk), json={"tags": ["kept"]})),
            asyncio.create_task(alice.api.patch(path_of(lamp), json={"tags": ["mine"], "price": 3})),
        ]
        await asyncio.sleep(0)
    answers = await asyncio.gather(*together)
    assert [answer.status_code for answer in answers] == [403, 200, 200]
    async with world.database.read() as db:
        assert set(await db.scalars(select(Tag.name))) == {"kept", "mine"}


async def test_an_item_that_two_delete_at_once_is_deleted_once(
    world: World, client: httpx.AsyncClient, alice: Person, bob: Person
) -> None:
    lamp, desk = await sell(alice, "Lamp"), await sell(alice, "Desk")
    me, stranger = (
        Principal(alice.id, PERMISSIONS[Role.USER], 1),
        Principal(bob.id, PERMISSIONS[Role.USER], 1),
    )
    wanted = [Deletion(lamp["id"], me), Deletion(desk["id"], stranger), Deletion(lamp["id"], me)]
    async with world.database.transaction() as db:
        outcomes = await build_item_change_service(db, world.resources).delete_many(wanted)
    assert [type(outcome) for outcome in outcomes] == [type(None), NotOwner, ItemNotFound]
    assert (await client.get(path_of(lamp))).status_code == 404
    assert (await client.get(path_of(desk))).status_code == 200


async def test_many_cost_as_many_statements_as_one(
    world: World, alice: Person, statements: Callable[[], Any]
) -> None:
    items = [await sell(alice, f"Lamp {number}", tags=["old"]) for number in range(12)]
    me = Principal(alice.id, PERMISSIONS[Role.USER], 1)
    costs: dict[str, list[int]] = {"update": [], "delete": []}
    for count in (1, 12):
        for kind, cost in costs.items():
            with suppress(_UndoneError):
                async with world.database.transaction() as db:
                    service = build_item_change_service(db, world.resources)
                    with statements() as sent:
                        outcomes: list[Any] = (
                            await service.update_many(
                                [to(item, me, title="Other", tags=["new"]) for item in items[:count]]
                            )
                            if kind == "update"
                            else await service.delete_many(
                                [Deletion(item["id"], me) for item in items[:count]]
                            )
                        )
                    assert not any(isinstance(outcome, TradepostError) for outcome in outcomes)
                    raise _UndoneError
            cost.append(len(sent))
    assert all(one == many for one, many in costs.values())
    async with world.database.read() as reading:
        assert await reading.scalar(select(func.count()).select_from(Item)) == 12
