"""The tree under concurrency: its rules hold whoever else is changing it, and whatever is put up for sale meanwhile."""

import asyncio
from collections import Counter
from typing import Any

import httpx
from sqlalchemy import select

from tests.categories.test_categories import CATEGORIES, make
from tests.conftest import Person, World
from tradepost.categories.dependencies import build_category_service
from tradepost.categories.models import Category
from tradepost.categories.repository import CategoryRepository
from tradepost.items.models import Item


async def parents(world: World) -> dict[int, int | None]:
    async with world.database.read() as db:
        return {row.id: row.parent_id for row in await db.execute(select(Category.id, Category.parent_id))}


def levels(tree: dict[int, int | None]) -> int:
    """The depth of the tree; fails when it has a circle."""
    deepest = 0
    for start in tree:
        at: int | None = start
        steps = 0
        while at is not None:
            at, steps = tree[at], steps + 1
            assert steps <= len(tree), "a circle"
        deepest = max(deepest, steps)
    return deepest


def move(admin: Person, category: dict[str, Any], parent: dict[str, Any]) -> Any:
    return admin.api.patch(f"{CATEGORIES}{category['id']}", json={"parent_id": parent["id"]})


async def sell(owner: Person, category: dict[str, Any]) -> httpx.Response:
    item = {"title": "Thing", "price": 10, "category_id": category["id"]}
    return await owner.api.post("/api/v1/items/", json=item)


class TestAgainstEachOther:
    async def test_two_moves_make_no_circle(self, world: World, admin: Person) -> None:
        for turn in range(5):
            left, right = await make(admin, f"Left {turn}"), await make(admin, f"Right {turn}")
            answers = await asyncio.gather(move(admin, left, right), move(admin, right, left))
            assert sorted(answer.status_code for answer in answers) == [200, 400]
            levels(await parents(world))

    async def test_many_moves_make_no_circle(self, world: World, admin: Person) -> None:
        ring = [await make(admin, f"Part {number}") for number in range(8)]
        answers = await asyncio.gather(
            *[move(admin, part, ring[(at + 1) % len(ring)]) for at, part in enumerate(ring)]
        )
        assert Counter(answer.status_code for answer in answers) == {200: 7, 400: 1}
        assert levels(await parents(world)) == 8

    async def test_two_moves_do_not_make_it_too_deep(self, world: World, admin: Person) -> None:
        """Each of them alone is fine: five levels under the fourth, and the four under another one."""
        for turn in range(3):
            lower: list[dict[str, Any]] = []
            upper: list[dict[str, Any]] = []
            for made, count in ((lower, 5), (upper, 4)):
                for level in range(count):
                    made.append(await make(admin, f"Level {turn} {level}", made[-1] if made else None))
            over = await make(admin, "Over")
            over = await make(admin, "Over", over)
            answers = await asyncio.gather(move(admin, lower[0], upper[-1]), move(admin, upper[0], over))
            assert sorted(answer.status_code for answer in answers) == [200, 400]
            assert levels(await parents(world)) <= 10

    async def test_slugs_stay_unique(self, world: World, admin: Person) -> None:
        made = await asyncio.gather(*[make(admin, "Toys") for _ in range(12)])
        assert {category["slug"] for category in made} == {"toys"} | {
            f"toys-{number}" for number in range(2, 13)
        }

    async def test_deleting_and_making_a_child(self, world: World, admin: Person) -> None:
        for turn in range(6):
            parent = await make(admin, f"Parent {turn}")
            body = {"name": f"Child {turn}", "parent_id": parent["id"]}
            calls = [admin.api.delete(f"{CATEGORIES}{parent['id']}"), admin.api.post(CATEGORIES, json=body)]
            if turn % 2:
                calls.reverse()
            answers = await asyncio.gather(*calls)
            results = sorted(answer.status_code for answer in answers)
            # The child came first and is in the way, or has no parent any more.
            assert results in ([201, 409], [200, 422])
            tree = await parents(world)
            assert (parent["id"] in tree) == (results == [201, 409])

    async def test_deleting_with_a_target_that_goes_too(
        self, world: World, admin: Person, alice: Person
    ) -> None:
        for turn in range(4):
            left, right = await make(admin, f"Left {turn}"), await make(admin, f"Right {turn}")
            for category in (left, right):
                assert (await sell(alice, category)).status_code == 201
            answers = await asyncio.gather(
                admin.api.delete(f"{CATEGORIES}{left['id']}", params={"move_to": right["id"]}),
                admin.api.delete(f"{CATEGORIES}{right['id']}", params={"move_to": left["id"]}),
            )
            assert sorted(answer.status_code for answer in answers) == [200, 422]
        assert len(await parents(world)) == 4


class TestAgainstItems:
    async def test_the_item_is_first(self, world: World, admin: Person, alice: Person) -> None:
        """The deletion waits for the item's write, and then takes the item along."""
        source, target = await make(admin, "Source"), await make(admin, "Target")
        item_id = (await sell(alice, target)).json()["id"]
        async with world.database.transaction() as db:
            assert await build_category_service(db, world.resources).lock_key_share({source["id"]})
            deletion = asyncio.create_task(
                admin.api.delete(f"{CATEGORIES}{source['id']}", params={"move_to": target["id"]})
            )
            await asyncio.sleep(0.3)
            assert not deletion.done()
            item = await db.get(Item, item_id)
            assert item is not None
            item.category_id = source["id"]
        assert (await deletion).status_code == 200
        assert (await alice.api.get(f"/api/v1/items/{item_id}")).json()["category_id"] == target["id"]

    async def test_the_item_is_second(self, world: World, admin: Person, alice: Person) -> None:
        """An item cannot be put into a category that is being deleted: the category is unknown once it is gone."""
        source = await make(admin, "Source")
        async with world.database.transaction() as db:
            await build_category_service(db, world.resources).delete(source["slug"])
            sale = asyncio.create_task(sell(alice, source))
            await asyncio.sleep(0.3)
            assert not sale.done()
        answer = await sale
        assert answer.status_code == 422
        assert answer.json()["errors"][0]["location"] == ["body", "category_id"]

    async def test_items_and_deletions_at_once(self, world: World, admin: Person, alice: Person) -> None:
        target = await make(admin, "Target")
        for turn in range(4):
            source = await make(admin, f"Source {turn}")
            path = f"{CATEGORIES}{source['id']}"
            before = [sell(alice, source) for _ in range(4)]
            after = [sell(alice, source) for _ in range(4)]
            deletion = admin.api.delete(path, params={"move_to": target["id"]})
            first, deleted, second = await asyncio.gather(
                asyncio.gather(*before), deletion, asyncio.gather(*after)
            )
            assert deleted.status_code == 200
            for answer in [*first, *second]:
                assert answer.status_code in {201, 422}
                if answer.status_code == 201:
                    item = (await alice.api.get(f"/api/v1/items/{answer.json()['id']}")).json()
                    assert item["category_id"] == target["id"]

    async def test_changes_of_the_tree_do_not_hold_up_sales(
        self, world: World, admin: Person, alice: Person
    ) -> None:
        if world.engine == "sqlite":
            # One writer at a time.
            return
        books = await make(admin, "Books")
        async with world.database.transaction() as db:
            await CategoryRepository(db).lock_tree()
            sale = asyncio.create_task(sell(alice, books))
            done, _ = await asyncio.wait([sale], timeout=5)
            assert done
            assert (await sale).status_code == 201
