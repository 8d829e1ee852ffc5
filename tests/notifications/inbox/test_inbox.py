"""The inbox: what is told arrives once, in order, and only with whom it concerns."""

import asyncio
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from sqlalchemy import func, select

from tests.conftest import NewPerson, Person, World
from tests.items.market import ITEMS, faults
from tradepost.accounts.messages import PasswordChanged, UserRegistered
from tradepost.core.messaging.dispatcher import Dispatcher
from tradepost.core.messaging.messages import Envelope, Subscriptions
from tradepost.core.messaging.outbox import Outbox
from tradepost.items.messages import ItemCreated
from tradepost.notifications.inbox.models import Inbox, Notification

INBOX = "/api/v1/notifications/"


async def tell(world: World, person: Person, *titles: str) -> None:
    """Have the person told of a new item of each of these titles, and deliver it."""
    async with world.database.transaction() as db:
        facts = (ItemCreated(at + 1, person.id, title) for at, title in enumerate(titles))
        await world.resources[Outbox].add(db, *facts)
    await world.resources[Dispatcher].drain()


async def inbox_of(person: Person, **query: Any) -> dict[str, Any]:
    answer = await person.api.get(INBOX, params=query)
    assert answer.status_code == 200, answer.text
    page: dict[str, Any] = answer.json()
    return page


def titles(page: dict[str, Any]) -> list[str]:
    return [row["data"]["item_title"] for row in page["notifications"]]


async def test_a_new_item_is_told_to_its_owner(world: World, alice: Person, bob: Person) -> None:
    item = (await alice.api.post(ITEMS, json={"title": 'Lamp "X"', "price": 5})).json()
    assert (await inbox_of(alice))["notifications"] == []
    await world.resources[Dispatcher].drain()
    await world.resources[Dispatcher].drain()
    page = await inbox_of(alice)
    (note,) = page.pop("notifications")
    assert page == {"total": 1, "page": 1, "size": 100, "pages": 1, "next_cursor": None, "unread": 1}
    told_at = note.pop("created_at")
    assert item["created_at"] <= told_at
    assert note.pop("id") > 0
    assert note == {
        "number": 1,
        "kind": "item_created",
        "title": "Item Created",
        "body": 'Your item "Lamp "X"" was created.',
        "data": {"item_id": item["id"], "item_title": 'Lamp "X"'},
        "read_at": None,
    }
    assert (await inbox_of(bob))["notifications"] == []


async def test_a_group_costs_as_many_statements_as_one_fact(
    world: World, alice: Person, bob: Person, statements: Callable[[], Any]
) -> None:
    plan = world.resources[Subscriptions].by_name["notifications.item_created"].react
    assert plan is not None

    async def cost(size: int) -> int:
        now = world.resources.clock.now()
        group = [
            Envelope(at, ItemCreated(at, (alice, bob)[at % 2].id, f"T{at}"), now) for at in range(1, size + 1)
        ]
        async with world.database.transaction() as db:
            with statements() as sent:
                await plan(db, group)
        return len([statement for statement in sent if not statement.startswith("BEGIN")])

    assert await cost(100) == await cost(2)
    assert (await inbox_of(alice))["total"] == 51
    assert [row["number"] for row in (await inbox_of(bob))["notifications"]] == list(range(51, 0, -1))


async def test_everybody_has_numbers_of_their_own_in_the_order_of_the_facts(
    world: World, new_person: NewPerson
) -> None:
    people = [await new_person(f"P{number}") for number in range(4)]
    async with world.database.transaction() as db:
        for at in range(80):
            person = people[at * at % 4]
            await world.resources[Outbox].add(db, ItemCreated(at + 1, person.id, f"T{at:02}"))
    await world.resources[Dispatcher].drain()
    for which, person in enumerate(people):
        page = await inbox_of(person)
        wanted = [f"T{at:02}" for at in range(80) if at * at % 4 == which]
        assert titles(page) == wanted[::-1]
        assert [row["number"] for row in page["notifications"]] == list(range(len(wanted), 0, -1))


async def test_who_was_deleted_meanwhile_is_told_nothing(
    world: World, alice: Person, bob: Person, admin: Person
) -> None:
    async with world.database.transaction() as db:
        outbox = world.resources[Outbox]
        await outbox.add(db, ItemCreated(1, bob.id, "Gone"), ItemCreated(2, alice.id, "Here"))
        await outbox.add(db, UserRegistered(2**62), PasswordChanged(bob.id))
    assert (await admin.api.delete(f"/api/v1/users/{bob.id}")).status_code == 200
    await world.resources[Dispatcher].drain()
    assert titles(await inbox_of(alice)) == ["Here"]
    async with world.database.read() as db:
        assert set(await db.scalars(select(Inbox.user_id))) == {alice.id}


