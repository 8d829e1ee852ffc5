"""Items under concurrency: nothing lost, nothing half, no 5xx."""

import asyncio
from collections import Counter
from collections.abc import Iterable
from typing import Any

import httpx
import pytest
from sqlalchemy import delete, func, select, text, update

from tests.conftest import NewPerson, Person, World
from tests.items.market import CATEGORIES, ITEMS, faults, new_category, page, path_of, read, sell
from tradepost.accounts.permissions import Role
from tradepost.accounts.repository.users import UserRepository
from tradepost.categories.models import Category
from tradepost.items.models import Item, ItemTag
from tradepost.items.view_counter import ViewCounter
from tradepost.tags.models import Tag


def statuses(answers: Iterable[httpx.Response]) -> list[int]:
    return sorted(answer.status_code for answer in answers)


class TestUpdates:
    async def test_two_at_once_both_count(self, client: httpx.AsyncClient, alice: Person) -> None:
        for _ in range(5):
            item = await sell(alice)
            answers = await asyncio.gather(
                alice.api.patch(path_of(item), json={"title": "New"}),
                alice.api.patch(path_of(item), json={"description": "New"}),
            )
            assert sorted(answer.json()["version"] for answer in answers) == [2, 3]
            found = await read(client, item)
            assert (found["title"], found["description"], found["version"]) == ("New", "New", 3)
            last = max(answers, key=lambda answer: answer.json()["version"]).json()
            assert found == last

    async def test_of_many_none_is_lost(
        self, client: httpx.AsyncClient, alice: Person, admin: Person
    ) -> None:
        item = await sell(alice, price=1)
        answers = await asyncio.gather(
            *(
                (alice, admin)[number % 2].api.put(path_of(item), json={"price": number})
                for number in range(2, 32)
            )
        )
        assert statuses(answers) == [200] * 30
        assert sorted(answer.json()["version"] for answer in answers) == list(range(2, 32))
        moments = [
            answer.json()["updated_at"] for answer in sorted(answers, key=lambda one: one.json()["version"])
        ]
        found = await read(client, item)
        assert (found["version"], found["updated_at"]) == (31, moments[-1])

    async def test_the_same_change_twice_counts_once(self, alice: Person) -> None:
        item = await sell(alice)
        answers = await asyncio.gather(
            *(alice.api.patch(path_of(item), json={"title": "New", "tags": ["a"]}) for _ in range(6))
        )
        assert {answer.json()["version"] for answer in answers} == {2}

    async def test_price_and_discount_never_cross(self, client: httpx.AsyncClient, alice: Person) -> None:
        for _ in range(8):
            item = await sell(alice, price=20, discount_price=5)
            answers = await asyncio.gather(
                alice.api.patch(path_of(item), json={"price": 10}),
                alice.api.patch(path_of(item), json={"discount_price": 15}),
            )
            assert statuses(answers) == [200, 422]
            found = await read(client, item)
            assert (found["price"], found["discount_price"]) in {(10, 5), (20, 15)}
            assert found["version"] == 2

    async def test_tags_of_one_item(self, world: World, client: httpx.AsyncClient, alice: Person) -> None:
        item = await sell(alice, tags=["start"])
        wanted = [[f"t{(number + step) % 7}" for step in range(4)] for number in range(20)]
        answers = await asyncio.gather(
            *(alice.api.patch(path_of(item), json={"tags": tags}) for tags in wanted)
        )
        assert statuses(answers) == [200] * 20
        for answer, tags in zip(answers, wanted, strict=True):
            assert answer.json()["tags"] == tags
        last = max(answers, key=lambda answer: answer.json()["version"]).json()
        assert await read(client, item) == last
        async with world.database.read() as db:
            links = select(ItemTag.position).where(ItemTag.item_id == item["id"]).order_by(ItemTag.position)
            assert list(await db.scalars(links)) == [0, 1, 2, 3]

    async def test_hiding_and_showing_keep_the_public_total_right(
        self, client: httpx.AsyncClient, alice: Person
    ) -> None:
        items = [await sell(alice) for _ in range(4)]
        assert (await page(client))["total"] == 4
        await asyncio.gather(
            *(
                alice.api.patch(path_of(item), json={"status": status})
                for item in items
                for status in ("draft", "active", "inactive")
            )
        )
        visible = (await page(client, total="false"))["items"]
        assert (await page(client))["total"] == len(visible)


