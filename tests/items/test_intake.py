"""New items in groups: whatever happens to one of them, each is answered rightly, and nothing is lost or half there."""

import asyncio
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import httpx
from sqlalchemy import func, select

from tests.conftest import NewPerson, Person, World
from tests.items.market import ITEMS, faults, new_category, page, path_of
from tradepost.core.errors import Unauthenticated
from tradepost.core.principal import Principal
from tradepost.core.wire.representations import Representation
from tradepost.items.dependencies import build_item_service
from tradepost.items.intake import ItemIntake
from tradepost.items.models import Item, ItemTag
from tradepost.items.schemas import ItemCreate
from tradepost.items.service import NewItem
from tradepost.tags.models import Tag


def is_unauthenticated(answer: httpx.Response) -> bool:
    return answer.status_code == 401 and answer.headers["WWW-Authenticate"] == "Bearer"


async def test_two_hundred_at_once(
    world: World,
    client: httpx.AsyncClient,
    new_person: NewPerson,
    admin: Person,
    statements: Callable[[], Any],
) -> None:
    people = [await new_person(f"Person{number}") for number in range(5)]
    category = await new_category(admin, "Lights")
    # From here on the public total follows the writes of this process.
    assert (await page(client))["total"] == 0
    wanted = [
        {
            "title": f"Lamp {number}",
            "price": round(1 + number / 100, 2),
            "tags": [f"t{(number + step) % 9}" for step in range(number % 4)],
            "status": "draft" if number % 5 == 0 else "active",
            "category_id": (None, category["id"], 10**9, 2**63 - 1)[number % 4] if number % 3 else None,
        }
        for number in range(200)
    ]
    with statements() as sent:
        answers = await asyncio.gather(
            *(people[number % 5].api.post(ITEMS, json=new) for number, new in enumerate(wanted))
        )
    # Many a transaction, but far fewer than items.
    inserts = [statement for statement in sent if statement.startswith("INSERT INTO items ")]
    assert len(inserts) < 50

    made: list[dict[str, Any]] = []
    for number, (new, answer) in enumerate(zip(wanted, answers, strict=True)):
        if new["category_id"] not in {None, category["id"]}:
            assert faults(answer) == [(["body", "category_id"], "unknown_category")]
            continue
        assert answer.status_code == 201, answer.text
        item = answer.json()
        made.append(item)
        assert {name: item[name] for name in new} == new
        assert item["owner"]["id"] == people[number % 5].id
        assert item["created_at"] == item["updated_at"]
        assert (item["version"], item["views"], item["images"]) == (1, 0, [])
    assert 100 < len(made) < 200
    for name in ("id", "created_at", "title"):
        assert len({item[name] for item in made}) == len(made)

    shown = [item for item in made if item["status"] == "active"]
    assert (await page(client))["total"] == len(shown)
    assert (await page(client, min_price=0))["total"] == len(shown)
    stored: dict[int, dict[str, Any]] = {}
    for skip in (0, 100):
        listed = await page(admin.api, skip=skip, total="false")
        stored |= {item["id"]: item for item in listed["items"]}
    assert stored == {item["id"]: item for item in made}
    async with world.database.read() as db:
        tags = {tag for item in made for tag in item["tags"]}
        assert set(await db.scalars(select(Tag.name))) == tags
        assert await db.scalar(select(func.count()).select_from(ItemTag)) == sum(
            len(item["tags"]) for item in made
        )


async def test_of_people_who_are_deleted_meanwhile_nothing_is_left(
    world: World, client: httpx.AsyncClient, new_person: NewPerson, admin: Person
) -> None:
    people = [await new_person(f"Person{number}") for number in range(4)]
    doomed = {person.id for person in people[:2]}
    created: Counter[int] = Counter()
    sold = {person.id: asyncio.Semaphore(0) for person in people}

    async def sell(person: Person, number: int) -> None:
        new = {"title": f"Lamp {number}", "price": 1, "tags": [f"t{number % 7}", f"u{number % 3}"]}
        answer = await person.api.post(ITEMS, json=new)
        assert answer.status_code == 201 or (person.id in doomed and is_unauthenticated(answer)), answer.text
        if answer.status_code == 201:
            created[person.id] += 1
            sold[person.id].release()

    async def delete(person: Person, after: int) -> None:
        for _ in range(after):
            await sold[person.id].acquire()
        assert (await admin.api.delete(f"/api/v1/users/{person.id}")).status_code == 200

    async def sell_all(person: Person, first: int) -> None:
        # Some at once, and some one after the other, so that there is always one on its way.
        await asyncio.gather(*(sell(person, first + number) for number in range(20)))
        for number in range(20, 40):
            await sell(person, first + number)

    await asyncio.gather(
        *(sell_all(person, 100 * number) for number, person in enumerate(people)),
        delete(people[0], 1),
        delete(people[1], 25),
    )
    assert [created[person.id] for person in people[2:]] == [40, 40]
    assert created[people[1].id] >= 25
    async with world.database.read() as db:
        by_owner = select(Item.owner_id, func.count()).group_by(Item.owner_id)
        kept = {row[0]: row[1] for row in await db.execute(by_owner)}
        assert await db.scalar(select(func.count()).select_from(ItemTag)) == 160
    assert kept == {person.id: 40 for person in people[2:]}