async def test_a_deleted_person_takes_the_inbox_along(world: World, bob: Person, admin: Person) -> None:
    await tell(world, bob, "Lamp")
    await bob.api.put(f"{INBOX}preferences", json={"preferences": [{"kind": "item_created", "email": False}]})
    assert (await admin.api.delete(f"/api/v1/users/{bob.id}")).status_code == 200
    async with world.database.read() as db:
        assert await db.scalar(select(func.count()).select_from(Notification)) == 0
        assert await db.scalar(select(func.count()).select_from(Inbox)) == 0


async def test_a_deletion_while_somebody_is_being_told(
    world: World, new_person: NewPerson, admin: Person
) -> None:
    people = [await new_person(f"P{number}") for number in range(12)]
    for person in people:
        async with world.database.transaction() as db:
            await world.resources[Outbox].add(db, ItemCreated(1, person.id, "T"))
    answers, _ = await asyncio.gather(
        asyncio.gather(*(admin.api.delete(f"/api/v1/users/{person.id}") for person in people[::2])),
        world.resources[Dispatcher].drain(),
    )
    assert {answer.status_code for answer in answers} == {200}
    await world.resources[Dispatcher].drain()
    for person in people[1::2]:
        assert titles(await inbox_of(person)) == ["T"]


async def test_facts_about_accounts(world: World, alice: Person) -> None:
    async with world.database.transaction() as db:
        await world.resources[Outbox].add(db, UserRegistered(alice.id), PasswordChanged(alice.id))
    await world.resources[Dispatcher].drain()
    page = await inbox_of(alice)
    assert {row["kind"] for row in page["notifications"]} == {"welcome", "password_changed"}


# --- the list ---------------------------------------------------------------------------------------------------------


async def test_cursors_go_on_where_the_list_ended(world: World, alice: Person) -> None:
    await tell(world, alice, *(f"T{at}" for at in range(10)))
    page = await inbox_of(alice, limit=4)
    assert titles(page) == ["T9", "T8", "T7", "T6"]
    assert (page["total"], page["page"], page["pages"]) == (10, 1, 3)
    # What comes in meanwhile moves nothing.
    await tell(world, alice, "New")
    seen = titles(page)
    while page["next_cursor"]:
        page = await inbox_of(alice, limit=4, cursor=page["next_cursor"])
        assert (page["total"], page["page"], page["pages"]) == (None, None, None)
        assert page["unread"] == 11
        seen += titles(page)
    assert seen == [f"T{at}" for at in range(9, -1, -1)]


async def test_the_link_leads_on(world: World, alice: Person) -> None:
    await tell(world, alice, *(f"T{at}" for at in range(5)))
    answer = await alice.api.get(INBOX, params={"limit": 2, "unread_only": True})
    seen = titles(answer.json())
    while "next" in answer.links:
        answer = await alice.api.get(answer.links["next"]["url"])
        seen += titles(answer.json())
    assert seen == ["T4", "T3", "T2", "T1", "T0"]
    assert titles((await alice.api.get(answer.links["first"]["url"])).json()) == ["T4", "T3"]


async def test_windows_and_totals(world: World, alice: Person) -> None:
    await tell(world, alice, *(f"T{at}" for at in range(5)))
    page = await inbox_of(alice, skip=2, limit=2)
    assert titles(page) == ["T2", "T1"]
    assert (page["total"], page["page"], page["pages"]) == (5, 2, 3)
    assert (await inbox_of(alice, total="false"))["total"] is None
    assert (await inbox_of(alice, skip=9, total="true"))["total"] == 5
    cursor = (await inbox_of(alice, limit=1))["next_cursor"]
    assert (await inbox_of(alice, cursor=cursor, total="exact"))["total"] == 5