class TestDeletion:
    async def test_of_two_one_deletes(
        self, client: httpx.AsyncClient, alice: Person, moderator: Person
    ) -> None:
        for _ in range(5):
            item = await sell(alice, tags=["a"])
            answers = await asyncio.gather(
                alice.api.delete(path_of(item)), moderator.api.delete(path_of(item))
            )
            assert statuses(answers) == [200, 404]
        assert (await page(client))["total"] == 0

    async def test_against_changes(self, world: World, client: httpx.AsyncClient, alice: Person) -> None:
        seen: Counter[int] = Counter()
        for turn in range(8):
            item = await sell(alice, tags=["a", "b"])
            requests = [
                alice.api.patch(path_of(item), json={"title": "New"}),
                alice.api.patch(path_of(item), json={"tags": ["c", "a"]}),
                client.get(path_of(item)),
            ]
            requests.insert(turn % 4, alice.api.delete(path_of(item)))
            deleted, *others = sorted(
                await asyncio.gather(*requests), key=lambda one: "message" not in one.json()
            )
            assert deleted.status_code == 200
            seen.update(answer.status_code for answer in others)
            assert (await client.get(path_of(item))).status_code == 404
        assert set(seen) <= {200, 404}
        async with world.database.read() as db:
            assert await db.scalar(select(func.count()).select_from(ItemTag)) == 0

    async def test_of_the_owner_while_an_item_is_made(
        self, world: World, client: httpx.AsyncClient, alice: Person
    ) -> None:
        async with world.database.transaction() as db:
            await UserRepository(db).delete(alice.id)
            making = asyncio.create_task(
                alice.api.post(ITEMS, json={"title": "Lamp", "price": 1, "tags": ["new"]})
            )
            done, _ = await asyncio.wait([making], timeout=0.3)
            assert not done
        answer = await making
        assert answer.status_code == 401
        assert answer.json()["detail"] == "Could not validate credentials"
        assert answer.headers["www-authenticate"] == "Bearer"
        assert (await page(client))["items"] == []
        assert (await client.get("/api/v1/tags/")).json()["tags"] == []

    async def test_of_the_owner_while_an_item_is_changed(self, world: World, alice: Person) -> None:
        item = await sell(alice)
        async with world.database.transaction() as db:
            await UserRepository(db).delete(alice.id)
            changing = asyncio.create_task(alice.api.patch(path_of(item), json={"tags": ["new"]}))
            done, _ = await asyncio.wait([changing], timeout=0.3)
            assert not done
        assert (await changing).status_code == 404

    async def test_of_owners_who_are_selling(
        self, new_person: NewPerson, admin: Person, client: httpx.AsyncClient
    ) -> None:
        for turn in range(4):
            owner = await new_person(f"Owner{turn}")
            item = await sell(owner, tags=["a"])
            answers = await asyncio.gather(
                owner.api.post(ITEMS, json={"title": "Lamp", "price": 1, "tags": ["a", "b"]}),
                owner.api.patch(path_of(item), json={"tags": ["b", "a"]}),
                admin.api.delete(f"/api/v1/users/{owner.id}"),
                owner.api.post(ITEMS, json={"title": "Lamp", "price": 1, "tags": ["b", "c"]}),
                owner.api.delete(path_of(item)),
            )
            assert answers[2].status_code == 200
            assert set(statuses(answers)) <= {200, 201, 401, 404}
        assert (await page(client, total="false"))["items"] == []

    async def test_of_the_category_while_an_item_comes_into_it(
        self, world: World, client: httpx.AsyncClient, alice: Person, admin: Person
    ) -> None:
        for method in ("POST", "PATCH"):
            category = await new_category(admin, "Lights")
            item = await sell(alice)
            path, body = (ITEMS, {"title": "Lamp", "price": 1}) if method == "POST" else (path_of(item), {})
            async with world.database.transaction() as db:
                await db.execute(delete(Category).where(Category.id == category["id"]))
                coming = asyncio.create_task(
                    alice.api.request(method, path, json=body | {"category_id": category["id"]})
                )
                done, _ = await asyncio.wait([coming], timeout=0.3)
                assert not done
            assert faults(await coming) == [(["body", "category_id"], "unknown_category")]
            assert await read(client, item) == item

    async def test_of_categories_into_which_items_come(
        self, alice: Person, admin: Person, client: httpx.AsyncClient
    ) -> None:
        for turn in range(6):
            category = await new_category(admin, f"Lights {turn}")
            item = await sell(alice)
            requests = [
                alice.api.post(ITEMS, json={"title": "Lamp", "price": 1, "category_id": category["id"]}),
                alice.api.patch(path_of(item), json={"category_id": category["id"]}),
            ]
            requests.insert(turn % 3, admin.api.delete(f"{CATEGORIES}{category['id']}"))
            answers = await asyncio.gather(*requests)
            deletion = answers.pop(turn % 3)
            if deletion.status_code == 200:
                assert statuses(answers) == [422, 422]
            else:
                assert deletion.status_code == 409
                assert {200, 201} & set(statuses(answers))