async def test_offers_of_people_who_are_gone_are_refused_in_the_midst_of_others(
    world: World, client: httpx.AsyncClient, alice: Person, bob: Person
) -> None:
    intake = world.resources[ItemIntake]
    assert (await page(client))["total"] == 0
    owners = [alice.id, 10**9, bob.id, 2**63 - 1]
    offers = [
        (
            ItemCreate(title=f"Lamp {number}", price=1, tags=[f"t{number}", "shared"]),  # type: ignore[arg-type]
            Principal(owners[number % 4], frozenset(), 1),
        )
        for number in range(40)
    ]
    ended = await asyncio.gather(*(intake.create(*offer) for offer in offers), return_exceptions=True)
    assert [isinstance(end, Unauthenticated) for end in ended] == [number % 2 == 1 for number in range(40)]
    assert all(isinstance(end, Representation) for end in ended[::2])
    assert (await page(client))["total"] == 20
    async with world.database.read() as db:
        # What was only on refused offers was not made.
        names = set(await db.scalars(select(Tag.name)))
    assert names == {"shared", *(f"t{number}" for number in range(0, 40, 2))}


async def test_a_client_that_leaves_touches_no_other(
    client: httpx.AsyncClient, alice: Person, bob: Person
) -> None:
    async def sell(person: Person, number: int) -> httpx.Response:
        return await person.api.post(ITEMS, json={"title": f"Lamp {number}", "price": 1, "tags": ["a"]})

    staying = [asyncio.create_task(sell(alice, number)) for number in range(20)]
    leaving = [asyncio.create_task(sell(bob, 100 + number)) for number in range(20)]
    for number, task in enumerate(leaving):
        for _ in range(number):
            await asyncio.sleep(0)
        task.cancel()
    answers = await asyncio.gather(*staying)
    await asyncio.gather(*leaving, return_exceptions=True)
    for answer in answers:
        assert answer.status_code == 201
        assert (await client.get(path_of(answer.json()["id"]))).content == answer.content
    # Whatever became of the others' is whole.
    listed = (await page(client))["items"]
    assert all(item["tags"] == ["a"] for item in listed)
    assert len([item for item in listed if item["owner_id"] == alice.id]) == 20


class _UndoneError(Exception):
    """Ends a transaction that is not to be committed."""


async def test_many_cost_as_many_statements_as_one_and_go_with_the_callers_transaction(
    world: World, alice: Person, statements: Callable[[], Any]
) -> None:
    def new(count: int, *, owner_id: int) -> list[NewItem]:
        made = [ItemCreate(title=f"Lamp {number}", price=1, tags=["a"]) for number in range(count)]  # type: ignore[arg-type]
        return [NewItem(item, owner_id) for item in made]

    costs = []
    for count in (1, 100):
        with suppress(_UndoneError):
            async with world.database.transaction() as db:
                with statements() as sent:
                    outcomes = await build_item_service(db, world.resources).create_many(
                        new(count, owner_id=alice.id)
                    )
                assert [type(outcome) for outcome in outcomes] == [Representation] * count
                assert await db.scalar(select(func.count()).select_from(Item)) == count
                raise _UndoneError
        costs.append(len(sent))
    assert costs[0] == costs[1]
    async with world.database.transaction() as db:
        refused = await build_item_service(db, world.resources).create_many(new(2, owner_id=10**9))
        assert [type(outcome) for outcome in refused] == [Unauthenticated] * 2
    async with world.database.read() as reading:
        assert await reading.scalar(select(func.count()).select_from(Item)) == 0
