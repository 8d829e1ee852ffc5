"""Lists of items: what is in them, in which order, and how they are paged."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import httpx
import pytest

from tests.conftest import Person, World
from tests.items.market import (
    ITEMS,
    MINE,
    SEARCH,
    change,
    faults,
    new_category,
    page,
    sell,
    set_columns,
    titles,
)
from tradepost.core.wire.folding import sort_key


class TestFilters:
    async def test_by_price(self, client: httpx.AsyncClient, alice: Person) -> None:
        for price in (0.01, 10, 10.01, 20, 9_999_999_999.99):
            await sell(alice, str(price), price)
        for query, wanted in (
            ({"min_price": 10}, ["10", "10.01", "20", "9999999999.99"]),
            ({"min_price": "10.01"}, ["10.01", "20", "9999999999.99"]),
            ({"max_price": 10}, ["0.01", "10"]),
            ({"max_price": "0"}, []),
            (
                {"min_price": "0.00", "max_price": "9999999999.99"},
                ["0.01", "10", "10.01", "20", "9999999999.99"],
            ),
            ({"min_price": "10.00", "max_price": "10.00"}, ["10"]),
            ({"min_price": "10.02", "max_price": "19.99"}, []),
        ):
            assert await titles(client, sort="price", **query) == wanted, query
            assert sorted(await titles(client, SEARCH, q=".", **query)) == sorted(
                title for title in wanted if "." in title
            )

    async def test_by_price_means_the_price_not_the_discount(
        self, client: httpx.AsyncClient, alice: Person
    ) -> None:
        await sell(alice, "Lamp", 100, discount_price=1)
        assert await titles(client, max_price=50) == []
        assert await titles(client, min_price=50) == ["Lamp"]

    @pytest.mark.parametrize("path", [ITEMS, SEARCH])
    async def test_bad_prices_are_named(self, client: httpx.AsyncClient, path: str) -> None:
        for name in ("min_price", "max_price"):
            for value in (
                "-1",
                "x",
                "NaN",
                "Infinity",
                "-inf",
                "1.001",
                "1e300",
                "12345678901",
                "true",
                "1,5",
            ):
                (fault,) = faults(await client.get(path, params={"q": "x", name: value}))
                assert fault[0] == ["query", name], value
        answer = await client.get(path, params={"q": "x", "min_price": "10.01", "max_price": 10})
        assert faults(answer) == [(["query", "min_price"], "value_error")]

    async def test_by_status(self, alice: Person) -> None:
        for status in ("active", "inactive", "draft"):
            await sell(alice, status, status=status)
        for status in ("active", "inactive", "draft"):
            assert await titles(alice.api, status_filter=status) == [status]
        for bad in ("sold", " ", "Active"):
            assert faults(await alice.api.get(ITEMS, params={"status_filter": bad}))[0][0] == [
                "query",
                "status_filter",
            ]

    async def test_by_owner(self, client: httpx.AsyncClient, alice: Person, bob: Person) -> None:
        await sell(alice, "of alice")
        await sell(bob, "of bob")
        assert await titles(client, owner_id=alice.id) == ["of alice"]
        assert await titles(client, owner_id=bob.id) == ["of bob"]
        assert (await page(client, owner_id=2**63 - 1))["total"] == 0
        for bad in ("0", "-1", str(2**63), "x", "1.5", " "):
            assert faults(await client.get(ITEMS, params={"owner_id": bad}))[0][0] == ["query", "owner_id"]

    async def test_by_tags_all_of_them(self, client: httpx.AsyncClient, alice: Person) -> None:
        await sell(alice, "both", tags=["red", "big one"])
        await sell(alice, "red", tags=["red"])
        await sell(alice, "none")
        assert await titles(client, tag="red", sort="title") == ["both", "red"]
        assert await titles(client, tag=["red", "big one"]) == ["both"]
        assert await titles(client, tag=["red", "red", " RED "]) == ["red", "both"]
        assert await titles(client, tag="  Big   ONE ") == ["both"]
        assert await titles(client, tag=["red", "unknown"]) == []
        for wildcard in ("re", "%", "r_d", "re%"):
            assert await titles(client, tag=wildcard) == []
        assert await titles(client, tag=[f"t{number}" for number in range(20)]) == []
        for bad in (" ", "x" * 51, ["x"] * 21, "a\u200bb"):
            assert faults(await client.get(ITEMS, params={"tag": bad}))[0][0][:2] == ["query", "tag"]

    async def test_by_category_with_its_descendants(
        self, client: httpx.AsyncClient, alice: Person, admin: Person
    ) -> None:
        house = await new_category(admin, "House")
        lights = await new_category(admin, "Lights", parent_id=house["id"])
        lamps = await new_category(admin, "Lamps", parent_id=lights["id"])
        other = await new_category(admin, "Other")
        for category in (house, lights, lamps, other):
            await sell(alice, category["name"], category_id=category["id"])
        await sell(alice, "nowhere")
        for category, wanted in (
            (house, ["Lamps", "Lights", "House"]),
            (lights, ["Lamps", "Lights"]),
            (lamps, ["Lamps"]),
            (other, ["Other"]),
        ):
            assert await titles(client, category=category["id"]) == wanted
            assert await titles(client, category=category["slug"]) == wanted
        for unknown in ("nothing", "0", "999999", str(2**63), "9" * 120, "-1", "Lamps", "lam%", "¹"):
            assert (await page(client, category=unknown))["total"] == 0, unknown
        assert faults(await client.get(ITEMS, params={"category": "x" * 121}))[0][0] == ["query", "category"]

    async def test_together(
        self, client: httpx.AsyncClient, alice: Person, bob: Person, admin: Person
    ) -> None:
        category = await new_category(admin, "Lights")
        full: dict[str, Any] = {
            "price": 20,
            "tags": ["red", "big"],
            "category_id": category["id"],
            "description": "It glows",
        }
        await sell(alice, "all of it", **full)
        await sell(bob, "another's", **full)
        for missing in (
            {"price": 5},
            {"price": 50},
            {"tags": ["red"]},
            {"category_id": None},
            {"description": "No"},
            {"status": "draft"},
        ):
            await sell(alice, "not all", **(full | missing))
        query: dict[str, Any] = {
            "status_filter": "active",
            "category": "lights",
            "tag": ["red", "big"],
            "owner_id": alice.id,
            "min_price": 10,
            "max_price": 30,
            "q": "GLOW",
        }
        for caller in (client, alice.api, bob.api, admin.api):
            envelope = await page(caller, **query)
            assert ([item["title"] for item in envelope["items"]], envelope["total"]) == (["all of it"], 1)
        assert await titles(bob.api, **(query | {"owner_id": bob.id})) == ["another's"]
        for name in query:
            assert len(await titles(admin.api, **{key: query[key] for key in query if key != name})) >= 1

    async def test_unknown_and_empty_ones(self, client: httpx.AsyncClient, alice: Person) -> None:
        await sell(alice)
        for empty in ("q", "sort", "tag", "category", "owner_id", "min_price", "status_filter"):
            assert await titles(client, **{empty: ""}) == ["Lamp"], "as good as not sent"
        for bad in (
            {"unknown": "x"},
            {"q": "x" * 201},
            {"sort": "id"},
            {"sort": "--price"},
            {"sort": "owner_id"},
        ):
            (fault,) = faults(await client.get(ITEMS, params=bad))
            assert fault[0] == ["query", *bad]


WORDS = [
    "Zebra",
    "apple",
    "Apple",
    "Éclair",
    "éclair",
    "10",
    "9",
    "a b",
    "a-b",
    "a",
    "\uff5e",
    "😀",
    "z",
    "_",
    "%",
]


class TestOrder:
    async def test_newest_first_unless_said(self, client: httpx.AsyncClient, alice: Person) -> None:
        for title in ("first", "second", "third"):
            await sell(alice, title, description="thing")
        assert await titles(client) == ["third", "second", "first"]
        assert await titles(alice.api, MINE) == ["third", "second", "first"]
        assert await titles(client, SEARCH, q="thing") == ["third", "second", "first"]
        assert await titles(client, sort="created_at") == ["first", "second", "third"]

    async def test_titles_go_without_regard_to_case_and_accents(
        self, client: httpx.AsyncClient, alice: Person
    ) -> None:
        for title in WORDS:
            await sell(alice, title)
        # Equal ones in the order of their ids.
        ordered = sorted(WORDS, key=sort_key)
        assert await titles(client, sort="title") == ordered
        assert await titles(client, sort="-title") == ordered[::-1]
        apples = [ordered.index(word) for word in ("apple", "Apple", "Éclair", "éclair")]
        assert apples == list(range(apples[0], apples[0] + 4))

    async def test_prices_go_by_value(self, client: httpx.AsyncClient, alice: Person) -> None:
        prices = [9, 10, 100, 9.5, 0.01, 9_999_999_999.99, 99.99]
        for price in prices:
            await sell(alice, price=price)
        for sort, wanted in (("price", sorted(prices)), ("-price", sorted(prices, reverse=True))):
            assert [item["price"] for item in (await page(client, sort=sort))["items"]] == wanted

    @pytest.mark.parametrize("field", ["created_at", "price", "title", "views"])
    async def test_ties_go_by_id(
        self, world: World, client: httpx.AsyncClient, alice: Person, field: str
    ) -> None:
        values: dict[str, Any] = {
            "created_at": world.resources.clock.now(),
            "price": Decimal(7),
            "title_key": "same",
            "views": 3,
        }
        column = "title_key" if field == "title" else field
        items = [await sell(alice, price=7) for _ in range(7)]
        # Backwards, so that the order on disk is another.
        for item in reversed(items):
            await set_columns(world, item, **{column: values[column]})
        lesser: dict[str, Any] = {
            "created_at": values["created_at"] - timedelta(days=1),
            "price": Decimal(6),
            "title_key": "less",
            "views": 2,
        }
        await set_columns(world, items[3], **{column: lesser[column]})
        tied = [item["id"] for number, item in enumerate(items) if number != 3]
        for caller, path in ((client, ITEMS), (alice.api, ITEMS), (alice.api, MINE)):
            for sort, wanted in (
                (field, [items[3]["id"], *tied]),
                (f"-{field}", [*tied[::-1], items[3]["id"]]),
            ):
                found: list[dict[str, Any]] = []
                for skip in range(0, 8, 2):
                    answer = (await caller.get(path, params={"sort": sort, "skip": skip, "limit": 2})).json()
                    found += answer if isinstance(answer, list) else answer["items"]
                assert [item["id"] for item in found] == wanted

    async def test_a_change_does_not_make_an_item_new(self, client: httpx.AsyncClient, alice: Person) -> None:
        first = await sell(alice, "first")
        await sell(alice, "second")
        await change(alice, first, description="x")
        assert await titles(client) == ["second", "first"]
