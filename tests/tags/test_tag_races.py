"""Tags under concurrency: with items that are being written, and with each other."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from sqlalchemy import select

from tests.conftest import Person, World
from tradepost.core.database.sessions import WriteSession
from tradepost.items.repository.tag_links import ItemTagRepository
from tradepost.tags.dependencies import build_tag_service
from tradepost.tags.models import Tag
from tradepost.tags.service import TagService

TAGS = "/api/v1/tags/"


async def make(staff: Person, name: str) -> dict[str, Any]:
    answer = await staff.api.post(TAGS, json={"name": name})
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


async def sell(owner: Person, *tags: str) -> int:
    answer = await owner.api.post("/api/v1/items/", json={"title": "Thing", "price": 10, "tags": tags})
    assert answer.status_code == 201, answer.text
    made: int = answer.json()["id"]
    return made


async def tags_of(client: httpx.AsyncClient, item_id: int) -> list[str]:
    found: list[str] = (await client.get(f"/api/v1/items/{item_id}")).json()["tags"]
    return found


async def names(world: World) -> list[str]:
    async with world.database.read() as db:
        return list(await db.scalars(select(Tag.name).order_by(Tag.id)))


@asynccontextmanager
async def writing(world: World) -> AsyncIterator[tuple[WriteSession, TagService]]:
    """A transaction of an item's write, and the service for tags in it."""
    async with world.database.transaction() as db:
        yield db, build_tag_service(db, world.resources)


async def waits(task: "asyncio.Task[httpx.Response]") -> bool:
    """Tell whether a request is still under way after a while that is long for it."""
    done, _ = await asyncio.wait([task], timeout=0.3)
    return not done


class TestEnsure:
    async def test_makes_what_is_missing_and_leaves_the_rest(self, world: World, moderator: Person) -> None:
        old = await make(moderator, "old")
        async with writing(world) as (_, tags):
            await tags.ensure(["new", "old", "newer"])
        assert await names(world) == ["old", "new", "newer"]
        async with writing(world) as (_, tags):
            await tags.ensure(["newer", "old", "new"])
        # No id is spent on a tag that is there.
        assert (await make(moderator, "last"))["id"] == old["id"] + 3

    async def test_nothing_to_do_costs_nothing(
        self, world: World, moderator: Person, statements: Callable[[], Any]
    ) -> None:
        await make(moderator, "old")
        with statements() as sent:
            async with writing(world) as (_, tags):
                await tags.ensure([])
        assert [statement for statement in sent if "tags" in statement] == []
        with statements() as sent:
            async with writing(world) as (_, tags):
                await tags.ensure(["old", "old"])
        assert len([statement for statement in sent if "tags" in statement]) == 1

    async def test_many_writes_with_the_same_new_tags(self, world: World, alice: Person) -> None:
        wanted = [f"tag {number}" for number in range(12)]
        orders = [wanted[turn:] + wanted[:turn] for turn in range(12)]
        await asyncio.gather(*[sell(alice, *order) for order in orders])
        assert sorted(await names(world)) == sorted(wanted)
        async with world.caller() as client:
            found = (await client.get(TAGS)).json()["tags"]
        assert {tag["item_count"] for tag in found} == {12}

    async def test_a_tag_that_another_write_is_making_is_waited_for(
        self, world: World, client: httpx.AsyncClient, alice: Person
    ) -> None:
        async with writing(world) as (_, tags):
            await tags.ensure(["fresh"])
            other = asyncio.create_task(sell(alice, "fresh"))
            await asyncio.sleep(0.2)
            assert not other.done()
        assert await tags_of(client, await other) == ["fresh"]
        assert await names(world) == ["fresh"]

    async def test_a_tag_whose_making_is_called_off_is_made_all_the_same(
        self, world: World, client: httpx.AsyncClient, alice: Person
    ) -> None:
        others: list[asyncio.Task[int]] = []

        async def call_off() -> None:
            async with writing(world) as (_, tags):
                await tags.ensure(["fresh"])
                others.append(asyncio.create_task(sell(alice, "fresh")))
                await asyncio.sleep(0.2)
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            await call_off()
        assert await tags_of(client, await others[0]) == ["fresh"]


