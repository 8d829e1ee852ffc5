"""What admins see, and end, of somebody else's access."""

import asyncio
from typing import Any

import pytest

from tests.accounts.test_recovery import AUTH
from tests.conftest import NewPerson, Person, World
from tradepost.accounts.permissions import Role

ME = "/api/v1/users/me"
USERS = "/api/v1/users/"


async def lines(admin: Person, action: str) -> list[tuple[Any, ...]]:
    answer = await admin.api.get("/api/v1/audit", params={"action": action})
    return [(line["actor_id"], line["target_type"], line["target_id"]) for line in answer.json()["lines"]]


class TestSessions:
    async def test_they_are_seen_and_one_is_ended(
        self, world: World, admin: Person, alice: Person, new_person: NewPerson
    ) -> None:
        again = await new_person("Alice", email=alice.email)
        path = f"{USERS}{alice.id}/sessions"
        page = (await admin.api.get(path)).json()
        assert page["total"] == 2
        own = (await alice.api.get(f"{AUTH}/sessions")).json()["sessions"]
        assert [each | {"current": False} for each in own] == page["sessions"]
        newest = page["sessions"][0]["id"]
        ended = await admin.api.delete(f"{path}/{newest}")
        assert (ended.status_code, ended.json()) == (200, {"message": "Session revoked successfully"})
        assert [(await each.api.get(ME)).status_code for each in (alice, again)] == [200, 401]
        gone = await admin.api.delete(f"{path}/{newest}")
        assert (gone.status_code, gone.json()["error_code"]) == (404, "SESSION_NOT_FOUND")
        assert await lines(admin, "session.revoked") == [(admin.id, "session", newest)]

    async def test_all_are_ended_at_once(self, admin: Person, alice: Person, new_person: NewPerson) -> None:
        again = await new_person("Alice", email=alice.email)
        bob = await new_person("Bob")
        assert (await admin.api.delete(f"{USERS}{alice.id}/sessions")).status_code == 200
        assert [(await each.api.get(ME)).status_code for each in (alice, again, bob)] == [401, 401, 200]
        assert await lines(admin, "session.all_revoked") == [(admin.id, "user", alice.id)]

    async def test_one_of_another_person_is_not_ended_by_this_path(
        self, admin: Person, alice: Person, new_person: NewPerson
    ) -> None:
        bob = await new_person("Bob")
        (login,) = (await bob.api.get(f"{AUTH}/sessions")).json()["sessions"]
        assert (await admin.api.delete(f"{USERS}{alice.id}/sessions/{login['id']}")).status_code == 404
        assert (await bob.api.get(ME)).status_code == 200

    async def test_of_two_at_once_one_ends_it(
        self, admin: Person, alice: Person, new_person: NewPerson
    ) -> None:
        eve = await new_person("Eve", Role.ADMIN)
        (login,) = (await alice.api.get(f"{AUTH}/sessions")).json()["sessions"]
        path = f"{USERS}{alice.id}/sessions/{login['id']}"
        answers = await asyncio.gather(*(each.api.delete(path) for each in (admin, eve)))
        assert sorted(answer.status_code for answer in answers) == [200, 404]

    async def test_the_list_goes_on_by_cursor(
        self, admin: Person, alice: Person, new_person: NewPerson
    ) -> None:
        await new_person("Alice", email=alice.email)
        path = f"{USERS}{alice.id}/sessions"
        first = (await admin.api.get(path, params={"limit": 1})).json()
        rest = {"limit": 1, "cursor": first["next_cursor"]}
        second = (await admin.api.get(path, params=rest)).json()
        assert second["next_cursor"] is None
        assert first["sessions"][0]["id"] > second["sessions"][0]["id"]
        bob = await new_person("Bob")
        foreign = await admin.api.get(f"{USERS}{bob.id}/sessions", params=rest)
        assert foreign.status_code == 422, "a cursor is good for its own list"


class TestKeys:
    async def test_they_are_seen_without_secrets_and_deleted(
        self, world: World, admin: Person, alice: Person
    ) -> None:
        key = (await alice.api.post(f"{AUTH}/api-keys", json={"name": "Robot"})).json()
        path = f"{USERS}{alice.id}/api-keys"
        answer = await admin.api.get(path)
        assert [each["id"] for each in answer.json()["api_keys"]] == [key["id"]]
        assert key["key"] not in answer.text
        assert (await admin.api.delete(f"{USERS}{admin.id}/api-keys/{key['id']}")).status_code == 404
        async with world.caller(**{"X-API-Key": key["key"]}) as robot:
            assert (await robot.get(ME)).status_code == 200
            assert (await admin.api.delete(f"{path}/{key['id']}")).status_code == 200
            assert (await robot.get(ME)).status_code == 401
        assert (await admin.api.delete(f"{path}/{key['id']}")).json()["error_code"] == "API_KEY_NOT_FOUND"
        assert await lines(admin, "api_key.deleted") == [(admin.id, "api_key", key["id"])]

    @pytest.mark.parametrize("what", ["sessions", "api-keys"])
    async def test_there_is_no_such_person(self, admin: Person, what: str) -> None:
        for method, path in (("GET", what), ("DELETE", f"{what}/1")):
            answer = await admin.api.request(method, f"{USERS}999999/{path}")
            assert (answer.status_code, answer.json()["error_code"]) == (404, "USER_NOT_FOUND")


class TestFindingPeople:
    async def test_by_the_beginning_of_what_they_are_called(
        self, admin: Person, new_person: NewPerson
    ) -> None:
        zoe = await new_person("Zoë", email="zoë.tester@example.com")
        abe = await new_person("Abe", email="b_be@example.com")
        for q, found in (
            ("zoe", [zoe.id]),
            ("ZOË.t", [zoe.id]),
            ("zoe tes", [zoe.id]),
            ("Tester", sorted([zoe.id, abe.id])),
            ("b_b", [abe.id]),
            ("b%", []),
            ("oë", []),
            (str(abe.id), [abe.id]),
        ):
            answer = await admin.api.get(USERS, params={"q": q})
            ids = sorted(user["id"] for user in answer.json()["users"])
            assert [each for each in ids if each in {zoe.id, abe.id}] == found, q
        everybody = (await admin.api.get(USERS)).json()["total"]
        assert (await admin.api.get(USERS, params={"q": ""})).json()["total"] == everybody

    async def test_by_role_and_state(self, admin: Person, moderator: Person, alice: Person) -> None:
        await admin.api.put(f"{USERS}{alice.id}", json={"is_active": False})
        cases: tuple[tuple[dict[str, Any], set[int]], ...] = (
            ({"role": "moderator"}, {moderator.id}),
            ({"role": "user", "is_active": False}, {alice.id}),
            ({"role": "moderator", "is_active": False}, set()),
        )
        for query, found in cases:
            answer = await admin.api.get(USERS, params=query)
            assert {user["id"] for user in answer.json()["users"]} == found
            assert answer.json()["total"] == len(found)
        assert (await admin.api.get(USERS, params={"role": "king"})).status_code == 422
        first = (await admin.api.get(USERS, params={"limit": 1})).json()
        other = {"limit": 1, "role": "user", "cursor": first["next_cursor"]}
        assert (await admin.api.get(USERS, params=other)).status_code == 422
