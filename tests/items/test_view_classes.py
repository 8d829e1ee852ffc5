"""The class of views: triggers keep it on both engines, and lists by views are the same through its index and without."""

import itertools
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import insert, select, update

from tests.conftest import Person, World
from tests.items.market import ITEMS, sell
from tradepost.items.models import Item
from tradepost.items.repository import statements
from tradepost.items.repository.views import ItemViewRepository
from tradepost.items.texts import MANY_VIEWS, views_class

VIEWS = (0, 7, 99, 100, 100, 199, 200, 4_711, 12_345_678_901)


@given(st.integers(0, 2**62), st.integers(0, 2**62))
def test_classes_sort_like_the_views(one: int, other: int) -> None:
    assert (views_class(one) <= views_class(other)) or one > other
    assert (views_class(one) == 0) is (one < MANY_VIEWS)


@pytest.mark.parametrize(
    ("views", "number"), [(99, 0), (100, 31), (199, 31), (200, 32), (1_000, 41), (2**63 - 1, 199)]
)
def test_a_class_is_the_number_of_digits_and_the_first(views: int, number: int) -> None:
    assert views_class(views) == number


async def classes(world: World) -> dict[int, int]:
    async with world.database.read() as db:
        found = await db.execute(select(Item.views, Item.views_class))
        return {row.views: row.views_class for row in found}


async def viewed(world: World, person: Person) -> list[int]:
    """Sell items with ``VIEWS``, which are written past the services, and return their ids."""
    ids = [int((await sell(person, f"T{number}"))["id"]) for number in range(len(VIEWS))]
    async with world.database.transaction() as db:
        for item_id, views in zip(ids, VIEWS, strict=True):
            await db.execute(update(Item).where(Item.id == item_id).values(views=views))
    return ids


async def test_the_database_keeps_the_class_whoever_writes_views(world: World, alice: Person) -> None:
    ids = await viewed(world, alice)
    assert await classes(world) == {views: views_class(views) for views in VIEWS}
    async with world.database.transaction() as db:
        await ItemViewRepository(db).add_views({ids[2]: 1, ids[5]: 1, ids[7]: 1})
        copied = (
            await db.execute(
                select(*(c for c in Item.__table__.columns if c.name not in ("id", "views_class"))).where(
                    Item.id == ids[0]
                )
            )
        ).one()
        await db.execute(insert(Item), [{**copied._mapping, "views": 999_999}])
    found = await classes(world)
    assert {99, 199, 4_711}.isdisjoint(found)
    assert found == {views: views_class(views) for views in found}
    assert found[999_999] == 69
    assert found[4_712] == 44


@pytest.mark.parametrize("limit", [1, 2, 4, 100])
async def test_the_most_viewed_come_first_through_the_index_and_past_it(
    world: World, client: httpx.AsyncClient, alice: Person, moderator: Person, limit: int
) -> None:
    ids = await viewed(world, alice)
    hidden = ids[7]
    assert (await alice.api.patch(f"{ITEMS}{hidden}", json={"status": "draft"})).status_code == 200
    ranked = sorted(zip(VIEWS, ids, strict=True), reverse=True)
    for caller, everything in (
        (client, [one for _, one in ranked if one != hidden]),
        (moderator.api, [one for _, one in ranked]),
        (alice.api, [one for _, one in ranked]),
    ):
        for more in ({}, {"total": "false"}, {"status_filter": "active"}):
            wanted = [one for one in everything if not more.get("status_filter") or one != hidden]
            assert await walked(caller, limit, more) == wanted
        page = await caller.get(ITEMS, params={"sort": "-views", "skip": 3, "limit": limit})
        assert [item["id"] for item in page.json()["items"]] == everything[3 : 3 + limit]
        assert page.json()["total"] == len(everything)
    popular = await client.get(f"{ITEMS}popular", params={"limit": limit})
    assert [item["id"] for item in popular.json()["items"]] == [one for _, one in ranked if one != hidden][
        :limit
    ]


@pytest.mark.parametrize("far", [1, 3, 1 << 16])
async def test_lists_by_views_are_the_same_however_far_is_walked_for_as_many(
    world: World,
    client: httpx.AsyncClient,
    alice: Person,
    monkeypatch: pytest.MonkeyPatch,
    far: int,
) -> None:
    """Lists that begin, go on and end among items with as many views, on both sides of a hundred, with gaps in the ids."""
    given = [0, 99, 1, 0, 100, 0, 250, 1, 0, 199, 1, 99, 100, 0, 3, 1, 250, 0]
    ids = [int((await sell(alice, f"T{number}"))["id"]) for number in range(len(given))]
    async with world.database.transaction() as db:
        for item_id, views in zip(ids, given, strict=True):
            await db.execute(update(Item).where(Item.id == item_id).values(views=views))
    for gone in (0, 7):
        assert (await alice.api.delete(f"{ITEMS}{ids[gone]}")).status_code == 200
    hidden = ids[3]
    assert (await alice.api.patch(f"{ITEMS}{hidden}", json={"status": "draft"})).status_code == 200
    left = [(views, one) for views, one in zip(given, ids, strict=True) if one not in {ids[0], ids[7]}]
    monkeypatch.setattr(statements, "FAR", far)
    statements._page_like.cache_clear()
    try:
        for sort, caller, limit in itertools.product(("views", "-views"), (client, alice.api), (1, 2, 5)):
            ranked = [one for _, one in sorted(left, reverse=sort[0] == "-")]
            wanted = [one for one in ranked if caller is alice.api or one != hidden]
            assert await walked(caller, limit, {"sort": sort}) == wanted
            for skip in range(0, len(wanted) + 1, limit):
                page = await caller.get(ITEMS, params={"sort": sort, "skip": skip, "limit": limit})
                assert [item["id"] for item in page.json()["items"]] == wanted[skip : skip + limit]
                assert page.json()["total"] == len(wanted)
    finally:
        statements._page_like.cache_clear()


async def walked(caller: httpx.AsyncClient, limit: int, more: dict[str, Any]) -> list[int]:
    found: list[int] = []
    query = {"sort": "-views", "limit": limit, **more}
    while True:
        answer = await caller.get(ITEMS, params=query)
        assert answer.status_code == 200, answer.text
        page = answer.json()
        found += [item["id"] for item in page["items"]]
        if page["next_cursor"] is None:
            return found
        query = {
            "sort": query["sort"],
            "limit": limit,
            "cursor": page["next_cursor"],
            **({"status_filter": more["status_filter"]} if "status_filter" in more else {}),
        }