class TestTags:
    async def test_many_new_items_share_new_tags(
        self, world: World, client: httpx.AsyncClient, alice: Person
    ) -> None:
        names = [f"tag {number}" for number in range(10)]
        items = [await sell(alice) for _ in range(5)]
        orders = [names[turn % 10 :] + names[: turn % 10] for turn in range(25)]
        answers = await asyncio.gather(
            *(alice.api.post(ITEMS, json={"title": "L", "price": 1, "tags": tags}) for tags in orders[:20]),
            *(
                alice.api.patch(path_of(item), json={"tags": tags[::-1]})
                for item, tags in zip(items, orders[20:], strict=True)
            ),
        )
        assert statuses(answers) == [200] * 5 + [201] * 20
        for answer, tags in zip(answers, orders[:20], strict=False):
            assert answer.json()["tags"] == tags
        async with world.database.read() as db:
            assert sorted(await db.scalars(select(Tag.name))) == sorted(names)
            assert await db.scalar(select(func.count()).select_from(ItemTag)) == 250

    async def test_staff_clean_up_meanwhile(
        self, client: httpx.AsyncClient, alice: Person, moderator: Person
    ) -> None:
        items = [await sell(alice, tags=["a", "b", "c"]) for _ in range(4)]
        for _ in range(4):
            tags = {tag["name"]: tag["id"] for tag in (await client.get("/api/v1/tags/")).json()["tags"]}
            answers = await asyncio.gather(
                *(alice.api.patch(path_of(item), json={"tags": ["c", "b", "a"]}) for item in items),
                moderator.api.delete(f"/api/v1/tags/{tags['a']}"),
                *(alice.api.patch(path_of(item), json={"tags": ["a", "d"]}) for item in items),
                moderator.api.post(f"/api/v1/tags/{tags['b']}/merge", json={"into_id": tags["c"]}),
                *(alice.api.patch(path_of(item), json={"tags": ["a", "b", "c"]}) for item in items),
                *(
                    alice.api.post(ITEMS, json={"title": "L", "price": 1, "tags": ["b", "a"]})
                    for _ in range(2)
                ),
            )
            assert set(statuses(answers)) <= {200, 201}
            for item in items:
                found = await read(client, item)
                assert len(found["tags"]) == len(set(found["tags"]))
            await sell(alice, tags=["a", "b", "c"])


class TestViews:
    async def test_writing_them_never_holds_one_item_and_waits_for_another(
        self, world: World, client: httpx.AsyncClient, alice: Person
    ) -> None:
        """Who deletes a person locks their items in another order: that would be a deadlock."""
        counter = world.resources[ViewCounter]
        first, second, kept = [await sell(alice, title) for title in ("first", "second", "kept")]
        for item in (first, second, kept):
            await read(client, item)
        async with world.database.transaction() as db:
            await db.execute(delete(Item).where(Item.id == second["id"]))
            writing = asyncio.create_task(counter.flush())
            await asyncio.wait([writing], timeout=0.3)
            assert not writing.done()
            await db.execute(delete(Item).where(Item.id == first["id"]))
        await writing
        assert [(item["title"], item["views"]) for item in (await page(client))["items"]] == [("kept", 1)]

    async def test_of_an_item_that_is_being_changed_they_are_written_after_it(
        self, world: World, client: httpx.AsyncClient, alice: Person
    ) -> None:
        counter = world.resources[ViewCounter]
        items = [await sell(alice, title) for title in ("first", "second")]
        for item in items:
            await read(client, item)
        async with world.database.transaction() as db:
            await db.execute(update(Item).where(Item.id == items[0]["id"]).values(version=2))
            writing = asyncio.create_task(counter.flush())
            await asyncio.wait([writing], timeout=0.3)
        await writing
        assert [(item["version"], item["views"]) for item in (await page(client))["items"]] == [
            (1, 1),
            (2, 1),
        ]


