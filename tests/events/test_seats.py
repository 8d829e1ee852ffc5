"""Joining and leaving: seats, the waiting list, and who moves up when."""

from collections.abc import Callable
from typing import Any

import httpx
from sqlalchemy import delete

from tests.conftest import NewPerson, Person, World
from tests.events.gatherings import EVENTS, join, leave, listed, path_of, plan, read, standings, told
from tradepost.accounts.models import User
from tradepost.core.messaging.messages import Subscriptions


def counts(event: dict[str, Any]) -> tuple[int, int]:
    return event["participants_count"], event["waiting_count"]


class TestJoining:
    async def test_seats_first_then_the_waiting_list(
        self, world: World, client: httpx.AsyncClient, alice: Person, new_person: NewPerson
    ) -> None:
        event = await plan(world, alice, max_participants=2)
        people = [await new_person(f"P{number}") for number in range(4)]
        assert [await join(event, person) for person in people] == [
            {"status": "joined", "position": None, "participants_count": 1, "waiting_count": 0},
            {"status": "joined", "position": None, "participants_count": 2, "waiting_count": 0},
            {"status": "waiting", "position": 1, "participants_count": 2, "waiting_count": 1},
            {"status": "waiting", "position": 2, "participants_count": 2, "waiting_count": 2},
        ]
        assert counts(await read(client, event)) == (2, 2)
        seen = [(await read(person.api, event))["my_status"] for person in (alice, *people)]
        assert seen == [None, "joined", "joined", "waiting", "waiting"]

    async def test_who_is_in_gets_the_same_again(
        self, world: World, alice: Person, bob: Person, new_person: NewPerson
    ) -> None:
        event = await plan(world, alice, max_participants=1)
        late = [await new_person("Late"), await new_person("Later")]
        first, *waiting = [await join(event, person) for person in (bob, *late)]
        for person, standing in zip((bob, *late), (first, *waiting), strict=True):
            again = await person.api.post(path_of(event, "participants"))
            assert (again.status_code, again.json()) == (
                200,
                standing | {"participants_count": 1, "waiting_count": 2},
            )
        assert (await alice.api.post(path_of(event, "cancel"))).status_code == 200
        assert (await bob.api.post(path_of(event, "participants"))).status_code == 200

    async def test_a_stranger_joins_nothing(
        self, world: World, client: httpx.AsyncClient, alice: Person
    ) -> None:
        event = await plan(world, alice)
        for request in (client.post, client.delete, client.get):
            assert (await request(path_of(event, "participants"))).status_code == 401
        assert counts(await read(client, event)) == (0, 0)

    async def test_lists_say_where_one_stands_in_two_statements(
        self, world: World, alice: Person, bob: Person, statements: Callable[[], Any]
    ) -> None:
        events = [await plan(world, alice, max_participants=1) for _ in range(3)]
        await join(events[0], bob)
        await join(events[1], alice)
        await join(events[1], bob)
        found = (await bob.api.get(EVENTS)).json()["events"]
        assert [event["my_status"] for event in found] == ["joined", "waiting", None]
        with statements() as sent:
            await bob.api.get(EVENTS, params={"total": "false"})
        few = len(sent)
        for _ in range(5):
            await join(await plan(world, alice), bob)
        with statements() as sent:
            assert len((await bob.api.get(EVENTS, params={"total": "false"})).json()["events"]) == 8
        assert len(sent) == few
        assert await listed(bob.api, joined="true") == [
            event["id"] for event in (await bob.api.get(EVENTS)).json()["events"] if event["my_status"]
        ]
        assert (await world.caller().get(EVENTS, params={"joined": "true"})).status_code == 401


class TestLeaving:
    async def test_the_first_who_waits_is_moved_up(
        self, world: World, alice: Person, new_person: NewPerson
    ) -> None:
        event = await plan(world, alice, max_participants=2)
        a, b, c, d = [await new_person(name) for name in "ABCD"]
        for person in (a, b, c, d):
            await join(event, person)
        await leave(event, a)
        assert await standings(alice, event) == [
            (b.id, "joined", None),
            (c.id, "joined", None),
            (d.id, "waiting", 1),
        ]
        assert (await join(event, a))["position"] == 2
        # Who gives up a place on the list frees no seat.
        await leave(event, d)
        assert await standings(alice, event) == [
            (b.id, "joined", None),
            (c.id, "joined", None),
            (a.id, "waiting", 1),
        ]
        await leave(event, c)
        await leave(event, b)
        await leave(event, a)
        assert await standings(alice, event) == []
        assert counts(await read(alice.api, event)) == (0, 0)

    async def test_who_is_not_in_is_not_found(self, world: World, alice: Person, bob: Person) -> None:
        event = await plan(world, alice)
        answer = await bob.api.delete(path_of(event, "participants"))
        assert answer.status_code == 404
        assert (answer.json()["error_code"], answer.json()["detail"]) == (
            "PARTICIPANT_NOT_FOUND",
            "Participant not found",
        )

    async def test_the_organiser_and_staff_take_people_out(
        self, world: World, alice: Person, bob: Person, moderator: Person, new_person: NewPerson
    ) -> None:
        event = await plan(world, alice, max_participants=1)
        late = await new_person("Late")
        await join(event, bob)
        await join(event, late)
        removed = await alice.api.delete(path_of(event, "participants", bob.id))
        assert (removed.status_code, removed.json()) == (200, {"message": "Participant removed"})
        assert await standings(moderator, event) == [(late.id, "joined", None)]
        assert (await moderator.api.delete(path_of(event, "participants", late.id))).status_code == 200
        missing = await alice.api.delete(path_of(event, "participants", late.id))
        assert (missing.status_code, missing.json()["error_code"]) == (404, "PARTICIPANT_NOT_FOUND")


