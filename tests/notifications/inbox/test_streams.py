"""The live stream: everything once, in order, to nobody else, from where the client left off; and its end."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select, update

from tests.conftest import NewPerson, Person, World
from tests.flows.live import eventually
from tests.items.market import ITEMS
from tests.notifications.inbox.test_inbox import INBOX, inbox_of, tell
from tests.notifications.listening import Event, Listener, listening
from tests.notifications.preferences.test_preferences import choose
from tradepost.accounts.models import LoginSession
from tradepost.accounts.permissions import Role
from tradepost.core.messaging.dispatcher import Dispatcher
from tradepost.core.signals.signals import Signals
from tradepost.notifications.inbox import streams
from tradepost.notifications.inbox.models import Inbox, Notification
from tradepost.notifications.inbox.repository import InboxRepository
from tradepost.notifications.inbox.streams import INBOX_TOPIC, InboxStreams


def numbers(events: list[Event]) -> list[int]:
    assert {event.name for event in events} <= {"notification"}
    found = [event.data["number"] for event in events]
    assert found == [int(event.id) for event in events]
    return found


async def test_what_comes_in_is_sent(world: World, alice: Person, bob: Person) -> None:
    await tell(world, alice, "Before")
    async with listening(world, alice.headers) as stream, listening(world, bob.headers) as other:
        assert stream.status == 200
        assert stream.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert stream.headers["cache-control"] == "no-store"
        assert stream.headers["x-accel-buffering"] == "no"
        assert "content-length" not in stream.headers
        assert (stream.reader.last_id, stream.events) == ("1", [])
        assert 1_000 <= (stream.reader.retry or 0) < 3_000
        item = (await alice.api.post(ITEMS, json={"title": "L\nämp", "price": 5})).json()
        await world.resources[Dispatcher].drain()
        (event,) = await stream.until(1)
        (row, _) = (await inbox_of(alice))["notifications"]
        assert event == Event("notification", row, "2")
        assert row["data"]["item_id"] == item["id"]
        await tell(world, alice, "X", "Y")
        assert numbers(await stream.until(3)) == [2, 3, 4]
        await tell(world, bob, "Z")
        (event,) = await other.until(1)
        assert event.data["data"]["item_title"] == "Z"
        assert len(stream.events) == 3


async def test_it_resumes_after_what_was_seen(world: World, alice: Person) -> None:
    await tell(world, alice, *(f"T{at}" for at in range(1, 61)))
    for seen in (0, 1, 35, 59, 60):
        async with listening(world, alice.headers, seen) as stream:
            assert numbers(await stream.until(60 - seen)) == list(range(seen + 1, 61))
    async with listening(world, alice.headers, 58) as stream:
        await tell(world, alice, "New")
        assert numbers(await stream.until(3)) == [59, 60, 61]


async def test_what_was_deleted_leaves_a_gap_and_nothing_else(world: World, alice: Person) -> None:
    await tell(world, alice, *(f"T{at}" for at in range(1, 101)))
    rows = (await inbox_of(alice))["notifications"]
    for row in rows:
        if 5 <= row["number"] < 95:
            assert (await alice.api.delete(f"{INBOX}{row['id']}")).status_code == 200
    async with listening(world, alice.headers, 2) as stream:
        assert numbers(await stream.until(8)) == [3, 4, *range(95, 101)]


@pytest.mark.parametrize(
    ("last_event_id", "reason"),
    [
        ("8", "ahead"),
        (str(2**63 - 1), "ahead"),
        (str(2**63), "unreadable"),
        ("9" * 5000, "unreadable"),
        ("-1", "unreadable"),
        ("01", "unreadable"),
        ("1.0", "unreadable"),
        ("²", "unreadable"),
        ("x y", "unreadable"),
        ("2", "too_old"),
        ("0", "too_old"),
    ],
)
async def test_where_it_cannot_go_on_it_says_so(
    world: World, alice: Person, last_event_id: str, reason: str
) -> None:
    await tell(world, alice, *"ABCDEFG")
    async with world.database.transaction() as db:
        await db.execute(update(Inbox).values(pruned_through=3))
    async with listening(world, alice.headers, last_event_id) as stream:
        assert await stream.until(1) == [Event("resync", {"reason": reason}, "7")]
        await tell(world, alice, "H")
        assert numbers((await stream.until(2))[1:]) == [8]
    async with listening(world, alice.headers, 3) as stream:
        assert numbers(await stream.until(5)) == [4, 5, 6, 7, 8]


async def test_an_empty_id_is_none(world: World, alice: Person) -> None:
    await tell(world, alice, "A")
    async with listening(world, alice.headers, "") as stream:
        await tell(world, alice, "B")
        assert numbers(await stream.until(1)) == [2]


async def test_the_first_one_ever(world: World, alice: Person) -> None:
    async with listening(world, alice.headers) as stream, listening(world, alice.headers, 0) as other:
        assert stream.reader.last_id == "0"
        await tell(world, alice, "A")
        assert numbers(await stream.until(1)) == numbers(await other.until(1)) == [1]
    async with listening(world, alice.headers, 5) as ahead:
        assert (await ahead.until(1))[0].data == {"reason": "ahead"}


async def test_pruned_before_a_slow_client_came_to_it(world: World, alice: Person) -> None:
    await tell(world, alice, *(f"T{at}" for at in range(1, 61)))
    async with listening(world, alice.headers, 0) as stream:
        stream.taking.clear()
        async with world.database.transaction() as db:
            await db.execute(update(Inbox).values(pruned_through=55))
        stream.taking.set()
        events = await stream.until(1)
        while events[-1].name != "resync":
            events = await stream.until(len(events) + 1)
        assert numbers(events[:-1]) == list(range(1, len(events)))
        assert events[-1] == Event("resync", {"reason": "too_old"}, "60")


async def test_nothing_in_the_inbox_nothing_on_the_stream(world: World, alice: Person) -> None:
    async with listening(world, alice.headers) as stream:
        await choose(alice, item_created={"inbox": False})
        await tell(world, alice, "A")
        await choose(alice, item_created={"inbox": True})
        await tell(world, alice, "B")
        (event,) = await stream.until(1)
        assert event.data["data"]["item_title"] == "B"


async def test_transactions_that_commit_in_another_order(world: World, alice: Person, bob: Person) -> None:
    """The one that took its numbers first is held up; what comes after it waits, and nobody skips anything."""
    if world.engine == "sqlite":
        pytest.skip("SQLite has one writer at a time")
    now = world.resources.clock.now()
    taken, release = asyncio.Event(), asyncio.Event()

    async def write(person: Person, title: str, hold: asyncio.Event | None = None) -> None:
        async with world.database.transaction() as db:
            inbox = InboxRepository(db)
            number = (await inbox.take_numbers({person.id: 1}))[person.id]
            note = {"kind": "item_created", "title": title, "body": "", "data": {}, "created_at": now}
            await inbox.add([{**note, "user_id": person.id, "number": number, "read_at": None}])
            if hold is not None:
                taken.set()
                await hold.wait()
        world.resources[Signals].send(INBOX_TOPIC, str(person.id))

    async with listening(world, alice.headers) as stream:
        first = asyncio.create_task(write(alice, "First", release))
        await taken.wait()
        second = asyncio.create_task(write(alice, "Second"))
        # Somebody else's go on meanwhile, with higher ids than the one that is held up.
        await write(bob, "Other")
        world.resources[Signals].send(INBOX_TOPIC, "")
        await asyncio.sleep(0.1)
        assert not second.done()
        assert stream.events == []
        release.set()
        await asyncio.gather(first, second)
        events = await stream.until(2)
    assert [(event.id, event.data["title"]) for event in events] == [("1", "First"), ("2", "Second")]


async def test_many_writers_and_listeners(world: World, new_person: NewPerson) -> None:
    people = [await new_person(f"P{number}") for number in range(3)]
    listeners = [Listener(world, person.headers) for person in people for _ in range(3)]
    try:
        for listener in listeners:
            await listener.begun()

        async def write(start: int) -> None:
            for at in range(start, start + 10):
                await people[at % 3].api.post(ITEMS, json={"title": f"T{at}", "price": 1})

        async def deliver() -> None:
            for _ in range(40):
                await world.resources[Dispatcher].drain()
                await asyncio.sleep(0.01)

        await asyncio.gather(deliver(), *(write(start) for start in (0, 100, 201)))
        await world.resources[Dispatcher].drain()
        for at, person in enumerate(people):
            rows = (await inbox_of(person))["notifications"][::-1]
            for listener in listeners[at * 3 : at * 3 + 3]:
                events = await listener.until(len(rows))
                assert [event.data for event in events] == rows
    finally:
        for listener in listeners:
            await listener.leave()


async def test_a_signal_that_was_lost_costs_a_moment(world: World, alice: Person) -> None:
    await tell(world, alice, "A")
    async with listening(world, alice.headers) as stream:
        now = world.resources.clock.now()
        async with world.database.transaction() as db:
            inbox = InboxRepository(db)
            await inbox.take_numbers({alice.id: 1})
            note = {"kind": "k", "title": "T", "body": "", "data": {}, "created_at": now, "read_at": None}
            await inbox.add([{**note, "user_id": alice.id, "number": 2}])
        assert numbers(await stream.until(1)) == [2]


async def test_signs_of_life(world: World, alice: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "HEARTBEAT", 0.02)
    async with listening(world, alice.headers) as stream:
        await stream.commented(3)
        await tell(world, alice, "A")
        assert numbers(await stream.until(1)) == [1]


# --- slow and gone clients --------------------------------------------------------------------------------------------


async def test_a_client_that_takes_nothing_is_read_nothing_for(
    world: World, alice: Person, statements: Any
) -> None:
    await tell(world, alice, *(f"T{at}" for at in range(1, 101)))
    async with listening(world, alice.headers) as stream:
        stream.taking.clear()
        await tell(world, alice, "First")
        await asyncio.sleep(0.1)
        with statements() as sent:
            for _ in range(20):
                world.resources[Signals].send(INBOX_TOPIC, str(alice.id))
                await asyncio.sleep(0.01)
        assert [statement for statement in sent if "FROM notifications" in statement] == []
        await tell(world, alice, *(f"More {at}" for at in range(100)))
        stream.taking.set()
        assert numbers(await stream.until(101)) == list(range(101, 202))


async def test_who_leaves_leaves_nothing_behind(world: World, alice: Person) -> None:
    hub = world.resources[InboxStreams]
    before = asyncio.all_tasks()
    for _ in range(3):
        async with listening(world, alice.headers), listening(world, alice.headers, 0):
            assert hub.open == 2
        assert hub.open == 0

    async def is_as_before() -> bool:
        # What was read for them may rest for a moment with its session.
        return asyncio.all_tasks() <= before

    await eventually(is_as_before)


async def test_so_many_and_no_more(
    world: World, alice: Person, bob: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "STREAMS_PER_PERSON", 2)
    monkeypatch.setattr(streams, "STREAMS_PER_PROCESS", 3)
    async with listening(world, alice.headers), listening(world, alice.headers):
        refused = Listener(world, alice.headers)
        await refused.ended()
        assert (refused.status, refused.headers["content-type"]) == (429, "application/problem+json")
        assert b'"TOO_MANY_STREAMS"' in refused.body
        assert int(refused.headers["retry-after"]) > 0
        async with listening(world, bob.headers):
            refused = Listener(world, bob.headers)
            await refused.ended()
            assert refused.status == 503
            assert int(refused.headers["retry-after"]) > 0
        async with listening(world, bob.headers):
            pass
    assert world.resources[InboxStreams].open == 0


async def test_idle_streams_hold_no_connection_and_share_their_reads(
    world: World, new_person: NewPerson, statements: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "STREAMS_PER_PERSON", 40)
    people = [await new_person(f"P{number}") for number in range(5)]
    listeners = [Listener(world, people[at % 5].headers) for at in range(150)]
    try:
        for listener in listeners:
            await listener.begun()
        # One at a time is taken for a moment, to look at all sessions and inboxes together.
        gates = world.database.read_gate, world.database.write_gate

        async def nobody_holds_one() -> bool:
            return not any(gate.held for gate in gates)

        await eventually(nobody_holds_one)
        now = world.resources.clock.now()
        with statements() as sent:
            async with world.database.transaction() as db:
                inbox = InboxRepository(db)
                await inbox.take_numbers({person.id: 1 for person in people})
                note = {"kind": "k", "title": "T", "body": "", "data": {}, "created_at": now, "read_at": None}
                await inbox.add([{**note, "user_id": person.id, "number": 1} for person in people])
            world.resources[Signals].send(INBOX_TOPIC, " ".join(str(person.id) for person in people))
            for listener in listeners:
                assert numbers(await listener.until(1)) == [1]
        reads = [
            statement
            for statement in sent
            if "FROM notifications" in statement or "JOIN notifications" in statement
        ]
        assert len(reads) <= 2
    finally:
        for listener in listeners:
            await listener.leave()


# --- the end ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "how", ["logout", "logout-all", "revoke", "deactivate", "delete", "password", "expire"]
)
async def test_it_ends_with_the_session(
    *, world: World, alice: Person, bob: Person, admin: Person, how: str
) -> None:
    user = f"/api/v1/users/{alice.id}"
    async with listening(world, bob.headers) as other, listening(world, alice.headers) as stream:
        if how == "deactivate":
            assert (await admin.api.put(user, json={"is_active": False})).status_code == 200
        elif how == "delete":
            assert (await admin.api.delete(user)).status_code == 200
        elif how == "password":
            body = {"current_password": alice.password, "new_password": "Different1"}
            assert (await alice.api.put("/api/v1/users/me/password", json=body)).status_code == 200
        elif how == "expire":
            past = world.resources.clock.now() - timedelta(seconds=1)
            async with world.database.transaction() as db:
                await db.execute(
                    update(LoginSession).where(LoginSession.user_id == alice.id).values(expires_at=past)
                )
        elif how == "revoke":
            (login,) = (await alice.api.get("/api/v1/auth/sessions")).json()["sessions"]
            assert (await alice.api.delete(f"/api/v1/auth/sessions/{login['id']}")).status_code == 200
        else:
            assert (await alice.api.post(f"/api/v1/auth/{how}")).status_code == 200
        await stream.ended()
        assert not other.task.done()
        again = Listener(world, alice.headers)
        await again.ended()
        assert again.status == 401


async def test_one_session_of_two(world: World, alice: Person, new_person: NewPerson) -> None:
    elsewhere = await new_person("Alice", email=alice.email)
    async with listening(world, alice.headers) as stream, listening(world, elsewhere.headers) as other:
        assert (await alice.api.post("/api/v1/auth/logout")).status_code == 200
        await stream.ended()
        await tell(world, elsewhere, "A")
        assert numbers(await other.until(1)) == [1]


async def test_a_change_of_role_ends_nothing(world: World, alice: Person, admin: Person) -> None:
    async with listening(world, alice.headers) as stream:
        answer = await admin.api.put(f"/api/v1/users/{alice.id}", json={"role": Role.MODERATOR})
        assert answer.status_code == 200
        await asyncio.sleep(streams.POLL_SECONDS * 2)
        await tell(world, alice, "A")
        assert numbers(await stream.until(1)) == [1]


async def test_strangers_and_heads(world: World, alice: Person) -> None:
    stranger = Listener(world, {})
    await stranger.ended()
    assert (stranger.status, stranger.headers["www-authenticate"]) == (401, "Bearer")
    head = Listener(world, alice.headers, "HEAD")
    await head.ended()
    assert (head.status, head.body) == (200, b"")
    assert head.headers["content-type"].startswith("text/event-stream")
    assert world.resources[InboxStreams].open == 0


async def test_the_rows_are_what_was_sent(world: World, alice: Person) -> None:
    async with listening(world, alice.headers) as stream:
        await tell(world, alice, *"ABC")
        events = await stream.until(3)
    async with world.database.read() as db:
        stored = await db.execute(select(Notification.number, Notification.id).order_by(Notification.number))
        assert [(int(event.id), event.data["id"]) for event in events] == list(map(tuple, stored))
