"""What participants are told: of seats, cancellations, other times, and reminders, each at most once."""

import asyncio
from typing import Any

import pytest
from sqlalchemy import select

from tests.conftest import NewPerson, Person, World
from tests.events.gatherings import crowd, join, leave, moment, path_of, plan, remind, told
from tradepost.core.messaging.outbox import StoredMessage
from tradepost.core.messaging.reactions import Reactions
from tradepost.events.messages import MOST_TOLD
from tradepost.events.models import Reminder

HOUR = 3600.0


async def emails(world: World, template: str) -> list[int]:
    """Return to whom e-mails of a template were due."""
    due = select(StoredMessage.payload).where(StoredMessage.type == "notifications.mail.v1")
    async with world.database.read() as db:
        payloads = list(await db.scalars(due.order_by(StoredMessage.id)))
    return [payload["user_id"] for payload in payloads if payload["template"] == template]


async def pending(world: World) -> int:
    async with world.database.read() as db:
        return len(list(await db.scalars(select(Reminder.event_id))))


class TestSeats:
    async def test_who_is_moved_up_is_told(
        self, world: World, alice: Person, bob: Person, new_person: NewPerson
    ) -> None:
        event = await plan(world, alice, max_participants=1, time_zone="Asia/Tokyo")
        first, second = await new_person("First"), await new_person("Second")
        for person in (bob, first, second):
            await join(event, person)
        await leave(event, second)
        assert await told(world, "event_seat") == []
        await leave(event, bob)
        ((user_id, data),) = await told(world, "event_seat")
        assert user_id == first.id
        assert (data["event_id"], data["event_title"]) == (event["id"], "Repair café")
        assert data["starts"].endswith(" (Asia/Tokyo)")
        assert await emails(world, "event_seat") == [first.id]

    async def test_a_larger_capacity_tells_in_order(self, world: World, alice: Person) -> None:
        event = await plan(world, alice, max_participants=1)
        people = await crowd(world, event, 1 + MOST_TOLD + 20)
        await alice.api.patch(path_of(event), json={"max_participants": MOST_TOLD + 10})
        assert [user_id for user_id, _ in await told(world, "event_seat")] == people[1 : MOST_TOLD + 10]

    async def test_nobody_is_told_of_a_seat_at_what_does_not_take_place(
        self, world: World, alice: Person, bob: Person, new_person: NewPerson
    ) -> None:
        event = await plan(world, alice, max_participants=1)
        late = await new_person("Late")
        await join(event, bob)
        await join(event, late)
        await alice.api.post(path_of(event, "cancel"))
        await leave(event, bob)
        assert await told(world, "event_seat") == []


class TestRemoval:
    async def test_who_is_taken_out_is_told(
        self, world: World, alice: Person, bob: Person, moderator: Person, new_person: NewPerson
    ) -> None:
        event = await plan(world, alice, max_participants=1, time_zone="Asia/Tokyo")
        waiting = await new_person("Waiting")
        await join(event, bob)
        await join(event, waiting)
        for by, person in ((alice, bob), (moderator, waiting)):
            answer = await by.api.delete(path_of(event, f"participants/{person.id}"))
            assert answer.json() == {"message": "Participant removed"}
            again = await by.api.delete(path_of(event, f"participants/{person.id}"))
            assert again.status_code == 404
        found = await told(world, "event_removed")
        assert [user_id for user_id, _ in found] == [bob.id, waiting.id]
        assert (found[0][1]["event_id"], found[0][1]["event_title"]) == (event["id"], "Repair café")
        assert found[0][1]["starts"].endswith(" (Asia/Tokyo)")
        assert await emails(world, "event_removed") == [bob.id, waiting.id]

    async def test_nobody_is_told_of_what_they_did_themselves_or_of_what_does_not_take_place(
        self, world: World, alice: Person, bob: Person, moderator: Person
    ) -> None:
        event = await plan(world, alice)
        for person in (alice, moderator, bob):
            await join(event, person)
        for person in (alice, moderator):
            own = await person.api.delete(path_of(event, f"participants/{person.id}"))
            assert own.status_code == 200
        assert (await alice.api.post(path_of(event, "cancel"))).status_code == 200
        assert (await alice.api.delete(path_of(event, f"participants/{bob.id}"))).status_code == 200
        assert await told(world, "event_removed") == []


