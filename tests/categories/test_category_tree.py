"""What may hang where in the tree, and what becomes of a deleted category's children and items."""

from typing import Any

import httpx
import pytest
from sqlalchemy import select

from tests.categories.test_categories import CATEGORIES, code, location, make, names, sell, shown
from tests.conftest import Person, World
from tradepost.categories.models import Category
from tradepost.categories.service import MAX_LEVELS, CategoryService


async def chain(admin: Person, levels: int, prefix: str = "Level") -> list[dict[str, Any]]:
    made: list[dict[str, Any]] = []
    for level in range(levels):
        made.append(await make(admin, f"{prefix} {level}", made[-1] if made else None))
    return made


async def move(admin: Person, category: dict[str, Any], parent_id: int | None) -> httpx.Response:
    return await admin.api.patch(f"{CATEGORIES}{category['id']}", json={"parent_id": parent_id})


class TestParents:
    async def test_an_unknown_parent(self, admin: Person) -> None:
        answer = await admin.api.post(CATEGORIES, json={"name": "Books", "parent_id": 10**9})
        assert location(answer) == ["body", "parent_id"]
        books = await make(admin, "Books")
        assert location(await move(admin, books, 10**9)) == ["body", "parent_id"]

    async def test_moving_takes_the_subtree_along(self, client: httpx.AsyncClient, admin: Person) -> None:
        books, comics, _manga = await chain(admin, 3)
        art = await make(admin, "Art")
        answer = await move(admin, comics, art["id"])
        assert answer.status_code == 200
        assert names(answer.json()["children"]) == ["Level 2"]
        tree = (await shown(client, tree=True))["categories"]
        assert names(tree) == ["Art", ["Level 1", ["Level 2"]], "Level 0"]
        assert (await move(admin, comics, None)).json()["parent_id"] is None
        tree = (await shown(client, tree=True))["categories"]
        assert names(tree) == ["Art", "Level 0", "Level 1", ["Level 2"]]
        assert (await move(admin, comics, books["id"])).json()["parent_id"] == books["id"]

    async def test_counts_with_descendants(
        self, client: httpx.AsyncClient, admin: Person, alice: Person
    ) -> None:
        top, middle, leaf = await chain(admin, 3)
        await make(admin, "Other")
        for category, status in ((top, "active"), (leaf, "active"), (leaf, "active"), (middle, "draft")):
            body = {"title": "T", "price": 1, "category_id": category["id"], "status": status}
            assert (await alice.api.post("/api/v1/items/", json=body)).status_code == 201

        def counted(categories: list[dict[str, Any]]) -> dict[str, int | None]:
            found = {category["name"]: category.get("items_count") for category in categories}
            for category in categories:
                found |= counted(category["children"] or [])
            return found

        expected = {"Level 0": 3, "Level 1": 2, "Level 2": 2, "Other": 0}
        for query in ({"tree": True}, {}):
            assert counted((await shown(client, counts=True, **query))["categories"]) == expected
            assert set(counted((await shown(client, **query))["categories"]).values()) == {None}
        one = (await client.get(f"{CATEGORIES}{middle['id']}", params={"counts": True})).json()
        assert counted([one]) == {"Level 1": 2, "Level 2": 2}

    async def test_no_circles(self, client: httpx.AsyncClient, admin: Person) -> None:
        categories = await chain(admin, 3)
        before = await shown(client, tree=True)
        for descendant in categories:
            answer = await move(admin, categories[0], descendant["id"])
            assert code(answer) == (400, "CATEGORY_CYCLE")
        assert code(await move(admin, categories[1], categories[2]["id"])) == (400, "CATEGORY_CYCLE")
        assert await shown(client, tree=True) == before

    async def test_ten_levels(self, client: httpx.AsyncClient, admin: Person) -> None:
        deep = await chain(admin, MAX_LEVELS)
        answer = await admin.api.post(CATEGORIES, json={"name": "More", "parent_id": deep[-1]["id"]})
        assert code(answer) == (400, "CATEGORY_TOO_DEEP")
        small = await chain(admin, 3, "Small")
        assert code(await move(admin, small[0], deep[7]["id"])) == (400, "CATEGORY_TOO_DEEP")
        assert code(await move(admin, small[2], deep[9]["id"])) == (400, "CATEGORY_TOO_DEEP")
        assert (await move(admin, small[0], deep[6]["id"])).status_code == 200
        root = (await client.get(f"{CATEGORIES}{deep[0]['id']}")).json()
        levels = 0
        while root:
            levels, root = levels + 1, next(iter(root["children"]), None)
        assert levels == MAX_LEVELS


