"""``/events``: planning, reading, changing, cancelling, deleting, and who may."""

from typing import Any

import httpx
import pytest

from tests.conftest import Person, World
from tests.events.gatherings import EVENTS, body, fault, join, listed, moment, path_of, plan, read


def problem(answer: httpx.Response) -> tuple[int, str, str]:
    found = answer.json()
    return answer.status_code, found["error_code"], found["detail"]


class TestPlanning:
    async def test_what_is_planned_is_shown(
        self, world: World, client: httpx.AsyncClient, alice: Person
    ) -> None:
        sent = body(world, time_zone="Europe/Berlin")
        event = await plan(world, alice, **sent)
        created_at = event.pop("created_at")
        assert event.pop("updated_at") == created_at
        assert created_at.endswith("Z")
        assert event == sent | {
            "id": event["id"],
            "participants_count": 0,
            "waiting_count": 0,
            "my_status": None,
            "status": "planned",
            "organiser": {
                "id": alice.id,
                "first_name": "Alice",
                "last_name": "Tester",
                "full_name": "Alice Tester",
                "avatar_url": None,
            },
            "version": 1,
        }
        found = await read(client, event)
        assert list(found) == [
            "id",
            "title",
            "description",
            "start_date",
            "end_date",
            "time_zone",
            "max_participants",
            "participants_count",
            "waiting_count",
            "my_status",
            "status",
            "organiser",
            "version",
            "created_at",
            "updated_at",
        ]
        assert found == event | {"created_at": created_at, "updated_at": created_at}
        assert (await client.get(EVENTS)).json()["events"] == [found]

    async def test_times_are_answered_in_utc(self, world: World, alice: Person) -> None:
        event = await plan(
            world, alice, start_date="2999-06-05T18:00:00+02:00", end_date="2999-06-05T18:30:00.5+02:00"
        )
        assert (event["start_date"], event["end_date"]) == (
            "2999-06-05T16:00:00Z",
            "2999-06-05T16:30:00.500000Z",
        )
        assert event["time_zone"] == "UTC"
        assert await read(alice.api, event) == event

    @pytest.mark.parametrize(
        ("changes", "location", "kind"),
        [
            ({"title": "ab"}, "title", "string_too_short"),
            ({"title": "x" * 101}, "title", "string_too_long"),
            ({"title": "\u200b\u200b\u200b\u200b"}, "title", "string_too_short"),
            ({"description": "x" * 9}, "description", "string_too_short"),
            ({"description": "x" * 501}, "description", "string_too_long"),
            ({"description": None}, "description", "string_type"),
            ({"max_participants": 0}, "max_participants", "greater_than_equal"),
            ({"max_participants": 1001}, "max_participants", "less_than_equal"),
            ({"max_participants": True}, "max_participants", "int_type"),
            ({"max_participants": "3"}, "max_participants", "int_type"),
            ({"start_date": "2999-06-05T18:00:00"}, "start_date", "timezone_aware"),
            ({"start_date": 4_000_000_000}, "start_date", "datetime_parsing"),
            ({"start_date": "4000000000"}, "start_date", "datetime_parsing"),
            ({"start_date": "2999-06-05"}, "start_date", "datetime_parsing"),
            ({"start_date": "2999-02-30T18:00:00Z"}, "start_date", "datetime_from_date_parsing"),
            ({"start_date": "0001-01-01T00:00:00+14:00"}, "start_date", "datetime_parsing"),
            ({"start_date": "2020-01-01T00:00:00Z"}, "start_date", "start_in_the_past"),
            ({"end_date": "9999-12-31T23:59:59-14:00"}, "end_date", "datetime_parsing"),
            ({"end_date": "2020-01-01T00:00:00Z"}, "end_date", "end_before_start"),
            ({"time_zone": "Europe/Berlim"}, "time_zone", "time_zone"),
            ({"time_zone": "../etc/passwd"}, "time_zone", "time_zone"),
            ({"time_zone": ""}, "time_zone", "string_too_short"),
            ({"status": "cancelled"}, "status", "extra_forbidden"),
            ({"organiser_id": 1}, "organiser_id", "extra_forbidden"),
        ],
    )
    async def test_a_refusal_names_the_field(
        self, world: World, alice: Person, changes: dict[str, Any], location: str, kind: str
    ) -> None:
        answer = await alice.api.post(EVENTS, json=body(world, **changes))
        assert fault(answer) == (422, ["body", location], kind), answer.text

    async def test_an_unknown_zone_is_told_the_one_that_was_meant(self, world: World, alice: Person) -> None:
        answer = await alice.api.post(EVENTS, json=body(world, time_zone="Europe/Berlim"))
        assert answer.json()["errors"][0]["message"].endswith("did you mean Europe/Berlin?")

    async def test_an_end_at_the_start_is_none(self, world: World, alice: Person) -> None:
        at = moment(world, days=1)
        answer = await alice.api.post(EVENTS, json=body(world, start_date=at, end_date=at))
        assert fault(answer) == (422, ["body", "end_date"], "end_before_start")

    async def test_a_stranger_plans_nothing(self, world: World, client: httpx.AsyncClient) -> None:
        assert (await client.post(EVENTS, json=body(world))).status_code == 401


async def test_what_is_not_there_is_not_found(client: httpx.AsyncClient, alice: Person) -> None:
    missing = {"id": 2**62}
    answers = [
        await client.get(path_of(missing)),
        await client.get(f"{path_of(missing)}.ics"),
        await alice.api.patch(path_of(missing), json={"title": "New title"}),
        await alice.api.put(path_of(missing), json={"title": "New title"}),
        await alice.api.delete(path_of(missing)),
        await alice.api.post(path_of(missing, "cancel")),
        await alice.api.post(path_of(missing, "participants")),
        await alice.api.delete(path_of(missing, "participants")),
        await alice.api.get(path_of(missing, "participants")),
        await alice.api.delete(path_of(missing, "participants", alice.id)),
    ]
    assert {problem(answer) for answer in answers} == {(404, "EVENT_NOT_FOUND", "Event not found")}