class TestAgainstItems:
    """An item's write holds its tags until it commits; what staff do to one of them comes before or after it."""

    @pytest.mark.parametrize(
        ("method", "path", "body", "left"),
        [
            ("POST", "/merge", "target", ["target", "other"]),
            ("PATCH", "", {"name": "renamed"}, ["renamed", "other"]),
            ("DELETE", "", None, ["other"]),
        ],
    )
    async def test_the_item_is_first(
        self,
        *,
        world: World,
        client: httpx.AsyncClient,
        alice: Person,
        moderator: Person,
        method: str,
        path: str,
        body: Any,
        left: list[str],
    ) -> None:
        source, target = await make(moderator, "source"), await make(moderator, "target")
        item_id = await sell(alice)
        if body == "target":
            body = {"into_id": target["id"]}
        async with writing(world) as (db, tags):
            await tags.ensure(["source", "other"])
            request = moderator.api.request(method, f"{TAGS}{source['id']}{path}", json=body)
            change = asyncio.create_task(request)
            assert await waits(change)
            await ItemTagRepository(db).add({item_id: ["source", "other"]})
        assert (await change).status_code == 200
        assert await tags_of(client, item_id) == left

    @pytest.mark.parametrize(
        ("method", "path", "body", "left"),
        [
            ("POST", "/merge", "target", {"source", "target"}),
            ("PATCH", "", {"name": "renamed"}, {"source", "target", "renamed"}),
            ("DELETE", "", None, {"source", "target"}),
        ],
    )
    async def test_the_item_is_second(
        self,
        *,
        world: World,
        client: httpx.AsyncClient,
        alice: Person,
        moderator: Person,
        method: str,
        path: str,
        body: Any,
        left: set[str],
    ) -> None:
        source, target = await make(moderator, "source"), await make(moderator, "target")
        if body == "target":
            body = {"into_id": target["id"]}
        async with world.database.transaction() as db:
            tags = build_tag_service(db, world.resources)
            # Staff's change, before its commit.
            if method == "POST":
                await db.get(Tag, target["id"], with_for_update=True)
            tag = await db.get(Tag, source["id"], with_for_update=True)
            assert tag is not None
            if method == "PATCH":
                tag.name = "renamed"
                await db.flush()
            else:
                await tags.delete(source["id"])
            write = asyncio.create_task(sell(alice, "source", "target"))
            await asyncio.sleep(0.2)
            assert not write.done()
        # The item bears what its owner wrote, although that tag had to be made anew.
        assert await tags_of(client, await write) == ["source", "target"]
        assert set(await names(world)) == left

    async def test_items_and_staff_at_once(
        self, world: World, client: httpx.AsyncClient, alice: Person, moderator: Person
    ) -> None:
        """Whatever comes first, every item has its other tag, and no link hangs in the air."""
        for turn in range(4):
            source, target = await make(moderator, f"s{turn}"), await make(moderator, f"t{turn}")
            merge = moderator.api.post(f"{TAGS}{source['id']}/merge", json={"into_id": target["id"]})
            sales = [sell(alice, f"t{turn}", f"s{turn}", f"n{number}") for number in range(6)]
            first, answer, second = await asyncio.gather(
                asyncio.gather(*sales[:3]), merge, asyncio.gather(*sales[3:])
            )
            assert answer.status_code == 200
            for item_id in [*first, *second]:
                assert set(await tags_of(client, item_id)) - {f"s{turn}"} > {f"t{turn}"}
        counted = {tag["name"]: tag["item_count"] for tag in (await client.get(TAGS)).json()["tags"]}
        assert {counted[f"t{turn}"] for turn in range(4)} == {6}
        for turn in range(4):
            listed = (await client.get("/api/v1/items/", params={"tag": f"s{turn}"})).json()["total"]
            assert listed == counted.get(f"s{turn}", 0)


class TestAgainstEachOther:
    async def test_one_of_many_creations_wins(self, world: World, moderator: Person) -> None:
        answers = await asyncio.gather(*[moderator.api.post(TAGS, json={"name": "one"}) for _ in range(20)])
        assert Counter(answer.status_code for answer in answers) == {201: 1, 409: 19}
        assert {answer.json()["error_code"] for answer in answers if answer.status_code == 409} == {
            "TAG_EXISTS"
        }
        assert await names(world) == ["one"]

    async def test_one_of_many_renamings_wins(self, world: World, moderator: Person) -> None:
        tags = [await make(moderator, f"tag{number}") for number in range(8)]
        answers = await asyncio.gather(
            *[moderator.api.patch(f"{TAGS}{tag['id']}", json={"name": "one"}) for tag in tags]
        )
        assert Counter(answer.status_code for answer in answers) == {200: 1, 409: 7}
        assert (await names(world)).count("one") == 1

    async def test_merging_two_into_each_other_leaves_one(
        self, world: World, client: httpx.AsyncClient, alice: Person, moderator: Person
    ) -> None:
        for turn in range(5):
            left, right = await make(moderator, f"left{turn}"), await make(moderator, f"right{turn}")
            items = [await sell(alice, left["name"]), await sell(alice, right["name"])]
            answers = await asyncio.gather(
                moderator.api.post(f"{TAGS}{left['id']}/merge", json={"into_id": right["id"]}),
                moderator.api.post(f"{TAGS}{right['id']}/merge", json={"into_id": left["id"]}),
            )
            # The loser finds its target gone.
            assert sorted(answer.status_code for answer in answers) == [200, 422]
            survivor = next(answer for answer in answers if answer.status_code == 200).json()
            assert survivor["item_count"] == 2
            assert [await tags_of(client, item_id) for item_id in items] == [[survivor["name"]]] * 2
        assert len(await names(world)) == 5

    async def test_merging_and_deleting_the_target(
        self, client: httpx.AsyncClient, alice: Person, moderator: Person
    ) -> None:
        for turn in range(5):
            source, target = await make(moderator, f"s{turn}"), await make(moderator, f"t{turn}")
            item_id = await sell(alice, source["name"])
            merge, deletion = await asyncio.gather(
                moderator.api.post(f"{TAGS}{source['id']}/merge", json={"into_id": target["id"]}),
                moderator.api.delete(f"{TAGS}{target['id']}"),
            )
            assert deletion.status_code == 200
            assert merge.status_code in {200, 422}
            # Merged and then deleted, or not merged at all.
            assert await tags_of(client, item_id) == ([] if merge.status_code == 200 else [source["name"]])