class TestDeleting:
    async def test_one_in_use_is_refused(
        self, client: httpx.AsyncClient, admin: Person, alice: Person
    ) -> None:
        books, comics = await chain(admin, 2)
        await sell(alice, comics)
        for category in (books, comics):
            answer = await admin.api.delete(f"{CATEGORIES}{category['id']}")
            assert code(answer) == (409, "CATEGORY_IN_USE")
            assert "move_to" in answer.json()["detail"]
        assert names((await shown(client, tree=True))["categories"]) == ["Level 0", ["Level 1"]]

    async def test_children_and_items_move(
        self, client: httpx.AsyncClient, admin: Person, alice: Person
    ) -> None:
        books, comics, manga = await chain(admin, 3)
        art = await make(admin, "Art")
        item_id = await sell(alice, comics)
        for target in (art, books):
            answer = await admin.api.delete(f"{CATEGORIES}{comics['slug']}", params={"move_to": target["id"]})
            assert answer.status_code == 200
            moved = (await client.get(f"{CATEGORIES}{manga['id']}")).json()
            assert moved["parent_id"] == target["id"]
            assert moved["updated_at"] > manga["updated_at"]
            assert (await client.get(f"/api/v1/items/{item_id}")).json()["category_id"] == target["id"]
            assert code(await client.get(f"{CATEGORIES}{comics['id']}")) == (404, "CATEGORY_NOT_FOUND")
            # The next round deletes the one that took them over.
            comics, manga = target, moved

    async def test_unfit_targets(self, client: httpx.AsyncClient, admin: Person, alice: Person) -> None:
        books, comics, manga = await chain(admin, 3)
        await sell(alice, comics)
        before = await shown(client, tree=True)
        for target in (comics["id"], manga["id"], 10**9, 0, "art"):
            answer = await admin.api.delete(f"{CATEGORIES}{comics['id']}", params={"move_to": target})
            assert location(answer) == ["query", "move_to"]
        answer = await admin.api.delete(f"{CATEGORIES}none", params={"move_to": books["id"]})
        assert code(answer) == (404, "CATEGORY_NOT_FOUND")
        assert await shown(client, tree=True) == before

    async def test_what_moves_must_not_hang_too_deep(self, client: httpx.AsyncClient, admin: Person) -> None:
        deep, small = await chain(admin, MAX_LEVELS), await chain(admin, 3, "Small")
        path = f"{CATEGORIES}{small[0]['id']}"
        answer = await admin.api.delete(path, params={"move_to": deep[8]["id"]})
        assert code(answer) == (400, "CATEGORY_TOO_DEEP")
        assert (await client.get(path)).json()["children"] != []
        assert (await admin.api.delete(path, params={"move_to": deep[7]["id"]})).status_code == 200

    async def test_a_leaf_needs_no_target_and_may_have_one(self, admin: Person) -> None:
        deep, leaf = await chain(admin, MAX_LEVELS), await make(admin, "Leaf")
        answer = await admin.api.delete(f"{CATEGORIES}leaf", params={"move_to": deep[-1]["id"]})
        assert answer.status_code == 200
        assert code(await admin.api.get(f"{CATEGORIES}{leaf['id']}")) == (404, "CATEGORY_NOT_FOUND")


class TestForItems:
    async def test_the_subtree_as_a_statement(self, world: World, admin: Person) -> None:
        books, comics, manga = await chain(admin, 3)
        await make(admin, "Art")

        async def ids(key: str) -> set[int]:
            inside = Category.id.in_(CategoryService.subtree(key))
            async with world.database.read() as db:
                return set(await db.scalars(select(Category.id).where(inside)))

        assert await ids(str(books["id"])) == {books["id"], comics["id"], manga["id"]}
        assert await ids(comics["slug"]) == {comics["id"], manga["id"]}
        for key in ("nothing", "0", str(2**63), "9" * 200):
            assert await ids(key) == set()

    @pytest.mark.parametrize("by", ["id", "slug"])
    async def test_items_are_found_in_descendants(
        self, client: httpx.AsyncClient, admin: Person, alice: Person, by: str
    ) -> None:
        books, comics, manga = await chain(admin, 3)
        art = await make(admin, "Art")
        items = {category["id"]: await sell(alice, category) for category in (books, comics, manga, art)}
        for category, inside in ((books, (books, comics, manga)), (manga, (manga,)), (art, (art,))):
            answer = await client.get("/api/v1/items/", params={"category": category[by]})
            found = {item["id"] for item in answer.json()["items"]}
            assert found == {items[each["id"]] for each in inside}
            assert answer.json()["total"] == len(inside)

    async def test_an_unknown_category(self, admin: Person, alice: Person) -> None:
        item = {"title": "Thing", "price": 10, "category_id": 10**9}
        assert location(await alice.api.post("/api/v1/items/", json=item)) == ["body", "category_id"]