class TestChanging:
    async def test_only_what_is_sent_changes(
        self, world: World, client: httpx.AsyncClient, alice: Person
    ) -> None:
        event = await plan(world, alice)
        answer = await alice.api.patch(path_of(event), json={"title": "Repair café, with cake"})
        changed = answer.json()
        assert answer.status_code == 200
        assert changed == event | {
            "title": "Repair café, with cake",
            "version": 2,
            "updated_at": changed["updated_at"],
        }
        assert changed["updated_at"] > event["updated_at"]
        assert await read(client, event) == changed
        same = await alice.api.put(path_of(event), json={"title": "Repair café, with cake"})
        assert same.json() == changed

    async def test_the_organiser_may_and_staff(
        self, world: World, alice: Person, bob: Person, moderator: Person, client: httpx.AsyncClient
    ) -> None:
        event = await plan(world, alice)
        change = {"title": "Another title"}
        for request in (
            bob.api.patch(path_of(event), json=change),
            bob.api.put(path_of(event), json=change),
            bob.api.delete(path_of(event)),
            bob.api.post(path_of(event, "cancel")),
            bob.api.get(path_of(event, "participants")),
            bob.api.delete(path_of(event, "participants", bob.id)),
        ):
            assert problem(await request) == (403, "HTTP_403", "Not enough permissions")
        assert (await client.patch(path_of(event), json=change)).status_code == 401
        assert (await moderator.api.patch(path_of(event), json=change)).json()["title"] == "Another title"
        assert (await moderator.api.delete(path_of(event))).status_code == 200

    async def test_a_past_start_is_refused_only_when_it_is_changed(self, world: World, alice: Person) -> None:
        event = await plan(
            world, alice, start_date=moment(world, minutes=10), end_date=moment(world, minutes=30)
        )
        world.clock.move(20 * 60)
        sent = {"title": "It has begun", "start_date": event["start_date"], "end_date": event["end_date"]}
        answer = await alice.api.patch(path_of(event), json=sent)
        assert (answer.status_code, answer.json()["title"]) == (200, "It has begun")
        past = {"start_date": moment(world, minutes=-5)}
        assert fault(await alice.api.patch(path_of(event), json=past)) == (
            422,
            ["body", "start_date"],
            "start_in_the_past",
        )
        longer = {"end_date": moment(world, hours=4)}
        assert (await alice.api.patch(path_of(event), json=longer)).json()["end_date"] == longer["end_date"]

    async def test_start_and_end_are_held_against_what_is_stored(self, world: World, alice: Person) -> None:
        event = await plan(world, alice)
        for sent in (
            {"start_date": event["end_date"]},
            {"end_date": event["start_date"]},
            {"start_date": moment(world, days=3), "end_date": moment(world, days=3)},
        ):
            (field,) = list(sent)[-1:]
            answer = await alice.api.patch(path_of(event), json=sent)
            assert fault(answer) == (422, ["body", field], "end_before_start")

    @pytest.mark.parametrize("field", ["title", "description", "start_date", "time_zone", "max_participants"])
    async def test_nothing_can_be_cleared(self, world: World, alice: Person, field: str) -> None:
        event = await plan(world, alice)
        answer = await alice.api.patch(path_of(event), json={field: None})
        assert fault(answer)[:2] == (422, ["body", field])


class TestEnding:
    async def test_nobody_joined_so_it_can_be_deleted(
        self, world: World, client: httpx.AsyncClient, alice: Person, bob: Person
    ) -> None:
        event = await plan(world, alice)
        await join(event, bob)
        refused = await alice.api.delete(path_of(event))
        assert problem(refused)[:2] == (409, "HAS_PARTICIPANTS")
        assert (await bob.api.delete(path_of(event, "participants"))).status_code == 200
        gone = await alice.api.delete(path_of(event))
        assert (gone.status_code, gone.json()) == (200, {"message": "Event deleted successfully"})
        assert (await client.get(path_of(event))).status_code == 404

    async def test_what_is_cancelled_is_kept(
        self, world: World, client: httpx.AsyncClient, alice: Person, bob: Person
    ) -> None:
        event = await plan(world, alice)
        await join(event, bob)
        answer = await alice.api.post(path_of(event, "cancel"))
        cancelled = answer.json()
        assert answer.status_code == 200
        assert (cancelled["status"], cancelled["version"], cancelled["participants_count"]) == (
            "cancelled",
            2,
            1,
        )
        assert (await alice.api.post(path_of(event, "cancel"))).json() == cancelled
        assert await read(client, event) == cancelled
        assert await listed(client, status="planned") == []
        assert await listed(client, status="cancelled") == [event["id"]]
        for request in (
            alice.api.patch(path_of(event), json={"title": "Another title"}),
            alice.api.post(path_of(event, "participants")),
        ):
            assert problem(await request)[:2] == (409, "EVENT_CANCELLED")

    async def test_what_is_over_is_not_cancelled_or_joined(
        self, world: World, alice: Person, bob: Person
    ) -> None:
        event = await plan(
            world, alice, start_date=moment(world, minutes=10), end_date=moment(world, minutes=20)
        )
        world.clock.move(20 * 60)
        for request in (
            alice.api.post(path_of(event, "cancel")),
            bob.api.post(path_of(event, "participants")),
        ):
            assert problem(await request)[:2] == (409, "EVENT_OVER")