class TestCrowds:
    async def test_everybody_is_told_of_a_cancellation_once(
        self, world: World, alice: Person, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        event = await plan(world, alice, max_participants=MOST_TOLD)
        people = await crowd(world, event, 2 * MOST_TOLD + 50)
        for _ in range(2):
            assert (await alice.api.post(path_of(event, "cancel"))).status_code == 200
        groups: list[int] = []
        react = Reactions._react

        async def counted(self: Reactions, db: Any, group: Any) -> int:
            before = len(list(await db.scalars(select(StoredMessage.id))))
            reacted = await react(self, db, group)
            groups.append(len(list(await db.scalars(select(StoredMessage.id)))) - before)
            return reacted

        monkeypatch.setattr(Reactions, "_react", counted)
        assert [user_id for user_id, _ in await told(world, "event_cancelled")] == people
        assert await emails(world, "event_cancelled") == people
        # No transaction tells more than so many, and none of them is as large as the crowd.
        assert max(groups) <= MOST_TOLD + 2

    async def test_another_time_is_told_to_who_was_in_by_then(
        self, world: World, alice: Person, bob: Person, new_person: NewPerson
    ) -> None:
        event = await plan(world, alice, max_participants=1)
        waiting, late = await new_person("Waiting"), await new_person("Late")
        await join(event, bob)
        await join(event, waiting)
        for changes in (
            {"title": "Another title"},
            {"max_participants": 1},
            {"start_date": event["start_date"]},
        ):
            await alice.api.patch(path_of(event), json=changes)
        assert await told(world, "event_changed") == []
        start = {"start_date": moment(world, days=1, hours=23)}
        assert (await alice.api.patch(path_of(event), json=start)).status_code == 200
        await join(event, late)
        assert [user_id for user_id, _ in await told(world, "event_changed")] == [bob.id, waiting.id]


class TestReminders:
    async def test_a_day_and_an_hour_before_each_once(self, world: World, alice: Person, bob: Person) -> None:
        event = await plan(world, alice)
        await join(event, bob)
        world.clock.move(23 * HOUR)
        await remind(world)
        assert await told(world, "event_reminder") == []
        for _ in range(3):
            world.clock.move(HOUR + 1)
            await remind(world)
        ((user_id, data),) = await told(world, "event_reminder")
        assert (user_id, data["hours"]) == (bob.id, 24)
        world.clock.move(21 * HOUR)
        for _ in range(2):
            await remind(world)
        assert [data["hours"] for _, data in await told(world, "event_reminder")] == [24, 1]
        assert await emails(world, "event_reminder") == [bob.id] * 2
        assert await pending(world) == 0

    async def test_not_for_who_waits_left_or_joined_later(
        self, world: World, alice: Person, new_person: NewPerson
    ) -> None:
        event = await plan(world, alice, max_participants=2, start_date=moment(world, hours=1, minutes=30))
        stays, leaves, waits, late = [await new_person(name) for name in ("Stays", "Leaves", "Waits", "Late")]
        for person in (stays, leaves, waits):
            await join(event, person)
        world.clock.move(31 * 60)
        # Due, and not sent yet: the worker was away.
        await leave(event, leaves)
        await join(event, late)
        await remind(world)
        assert [user_id for user_id, _ in await told(world, "event_reminder")] == [stays.id]
        assert [user_id for user_id, _ in await told(world, "event_seat")] == [waits.id]

    async def test_not_of_what_was_cancelled(self, world: World, alice: Person, bob: Person) -> None:
        event = await plan(world, alice)
        await join(event, bob)
        await alice.api.post(path_of(event, "cancel"))
        assert await pending(world) == 0
        world.clock.move(24 * HOUR + 1)
        await remind(world)
        assert await told(world, "event_reminder") == []

    async def test_not_of_what_is_cancelled_before_everybody_was_told(
        self, world: World, alice: Person, bob: Person
    ) -> None:
        event = await plan(world, alice, start_date=moment(world, hours=1, minutes=30))
        await join(event, bob)
        world.clock.move(31 * 60)
        await remind(world)
        await alice.api.post(path_of(event, "cancel"))
        assert await told(world, "event_reminder") == []
        assert len(await told(world, "event_cancelled")) == 1

    async def test_a_changed_start_arms_them_anew(self, world: World, alice: Person, bob: Person) -> None:
        event = await plan(world, alice, start_date=moment(world, hours=1, minutes=20))
        await join(event, bob)
        for minutes in (100, 90):
            start = {"start_date": moment(world, minutes=minutes)}
            assert (await alice.api.patch(path_of(event), json=start)).status_code == 200
        world.clock.move(25 * 60)
        await remind(world)
        assert await told(world, "event_reminder") == []
        world.clock.move(6 * 60)
        await remind(world)
        assert len(await told(world, "event_reminder")) == 1
        # It was sent for this start; another one is another reminder, and a start that is near is none.
        await alice.api.patch(path_of(event), json={"start_date": moment(world, minutes=62)})
        await remind(world)
        assert len(await told(world, "event_reminder")) == 1
        world.clock.move(3 * 60)
        await remind(world)
        assert len(await told(world, "event_reminder")) == 2
        await alice.api.patch(path_of(event), json={"start_date": moment(world, minutes=10)})
        assert await pending(world) == 0

    async def test_too_late_is_not_told(self, world: World, alice: Person, bob: Person) -> None:
        event = await plan(world, alice)
        await join(event, bob)
        # The worker was away until half an hour before: one reminder says what there is to say.
        world.clock.move(47.5 * HOUR)
        await remind(world)
        assert [data["hours"] for _, data in await told(world, "event_reminder")] == [1]
        other = await plan(world, await _again(world, alice), start_date=moment(world, hours=2))
        await crowd(world, other, 1)
        world.clock.move(2 * HOUR + 1)
        await remind(world)
        assert len(await told(world, "event_reminder")) == 1

    async def test_a_worker_that_is_killed_again_and_again_reminds_everybody_once(
        self, world: World, alice: Person
    ) -> None:
        events = [
            await plan(world, alice, max_participants=5, start_date=moment(world, hours=1, minutes=30))
            for _ in range(12)
        ]
        people = [user_id for event in events for user_id in await crowd(world, event, 5)]
        world.clock.move(31 * 60)
        for turn in range(8):
            killed = asyncio.create_task(remind(world))
            await asyncio.sleep(0.002 * turn)
            killed.cancel()
            await asyncio.wait([killed])
        await asyncio.gather(remind(world), remind(world))
        assert sorted(user_id for user_id, _ in await told(world, "event_reminder")) == people


async def _again(world: World, person: Person) -> Person:
    """Return a person with a session of now: the clock was moved past the end of the token."""
    answer = await person.api.post(
        "/api/v1/auth/refresh-token",
        json={"refresh_token": person.refresh_token},
        headers={"Authorization": ""},
    )
    person.api.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"
    return person
