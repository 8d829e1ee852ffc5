"""Changing items: only what is sent, counted by ``version``, and never more than what changed."""

from typing import Any

import httpx
import pytest

from tests.conftest import Person, World
from tests.items.market import (
    CATEGORIES,
    change,
    code,
    faults,
    new_category,
    page,
    path_of,
    read,
    sell,
    ways_to_write,
)
from tradepost.items.view_counter import ViewCounter


@pytest.fixture(params=["PUT", "PATCH"])
def method(request: pytest.FixtureRequest) -> str:
    """The two methods, which mean the same."""
    name: str = request.param
    return name


class TestChanges:
    async def test_only_sent_fields_change(
        self, client: httpx.AsyncClient, alice: Person, admin: Person, method: str
    ) -> None:
        category = await new_category(admin, "Lights")
        before = await sell(
            alice,
            "Lamp",
            20,
            description="Old",
            discount_price=15,
            tax=5,
            tags=["a"],
            category_id=category["id"],
        )
        changes: list[tuple[dict[str, Any], dict[str, Any]]] = [
            ({"title": " Torch "}, {"title": "Torch"}),
            ({"description": "New"}, {}),
            ({"price": 30}, {}),
            ({"discount_price": 10.5}, {"total_price": 11.03}),
            ({"tax": 10}, {"total_price": 11.55}),
            ({"tags": ["B", "c"]}, {"tags": ["b", "c"]}),
            ({"title": "Lamp", "price": 40}, {}),
            ({"status": "inactive"}, {}),
            ({"status": "active"}, {}),
        ]
        for sent, besides in changes:
            answer = await alice.api.request(method, path_of(before), json=sent)
            assert answer.status_code == 200, answer.text
            after = answer.json()
            expected = before | sent | besides | {"version": before["version"] + 1}
            assert after == expected | {"updated_at": after["updated_at"]}
            assert after["updated_at"] > before["updated_at"]
            assert await read(alice.api, after) == after
            before = after
        assert (await page(client))["items"] == [before]

    async def test_null_clears_what_may_be_empty(
        self, client: httpx.AsyncClient, alice: Person, admin: Person, method: str
    ) -> None:
        category = await new_category(admin, "Lights")
        item = await sell(
            alice, price=20, description="x", discount_price=15, tax=5, category_id=category["id"]
        )
        for number, field in enumerate(("description", "discount_price", "tax", "category_id"), start=2):
            answer = await alice.api.request(method, path_of(item), json={field: None})
            assert (answer.json()[field], answer.json()["version"]) == (None, number), answer.text
        assert (await read(client, item))["total_price"] == 20
        # Cleared already: nothing changes.
        answer = await alice.api.request(method, path_of(item), json={"tax": None, "category_id": None})
        assert (answer.status_code, answer.json()["version"]) == (200, 5)

    async def test_null_is_no_value_of_the_others(self, alice: Person) -> None:
        item = await sell(alice)
        for method, path, body in ways_to_write(item):
            for field, kind in (
                ("title", "string_type"),
                ("price", "number_type"),
                ("status", "enum"),
                ("tags", "list_type"),
            ):
                answer = await alice.api.request(method, path, json=body | {field: None})
                assert faults(answer) == [(["body", field], kind)], (method, field)

    async def test_what_changes_nothing_counts_for_nothing(
        self, client: httpx.AsyncClient, alice: Person, method: str
    ) -> None:
        item = await sell(alice, "Lamp", 20, description="x", discount_price=15.5, tax=5, tags=["red", "old"])
        for same in (
            {},
            {"title": "  Lamp "},
            {"price": 20.0},
            {"tags": [" RED", "Old", "red"]},
            {
                name: item[name]
                for name in (
                    "title",
                    "description",
                    "price",
                    "discount_price",
                    "tax",
                    "status",
                    "tags",
                    "category_id",
                )
            },
        ):
            answer = await alice.api.request(method, path_of(item), json=same)
            assert (answer.status_code, answer.json()) == (200, item), same
        assert await read(client, item) == item

    async def test_one_fault_stops_all_of_a_change(
        self, client: httpx.AsyncClient, alice: Person, method: str
    ) -> None:
        item = await sell(alice, price=20, discount_price=15, tags=["kept"])
        for changes in (
            {"title": "New", "price": 1},
            {"title": "New", "tags": ["new"], "category_id": 999_999},
            {"title": "New", "owner_id": 1},
            {"title": "New", "tax": 200},
        ):
            answer = await alice.api.request(method, path_of(item), json=changes)
            assert answer.status_code == 422, changes
        assert await read(client, item) == item
        assert [tag["name"] for tag in (await client.get("/api/v1/tags/")).json()["tags"]] == ["kept"]

    async def test_a_view_is_no_change(self, world: World, client: httpx.AsyncClient, alice: Person) -> None:
        item = await sell(alice)
        for _ in range(3):
            await read(client, item)
        await world.resources[ViewCounter].flush()
        seen = await read(client, item)
        assert seen["views"] == 3
        assert (seen["version"], seen["updated_at"]) == (1, item["created_at"])

    async def test_an_admin_s_change_leaves_the_item_its_owner_s(self, alice: Person, admin: Person) -> None:
        item = await sell(alice)
        changed = await change(admin, item, title="Better", status="draft")
        assert (changed["owner_id"], changed["owner"]["first_name"], changed["version"]) == (
            alice.id,
            "Alice",
            2,
        )
        assert (await change(alice, item, title="Best"))["version"] == 3

    async def test_the_owner_s_new_name_is_no_change_of_the_item(
        self, client: httpx.AsyncClient, alice: Person
    ) -> None:
        item = await sell(alice)
        await alice.api.put("/api/v1/users/me", json={"first_name": "Alicia"})
        seen = await read(client, item)
        assert seen["owner"]["full_name"] == "Alicia Tester"
        assert (seen["version"], seen["updated_at"]) == (1, item["updated_at"])


