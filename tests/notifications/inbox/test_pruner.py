"""Old notifications go, and whoever was behind is told to look again."""

import asyncio
from datetime import timedelta

import pytest
from sqlalchemy import select, update

from tests.conftest import NewPerson, Person, World
from tests.notifications.inbox.test_inbox import INBOX, inbox_of, tell, titles
from tests.notifications.listening import listening
from tradepost.core.messaging.messages import Subscriptions
from tradepost.notifications.inbox import pruner
from tradepost.notifications.inbox.models import Inbox, Notification


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pruner, "KEPT_EACH", 10)
    monkeypatch.setattr(pruner, "CHUNK", 7)
    monkeypatch.setattr(pruner, "INBOXES", 2)


async def prune(world: World) -> None:
    await world.resources[Subscriptions].jobs["notifications.prune"].run()


async def pruned_of(world: World) -> dict[int, int]:
    async with world.database.read() as db:
        rows = await db.execute(select(Inbox.user_id, Inbox.pruned_through))
        return {row.user_id: row.pruned_through for row in rows}


async def test_the_newest_are_kept(world: World, new_person: NewPerson) -> None:
    people = [await new_person(f"P{number}") for number in range(5)]
    for at, person in enumerate(people):
        await tell(world, person, *(f"T{number}" for number in range(1, 5 + at * 8)))
    await prune(world)
    for at, person in enumerate(people):
        last = 4 + at * 8
        assert titles(await inbox_of(person)) == [
            f"T{number}" for number in range(last, max(0, last - 10), -1)
        ]
    # Four at first: nothing was removed; then all but ten.
    wanted = [0, 2, 10, 18, 26]
    assert await pruned_of(world) == {
        person.id: number for person, number in zip(people, wanted, strict=True)
    }
    await prune(world)
    assert await pruned_of(world) == {
        person.id: number for person, number in zip(people, wanted, strict=True)
    }


async def test_the_oldest_go(world: World, alice: Person, bob: Person) -> None:
    for person in (alice, bob):
        await tell(world, person, *(f"T{number}" for number in range(1, 10)))
    past = world.resources.clock.now() - pruner.KEPT_FOR - timedelta(minutes=1)
    async with world.database.transaction() as db:
        old = update(Notification).where(Notification.user_id == alice.id, Notification.number <= 8)
        await db.execute(old.values(created_at=past))
    await prune(world)
    assert titles(await inbox_of(alice)) == ["T9"]
    assert len(titles(await inbox_of(bob))) == 9
    assert await pruned_of(world) == {alice.id: 8, bob.id: 0}
    async with listening(world, alice.headers, 5) as stream:
        (event,) = await stream.until(1)
        assert (event.name, event.data, event.id) == ("resync", {"reason": "too_old"}, "9")
    async with listening(world, alice.headers, 8) as stream:
        (event,) = await stream.until(1)
        assert (event.name, event.id) == ("notification", "9")


async def test_what_people_deleted_themselves(world: World, alice: Person) -> None:
    await tell(world, alice, *(f"T{number}" for number in range(1, 31)))
    for row in (await inbox_of(alice))["notifications"]:
        assert (await alice.api.delete(f"{INBOX}{row['id']}")).status_code == 200
    await prune(world)
    assert await pruned_of(world) == {alice.id: 20}


async def test_beside_everything_else(world: World, new_person: NewPerson, admin: Person) -> None:
    people = [await new_person(f"P{number}") for number in range(6)]
    for person in people:
        await tell(world, person, *(f"T{number}" for number in range(1, 26)))
    answers = await asyncio.gather(
        *(person.api.post(f"{INBOX}read-all") for person in people),
        *(admin.api.delete(f"/api/v1/users/{person.id}") for person in people[::2]),
        prune(world),
        prune(world),
        tell(world, people[1], "New"),
    )
    statuses = [answer.status_code for answer in answers if answer is not None]
    # Somebody who is deleted may not get an answer any more; nobody gets an error.
    assert set(statuses) <= {200, 401}
    await prune(world)
    for person in people[1::2]:
        assert len(titles(await inbox_of(person))) == 10