class TestSearches:
    async def test_slow_ones_hold_up_no_list(
        self, world: World, client: httpx.AsyncClient, alice: Person
    ) -> None:
        if world.engine == "sqlite":
            pytest.skip("nothing that can be locked stops a reader of SQLite")
        item = await sell(alice)
        async with world.database.transaction() as db:
            # Only searches look at the words of items.
            await db.execute(text("LOCK TABLE item_texts IN ACCESS EXCLUSIVE MODE"))
            searches = [asyncio.create_task(client.get(ITEMS, params={"q": letter})) for letter in "abcdefgh"]
            done, _ = await asyncio.wait(searches, timeout=0.2)
            assert not done
            async with asyncio.timeout(5):
                assert [found["id"] for found in (await page(client))["items"]] == [item["id"]]
                await read(client, item)
        assert statuses(await asyncio.gather(*searches)) == [200] * 8


@pytest.mark.parametrize("role", [Role.USER, Role.ADMIN])
async def test_a_crowd_does_everything_at_once(
    world: World, client: httpx.AsyncClient, new_person: NewPerson, role: Role
) -> None:
    people = [await new_person(f"Person{number}", role) for number in range(4)]
    items = [await sell(person, tags=["a", "b"]) for person in people for _ in range(2)]

    async def live(number: int) -> list[int]:
        person, answers = people[number % 4], []
        for step in range(6):
            item = items[(number * 3 + step) % 8]
            calls: list[tuple[str, str, dict[str, Any]]] = [
                ("PATCH", path_of(item), {"json": {"tags": ["b", "c", "a"], "price": 5}}),
                ("GET", path_of(item), {}),
                ("POST", ITEMS, {"json": {"title": "L", "price": 1, "tags": ["c", "d", "a"]}}),
                ("GET", ITEMS, {"params": {"tag": "a", "q": "l"}}),
                ("PATCH", path_of(item), {"json": {"status": "draft"}}),
                ("DELETE", path_of(item), {}),
            ]
            method, path, sent = calls[(number + step) % 6]
            answers.append((await person.api.request(method, path, **sent)).status_code)
        return answers

    found = await asyncio.gather(*(live(number) for number in range(16)))
    assert {status for answers in found for status in answers} <= {200, 201, 403, 404}
    await world.resources[ViewCounter].flush()


@pytest.mark.parametrize("how", ["category", "tag"])
async def test_many_items_are_locked_in_one_order_by_everybody(
    world: World, alice: Person, admin: Person, how: str
) -> None:
    """Uploads that end together lock several items: whoever changes many at once must not meet them crosswise."""
    if world.engine == "sqlite":
        # One writer at a time.
        return
    source, target = await new_category(admin, "Source"), await new_category(admin, "Target")
    first, second = [await sell(alice, category_id=source["id"], tags=["old"]) for _ in range(2)]
    async with world.database.transaction() as db:
        # The first lies behind the second now, and a plain UPDATE comes to it last.
        await db.execute(update(Item).where(Item.id == first["id"]).values(views=1))
    async with world.database.transaction() as db:
        lock = select(Item.id).with_for_update(nowait=True)
        await db.execute(lock.where(Item.id == first["id"]))
        if how == "category":
            change = admin.api.delete(f"{CATEGORIES}{source['id']}", params={"move_to": target["id"]})
        else:
            tag_id = await db.scalar(select(Tag.id).where(Tag.name == "old"))
            change = admin.api.delete(f"/api/v1/tags/{tag_id}")
        changing = asyncio.create_task(change)
        await asyncio.sleep(0.3)
        assert not changing.done()
        await db.execute(lock.where(Item.id == second["id"]))
    assert (await changing).status_code == 200


async def test_a_tag_that_is_renamed_takes_items_before_their_links(
    world: World, alice: Person, admin: Person
) -> None:
    """Whoever deletes an item has the database take its links after it: the other way round they wait in a circle."""
    if world.engine == "sqlite":
        # One writer at a time.
        return
    item = await sell(alice, tags=["old"])
    async with world.database.transaction() as db:
        await db.execute(select(Item.id).where(Item.id == item["id"]).with_for_update())
        tag_id = await db.scalar(select(Tag.id).where(Tag.name == "old"))
        renaming = asyncio.create_task(admin.api.put(f"/api/v1/tags/{tag_id}", json={"name": "new"}))
        await asyncio.sleep(0.3)
        assert not renaming.done()
        await db.execute(delete(ItemTag).where(ItemTag.item_id == item["id"]))
    assert (await renaming).status_code == 200