class TestTags:
    async def test_keep_the_order_in_which_they_were_written(
        self, client: httpx.AsyncClient, alice: Person
    ) -> None:
        item = await sell(alice, tags=["m", "z", "a"])
        assert (await read(client, item))["tags"] == ["m", "z", "a"]
        for version, tags in enumerate(
            (["a", "z", "m"], ["z"], ["z", "b", "a"], [], ["0", "é", "a"]), start=2
        ):
            changed = await change(alice, item, tags=tags)
            assert (changed["tags"], changed["version"]) == (tags, version)
            assert (await read(client, item))["tags"] == tags
            assert (await page(client))["items"][0]["tags"] == tags

    async def test_a_renamed_one_keeps_its_place(
        self, client: httpx.AsyncClient, alice: Person, moderator: Person
    ) -> None:
        item = await sell(alice, tags=["m", "z", "a"])
        tags = {tag["name"]: tag["id"] for tag in (await client.get("/api/v1/tags/")).json()["tags"]}
        await moderator.api.patch(f"/api/v1/tags/{tags['z']}", json={"name": "first"})
        assert (await read(client, item))["tags"] == ["m", "first", "a"]

    async def test_twenty_others_take_the_place_of_twenty(
        self, client: httpx.AsyncClient, alice: Person
    ) -> None:
        item = await sell(alice, tags=[f"old {number}" for number in range(20)])
        new = [f"new {number}" for number in range(20)]
        await change(alice, item, tags=new)
        assert (await read(client, item))["tags"] == new


class TestCategory:
    async def test_can_be_set_moved_and_taken_away(
        self, client: httpx.AsyncClient, alice: Person, admin: Person
    ) -> None:
        first, second = await new_category(admin, "One"), await new_category(admin, "Two")
        item = await sell(alice)
        for category in (first["id"], second["id"], None, first["id"]):
            item = await change(alice, item, category_id=category)
            assert item["category_id"] == category
        assert item["version"] == 5
        assert await read(client, item) == item

    async def test_one_that_is_gone_is_unknown(self, alice: Person, admin: Person) -> None:
        category = await new_category(admin, "Gone")
        item = await sell(alice, category_id=category["id"])
        assert code(await admin.api.delete(f"{CATEGORIES}{category['id']}"))[0] == 409
        await change(alice, item, category_id=None)
        assert (await admin.api.delete(f"{CATEGORIES}{category['id']}")).status_code == 200
        for method, path, body in ways_to_write(item):
            answer = await alice.api.request(method, path, json=body | {"category_id": category["id"]})
            assert faults(answer) == [(["body", "category_id"], "unknown_category")]
