"""Facets and totals of searches, held against what the search itself finds, by each way in which they are counted."""

import random
from collections import Counter
from collections.abc import Sequence
from typing import Any

import httpx
import pytest
from sqlalchemy import update

from tests.conftest import Person, World
from tests.items.market import ITEMS, SEARCH, new_category, sell
from tradepost.core.search import statements
from tradepost.items.models import ItemText
from tradepost.items.repository import search

PRICES = (0, 10, 25, 50, 100, 250, 500, 1000, 2500, 10_000)
WORDS = ("old", "brass", "lamp", "lamps", "lomp", "日本語", "green lamp")
TAGS = ("old brass", "brass", "old", "lamp", "c++", "日本", "%")
QUESTIONS = ("lamp", "old lamp", "lam", "brass old lamp", "日本", '"old brass"', "lamp -old")
FILTERS: Sequence[dict[str, Any]] = (
    {},
    {"tag": "old"},
    {"tag": ["old", "brass"]},
    {"tag": "c++"},
    {"tag": "日本"},
    {"category": "top"},
    {"min_price": 10},
    {"max_price": "24.99", "tag": "lamp"},
    {"category": "top", "tag": "old", "min_price": "9.99", "max_price": 300},
    {"sort": "price"},
)


def spread(items: list[dict[str, Any]]) -> dict[str, dict[Any, int]]:
    """Count the categories, tags and ranges of price of items."""
    categories, tags, prices = Counter[Any](), Counter[Any](), Counter[Any]()
    for one in items:
        if one["category_id"] is not None:
            categories[one["category_id"]] += 1
        tags.update(one["tags"])
        at = max(place for place, lowest in enumerate(PRICES) if one["price"] >= lowest)
        prices[f"{PRICES[at]}-{PRICES[at + 1] - 0.01:.2f}" if at + 1 < len(PRICES) else f"{PRICES[at]}-"] += 1
    return {"category": dict(categories), "tag": dict(tags), "price": dict(prices)}


@pytest.mark.parametrize("ranked", [4, 10_000], ids=["more than are ranked", "all are ranked"])
@pytest.mark.parametrize("few", [0, 6, 1000], ids=["all are many", "some are many", "all are few"])
async def test_facets_are_those_of_what_is_found(
    *,
    world: World,
    client: httpx.AsyncClient,
    alice: Person,
    bob: Person,
    moderator: Person,
    admin: Person,
    monkeypatch: pytest.MonkeyPatch,
    few: int,
    ranked: int,
) -> None:
    chance = random.Random(few * 7 + ranked)
    monkeypatch.setattr(statements, "RANKED", ranked)
    monkeypatch.setattr(search, "RANKED", ranked)
    monkeypatch.setattr(search, "FEW", few)
    monkeypatch.setattr(search, "MOST_PRICED", few)
    top = await new_category(admin, "Top")
    low = await new_category(admin, "Low", parent_id=top["id"])
    ids = [
        (
            await sell(
                chance.choice([alice, bob]),
                " ".join(chance.choices(WORDS, k=2)),
                price=chance.choice([1, 9.99, 10, 24.99, 25, 300, 20_000]),
                tags=chance.sample(TAGS, k=chance.randint(0, 3)),
                description=chance.choice([None, "lamp", "old brass lamp"]),
                status=chance.choice(["active", "active", "active", "draft"]),
                category_id=chance.choice([None, top["id"], low["id"]]),
            )
        )["id"]
        for _ in range(24)
    ]
    async with world.database.transaction() as db:
        # Those whose tags have changed since their texts were written.
        await db.execute(
            update(ItemText).where(ItemText.item_id.in_(chance.sample(ids, 8))).values(tag_names=None)
        )
    for question in QUESTIONS:
        for query in chance.sample(FILTERS, 4):
            # Two hundred combinations: each way of counting has a few of its own.
            caller = chance.choice([client, alice.api, moderator.api])
            asked = {"q": question, "limit": 100, **query}
            await agree(caller, asked, is_cut=ranked == 4 and any(mark in question for mark in '"-'))


async def agree(caller: httpx.AsyncClient, asked: dict[str, Any], *, is_cut: bool) -> None:
    """Hold one answer with facets against the one without; ``is_cut`` if facets are of more than what is shown."""
    faceted = (await caller.get(SEARCH, params={**asked, "facets": "category,tag,price"})).json()
    plain = await caller.get(SEARCH, params=asked)
    assert [one["id"] for one in plain.json()] == [one["id"] for one in faceted["items"]], asked
    assert faceted["total"] == int(plain.headers["x-total-count"]), asked
    assert faceted["total_relation"] == plain.headers.get("x-total-count-relation", "exact"), asked
    facets = {
        name: {one["value"]: one["count"] for one in values} for name, values in faceted["facets"].items()
    }
    if is_cut:
        assert sum(facets["price"].values()) == faceted["total"], asked
    else:
        assert facets == spread(faceted["items"]), asked
        assert faceted["total"] == len(faceted["items"]), asked


async def test_a_tag_that_was_renamed_just_now_is_found_by_its_new_name(
    client: httpx.AsyncClient, alice: Person, moderator: Person
) -> None:
    await sell(alice, "gold lamp", tags=["brass"])
    (tag,) = (await client.get("/api/v1/tags/")).json()["tags"]
    renamed = await moderator.api.patch(f"/api/v1/tags/{tag['id']}", json={"name": "gold"})
    assert renamed.status_code == 200
    # Nothing has written its texts anew.
    for url in (SEARCH, ITEMS):
        answer = (await client.get(url, params={"q": "lamp", "tag": "gold"})).json()
        found = answer if url == SEARCH else answer["items"]
        assert [one["title"] for one in found] == ["gold lamp"], url
        gone = (await client.get(url, params={"q": "lamp", "tag": "brass"})).json()
        assert (gone if url == SEARCH else gone["items"]) == [], url
