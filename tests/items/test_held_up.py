"""What is locked holds up and fails only who needs it: everybody else's items, uploads and seats go their way."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from sqlalchemy import ColumnElement, select

from tests.conftest import Person, World
from tests.flows.live import API
from tradepost.core.database.locks import lock_for_update, lock_no_key_update
from tradepost.core.database.models import Base
from tradepost.events.models import Event
from tradepost.items.models import Item
from tradepost.media.models import FileUsage
from tradepost.tags.models import Tag

PDF = b"%PDF-1.4\n%%EOF\n"
PROMPT = 8.0
"""Seconds that a busy machine may need for what takes a few milliseconds; a lock is waited for ten."""


@pytest.fixture(autouse=True)
def _rows_have_locks(world: World) -> None:
    if world.engine == "sqlite":
        pytest.skip("whoever writes is alone there, and every write waits for its turn")


@asynccontextmanager
async def locked(world: World, model: type[Base], condition: ColumnElement[bool]) -> AsyncIterator[None]:
    """Have another transaction keep a row for the length of the block."""
    lock = lock_no_key_update if model is FileUsage else lock_for_update
    column: Any = next(iter(model.__table__.primary_key))
    async with world.database.transaction() as db:
        assert await db.scalar(lock(select(column).select_from(model).where(condition), model)) is not None
        yield


async def sell(owner: Person, *tags: str) -> httpx.Response:
    return await owner.api.post(f"{API}/items/", json={"title": "Thing", "price": 10, "tags": tags})


async def attach(owner: Person, item_id: int) -> httpx.Response:
    files = {"files": ("a.pdf", PDF, "application/pdf")}
    return await owner.api.post(f"{API}/upload/items/{item_id}/documents/", files=files)


async def all_but(held: asyncio.Task[httpx.Response], others: list[asyncio.Task[httpx.Response]]) -> None:
    """See that the others are answered at once, again and again, and the one that is held up is not."""
    answers = await asyncio.wait_for(asyncio.gather(*others), PROMPT)
    assert {answer.status_code for answer in answers} <= {200, 201}, [answer.text for answer in answers]
    assert not held.done()


async def test_a_locked_tag_holds_up_its_own_items_alone(world: World, alice: Person, bob: Person) -> None:
    assert (await sell(alice, "held")).status_code == 201
    async with locked(world, Tag, Tag.name == "held"):
        # In one group with others, alone, and among those that come later.
        held = asyncio.create_task(sell(alice, "held"))
        await all_but(held, [asyncio.create_task(sell(bob, "free")) for _ in range(20)])
        for _ in range(3):
            await all_but(held, [asyncio.create_task(sell(bob, "free", "other"))])
    answer = await held
    assert answer.status_code == 201
    assert answer.json()["tags"] == ["held"]


async def test_many_that_are_held_up_are_out_of_the_way_too(world: World, alice: Person, bob: Person) -> None:
    assert (await sell(alice, "held")).status_code == 201
    async with locked(world, Tag, Tag.name == "held"):
        held = [asyncio.create_task(sell(alice, "held")) for _ in range(30)]
        await asyncio.sleep(0.1)
        await all_but(held[0], [asyncio.create_task(sell(bob, "free")) for _ in range(5)])
        # Who gives up leaves nothing behind.
        for one in held[10:]:
            one.cancel()
        await asyncio.gather(*held[10:], return_exceptions=True)
    answers = await asyncio.gather(*held[:10])
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.json()["id"] for answer in answers}) == 10
    mine = (await alice.api.get(f"{API}/items/user/me")).json()
    assert len(mine) == 11


async def test_a_locked_item_holds_up_its_own_uploads_alone(world: World, alice: Person, bob: Person) -> None:
    mine, other = [(await sell(owner)).json()["id"] for owner in (alice, bob)]
    async with locked(world, Item, Item.id == mine):
        held = asyncio.create_task(attach(alice, mine))
        await all_but(held, [asyncio.create_task(attach(bob, other)) for _ in range(5)])
        await all_but(held, [asyncio.create_task(attach(bob, other))])
    assert (await held).status_code == 200


async def test_a_locked_usage_holds_up_the_files_of_its_person_alone(
    world: World, alice: Person, bob: Person
) -> None:
    mine, other = [(await sell(owner)).json()["id"] for owner in (alice, bob)]
    assert (await attach(alice, mine)).status_code == 200
    async with locked(world, FileUsage, FileUsage.owner_id == alice.id):
        held = asyncio.create_task(attach(alice, mine))
        await all_but(held, [asyncio.create_task(attach(bob, other)) for _ in range(5)])
        await all_but(held, [asyncio.create_task(attach(bob, other))])
    assert (await held).status_code == 200


async def test_a_locked_event_holds_up_those_who_join_it_alone(
    world: World, alice: Person, bob: Person
) -> None:
    ids = []
    for title in ("Held up", "Free of it"):
        plan = {
            "title": title,
            "description": "A gathering of people",
            "start_date": "2999-01-01T10:00:00Z",
            "end_date": "2999-01-01T12:00:00Z",
            "max_participants": 10,
        }
        made = await alice.api.post(f"{API}/events/", json=plan)
        assert made.status_code == 201, made.text
        ids.append(made.json()["id"])
    async with locked(world, Event, Event.id == ids[0]):
        held = asyncio.create_task(bob.api.post(f"{API}/events/{ids[0]}/participants"))
        for _ in range(2):
            joining = [
                asyncio.create_task(person.api.post(f"{API}/events/{ids[1]}/participants"))
                for person in (alice, bob)
            ]
            await all_but(held, joining)
    assert (await held).status_code == 201


async def test_who_is_held_up_for_long_is_told_at_the_deadline(world: World, alice: Person) -> None:
    assert (await sell(alice, "held")).status_code == 201
    async with locked(world, Tag, Tag.name == "held"):
        body = {"title": "Thing", "price": 10, "tags": ["held"]}
        sending = alice.api.post(f"{API}/items/", json=body, headers={"Request-Timeout": "1"})
        answer = await asyncio.create_task(sending)
        assert (answer.status_code, answer.json()["error_code"]) == (504, "DEADLINE_EXCEEDED")
    mine = (await alice.api.get(f"{API}/items/user/me")).json()
    assert len(mine) == 1