class TestCapacity:
    async def test_a_larger_one_moves_up_in_order(
        self, world: World, alice: Person, new_person: NewPerson
    ) -> None:
        event = await plan(world, alice, max_participants=1)
        people = [await new_person(f"P{number}") for number in range(5)]
        for person in people:
            await join(event, person)
        answer = await alice.api.patch(path_of(event), json={"max_participants": 3})
        assert counts(answer.json()) == (3, 2)
        assert await standings(alice, event) == [
            *((person.id, "joined", None) for person in people[:3]),
            (people[3].id, "waiting", 1),
            (people[4].id, "waiting", 2),
        ]
        answer = await alice.api.patch(path_of(event), json={"max_participants": 10})
        assert counts(answer.json()) == (5, 0)

    async def test_a_smaller_one_removes_nobody(
        self, world: World, alice: Person, new_person: NewPerson
    ) -> None:
        event = await plan(world, alice, max_participants=3)
        people = [await new_person(f"P{number}") for number in range(5)]
        for person in people[:4]:
            await join(event, person)
        answer = await alice.api.patch(path_of(event), json={"max_participants": 1})
        assert counts(answer.json()) == (3, 1)
        await leave(event, people[0])
        # Two are in, one may be: nobody moves up.
        assert counts(await read(alice.api, event)) == (2, 1)
        assert (await join(event, people[4]))["position"] == 2
        await leave(event, people[1])
        assert counts(await read(alice.api, event)) == (1, 2)
        await leave(event, people[2])
        assert await standings(alice, event) == [
            (people[3].id, "joined", None),
            (people[4].id, "waiting", 1),
        ]

    async def test_pages_of_participants(self, world: World, alice: Person, new_person: NewPerson) -> None:
        event = await plan(world, alice, max_participants=1)
        people = [await new_person(f"P{number}") for number in range(5)]
        for person in people:
            await join(event, person)
        answer = await alice.api.get(path_of(event, "participants"), params={"skip": 3, "limit": 2})
        found = answer.json()
        assert [(one["user"]["id"], one["position"]) for one in found["participants"]] == [
            (people[3].id, 3),
            (people[4].id, 4),
        ]
        assert list(found["participants"][0]) == ["user", "status", "position", "joined_at"]
        assert (found["total"], found["page"], found["size"], found["pages"]) == (5, 2, 2, 3)


class TestDeletedPeople:
    async def test_their_seats_go_to_those_who_wait(
        self, world: World, alice: Person, admin: Person, new_person: NewPerson
    ) -> None:
        full, roomy = await plan(world, alice, max_participants=1), await plan(world, alice)
        a, b, c = [await new_person(name) for name in "ABC"]
        for person in (a, b, c):
            await join(full, person)
        await join(roomy, a)
        assert (await admin.api.delete(f"/api/v1/users/{a.id}")).status_code == 200
        assert await standings(alice, full) == [(b.id, "joined", None), (c.id, "waiting", 1)]
        assert counts(await read(alice.api, roomy)) == (0, 0)
        assert (await admin.api.delete(f"/api/v1/users/{c.id}")).status_code == 200
        assert counts(await read(alice.api, full)) == (1, 0)

    async def test_what_a_program_deletes_that_knows_no_events_is_put_in_order(
        self, world: World, alice: Person, bob: Person, new_person: NewPerson
    ) -> None:
        """The previous release deletes accounts while replicas are replaced, and leaves rows of nobody behind."""
        full, theirs = await plan(world, alice, max_participants=1), await plan(world, bob)
        late, later = await new_person("Late"), await new_person("Later")
        for person in (bob, late, later):
            await join(full, person)
        await join(theirs, late)
        async with world.database.transaction() as db:
            await db.execute(delete(User).where(User.id.in_([bob.id, later.id])))
        assert counts(await read(alice.api, full)) == (1, 2)
        for _ in range(2):
            await world.resources[Subscriptions].jobs["events.put_in_order"].run()
            assert await standings(alice, full) == [(late.id, "joined", None)]
            assert counts(await read(alice.api, full)) == (1, 0)
            found = await read(late.api, theirs)
            assert (found["status"], found["organiser"], found["version"]) == ("cancelled", None, 2)
        assert [user_id for user_id, _ in await told(world, "event_seat")] == [late.id]
        assert [user_id for user_id, _ in await told(world, "event_cancelled")] == [late.id]

    async def test_what_they_organise_is_cancelled_and_kept(
        self, world: World, client: httpx.AsyncClient, alice: Person, bob: Person, admin: Person
    ) -> None:
        event = await plan(world, alice)
        await join(event, alice)
        await join(event, bob)
        cancelled = await plan(world, alice)
        await alice.api.post(path_of(cancelled, "cancel"))
        assert (await admin.api.delete(f"/api/v1/users/{alice.id}")).status_code == 200
        found = await read(bob.api, event)
        assert (found["status"], found["organiser"], found["version"]) == ("cancelled", None, 2)
        assert (counts(found), found["my_status"]) == ((1, 0), "joined")
        assert ((await read(client, cancelled))["organiser"], (await read(client, cancelled))["version"]) == (
            None,
            2,
        )
        assert await listed(client, organiser_id=alice.id) == []