async def test_a_cursor_of_something_else_is_refused(world: World, alice: Person, bob: Person) -> None:
    for person in (alice, bob):
        await tell(world, person, "A", "B", "C")
    cursor = (await inbox_of(alice, limit=1))["next_cursor"]

    async def fault(person: Person, **query: Any) -> list[Any]:
        answer = await person.api.get(INBOX, params=query)
        assert answer.status_code == 422, answer.text
        return faults(answer)

    assert await fault(bob, cursor=cursor) == [(["query", "cursor"], "cursor")]
    assert await fault(alice, cursor=cursor, unread_only=True) == [(["query", "cursor"], "cursor")]
    assert await fault(alice, cursor=cursor, skip=0) == [(["query", "skip"], "skip_with_cursor")]
    for wrong in (
        "a",
        "x" * 200,
        cursor[:-1],
        f"{cursor}AA",
        "é",
        "MQ",
        f"A{cursor[1:]}",
        "+/+/",
        "====",
        " ",
    ):
        assert await fault(alice, cursor=wrong) == [(["query", "cursor"], "cursor")], wrong
    assert (await alice.api.get(INBOX, params={"cursor": "x" * 4097})).status_code == 422


# --- reading and deleting ---------------------------------------------------------------------------------------------


async def test_reading_counts_from_the_first_time(world: World, alice: Person) -> None:
    await tell(world, alice, "A", "B")
    newest = (await inbox_of(alice))["notifications"][0]
    first = await alice.api.post(f"{INBOX}{newest['id']}/read")
    assert first.status_code == 200
    assert first.json()["read_at"] is not None
    again = await alice.api.post(f"{INBOX}{newest['id']}/read")
    assert again.json() == first.json()
    page = await inbox_of(alice)
    assert page["unread"] == 1
    assert page["notifications"][0] == first.json()
    assert titles(await inbox_of(alice, unread_only=True)) == ["A"]


async def test_reading_everything(world: World, alice: Person, bob: Person) -> None:
    await tell(world, alice, *"ABCDE")
    await tell(world, bob, "X")
    assert (await alice.api.post(f"{INBOX}read-all", params={"through": 2})).json() == {
        "marked": 2,
        "unread": 3,
    }
    assert titles(await inbox_of(alice, unread_only=True)) == ["E", "D", "C"]
    assert (await alice.api.post(f"{INBOX}read-all")).json() == {"marked": 3, "unread": 0}
    assert (await alice.api.post(f"{INBOX}read-all")).json() == {"marked": 0, "unread": 0}
    assert (await inbox_of(bob))["unread"] == 1


async def test_many_readers_at_once_mark_everything_once(world: World, alice: Person) -> None:
    await tell(world, alice, *(f"T{at}" for at in range(40)))
    notes = (await inbox_of(alice))["notifications"]
    calls = [alice.api.post(f"{INBOX}read-all") for _ in range(6)]
    calls += [alice.api.post(f"{INBOX}{note['id']}/read") for note in notes[:10]]
    calls += [alice.api.delete(f"{INBOX}{note['id']}") for note in notes[30:]]
    answers = await asyncio.gather(*calls, tell(world, alice, "New"))
    statuses = [answer.status_code for answer in answers[:-1] if answer is not None]
    assert set(statuses) == {200}
    await alice.api.post(f"{INBOX}read-all")
    page = await inbox_of(alice)
    assert (page["total"], page["unread"]) == (31, 0)


@pytest.mark.parametrize("method", ["read", "delete"])
async def test_others_are_not_there(
    *, world: World, alice: Person, bob: Person, admin: Person, client: httpx.AsyncClient, method: str
) -> None:
    await tell(world, alice, "A")
    note = (await inbox_of(alice))["notifications"][0]

    async def call(api: httpx.AsyncClient, notification_id: object) -> httpx.Response:
        if method == "read":
            return await api.post(f"{INBOX}{notification_id}/read")
        return await api.delete(f"{INBOX}{notification_id}")

    for stranger in (bob, admin):
        answer = await call(stranger.api, note["id"])
        assert (answer.status_code, answer.json()["error_code"]) == (404, "NOTIFICATION_NOT_FOUND")
    assert (await call(client, note["id"])).status_code == 401
    assert (await call(alice.api, 2**63 - 1)).status_code == 404
    assert (await call(alice.api, 2**63)).status_code == 422
    assert (await inbox_of(alice))["unread"] == 1
    assert (await call(alice.api, note["id"])).status_code == 200
    assert (await inbox_of(alice))["unread"] == 0


async def test_strangers_are_asked_who_they_are(client: httpx.AsyncClient) -> None:
    for method, path in (("GET", ""), ("POST", "read-all"), ("GET", "preferences"), ("PUT", "preferences")):
        body: dict[str, Any] | None = {"preferences": []} if method == "PUT" else None
        assert (await client.request(method, INBOX + path, json=body)).status_code == 401
