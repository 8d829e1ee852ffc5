"""Profiles, accounts, and who may do what to them."""

import asyncio
from typing import Any

import httpx
import pytest
from sqlalchemy import update

from tests.conftest import PASSWORD, NewPerson, Person, World
from tradepost.accounts.models import User
from tradepost.accounts.permissions import Role
from tradepost.accounts.repository.users import UserRepository
from tradepost.core.wire.folding import sort_key

ACCOUNT = {"email": "new@example.com", "password": "Password1", "first_name": "New", "last_name": "Person"}


class TestProfile:
    async def test_only_sent_fields_change(self, alice: Person) -> None:
        first = (await alice.api.get("/api/v1/users/me")).json()
        changes = {"phone": "(415) 555-2671", "website": "alice.example.com"}
        answer = await alice.api.put("/api/v1/users/me", json=changes)
        assert answer.status_code == 200
        second = answer.json()
        assert second["phone"] == "+14155552671"
        assert second["website"] == "https://alice.example.com"
        assert second["updated_at"] > first["updated_at"]
        kept = {"phone", "website", "updated_at"}
        assert {k: v for k, v in first.items() if k not in kept} == {
            k: v for k, v in second.items() if k not in kept
        }
        third = (await alice.api.put("/api/v1/users/me", json={"phone": None, "first_name": "o'neil"})).json()
        assert (third["phone"], third["first_name"]) == (None, "O'Neil")
        assert third["website"] == "https://alice.example.com"
        assert (await alice.api.put("/api/v1/users/me", json={})).json() == third

    @pytest.mark.parametrize(
        ("changes", "field"),
        [
            ({"phone": "12345"}, "phone"),
            ({"phone": "no number at all"}, "phone"),
            ({"phone": "+1 999999999999999999"}, "phone"),
            ({"website": "ftp://example.com"}, "website"),
            ({"website": "javascript:alert(1)"}, "website"),
            ({"website": "https://user:secret@example.com"}, "website"),
            ({"website": "exa\nmple.com"}, "website"),
            ({"website": "//example.com"}, "website"),
            ({"website": "x" * 300}, "website"),
            ({"first_name": None}, "first_name"),
            ({"first_name": ""}, "first_name"),
            ({"email": "other@example.com"}, "email"),
            ({"role": "admin"}, "role"),
            ({"is_active": False}, "is_active"),
        ],
    )
    async def test_bad_input(self, alice: Person, changes: dict[str, Any], field: str) -> None:
        before = (await alice.api.get("/api/v1/users/me")).json()
        answer = await alice.api.put("/api/v1/users/me", json=changes)
        assert answer.status_code == 422
        assert answer.json()["errors"][0]["location"] == ["body", field]
        assert (await alice.api.get("/api/v1/users/me")).json() == before


class TestPassword:
    async def test_a_change_ends_every_session(self, client: httpx.AsyncClient, alice: Person) -> None:
        change = {"current_password": PASSWORD, "new_password": "Another1Password"}
        answer = await alice.api.put("/api/v1/users/me/password", json=change)
        assert answer.status_code == 200
        assert (await alice.api.get("/api/v1/users/me")).status_code == 401
        answer = await client.post("/api/v1/auth/login", data={"username": alice.email, "password": PASSWORD})
        assert answer.status_code == 401
        answer = await client.post(
            "/api/v1/auth/login", data={"username": alice.email, "password": "Another1Password"}
        )
        assert answer.status_code == 200

    async def test_refusals(self, alice: Person) -> None:
        path = "/api/v1/users/me/password"
        answer = await alice.api.put(
            path, json={"current_password": "Wrong123", "new_password": "Another1Pass"}
        )
        assert (answer.status_code, answer.json()["error_code"]) == (400, "INCORRECT_PASSWORD")
        answer = await alice.api.put(path, json={"current_password": PASSWORD, "new_password": PASSWORD})
        assert (answer.status_code, answer.json()["error_code"]) == (400, "BUSINESS_LOGIC_ERROR")
        answer = await alice.api.put(path, json={"current_password": PASSWORD, "new_password": "weak"})
        assert answer.status_code == 422
        assert (await alice.api.get("/api/v1/users/me")).status_code == 200

    async def test_of_two_at_once_one_wins(self, alice: Person) -> None:
        answers = await asyncio.gather(
            *(
                alice.api.put(
                    "/api/v1/users/me/password",
                    json={"current_password": PASSWORD, "new_password": f"Another{number}Pass"},
                )
                for number in range(4)
            )
        )
        codes = sorted(answer.status_code for answer in answers)
        assert codes[0] == 200
        assert set(codes[1:]) <= {400, 401}


class TestAdministration:
    async def test_permissions(
        self, client: httpx.AsyncClient, alice: Person, moderator: Person, admin: Person
    ) -> None:
        person = f"/api/v1/users/{alice.id}"
        expected = {
            ("GET", "/api/v1/users/"): (401, 403, 200, 200),
            ("GET", person): (401, 403, 200, 200),
            ("PUT", person): (401, 403, 403, 200),
            ("POST", "/api/v1/users/"): (401, 403, 403, 201),
            ("DELETE", person): (401, 403, 403, 200),
        }
        callers = (client, alice.api, moderator.api, admin.api)
        for (method, path), statuses in expected.items():
            body: dict[str, Any] = {"POST": {"json": ACCOUNT}, "PUT": {"json": {"first_name": "Al"}}}.get(
                method, {}
            )
            for caller, status in zip(callers, statuses, strict=True):
                answer = await caller.request(method, path, **body)
                assert answer.status_code == status, (method, path, answer.text)
                if status == 403:
                    assert answer.json()["detail"] == "Insufficient permissions"
        assert (await alice.api.get("/api/v1/users/me")).status_code == 401

    async def test_list(self, admin: Person, new_person: NewPerson) -> None:
        people = [await new_person(name) for name in ("Carol", "Dan", "Erin")]
        listed = (await admin.api.get("/api/v1/users/?skip=1&limit=2&sort=first_name")).json()
        assert [user["first_name"] for user in listed["users"]] == ["Carol", "Dan"]
        assert {key: listed[key] for key in ("total", "page", "size", "pages")} == {
            "total": 4,
            "page": 1,
            "size": 2,
            "pages": 2,
        }
        newest = (await admin.api.get("/api/v1/users/?limit=1&sort=-created_at&total=false")).json()
        assert newest["users"][0]["id"] == people[-1].id
        assert (newest["total"], newest["pages"]) == (None, None)
        for bad in (
            "skip=-1",
            "limit=0",
            "limit=101",
            "sort=hashed_password",
            "total=maybe",
            f"skip={2**63}",
        ):
            assert (await admin.api.get(f"/api/v1/users/?{bad}")).status_code == 422

    async def test_names_are_in_order_without_regard_to_case_and_accents(
        self, admin: Person, new_person: NewPerson
    ) -> None:
        for name in ("Zoë", "alice", "Éva", "Bob", "Zoe", "Bob"):
            await new_person(name)
        for field in ("first_name", "email", "last_name", "created_at"):
            listed, backwards = [
                (await admin.api.get(f"/api/v1/users/?sort={sign}{field}")).json()["users"]
                for sign in ("", "-")
            ]
            assert listed == sorted(listed, key=lambda user: (sort_key(user[field]), user["id"]))
            assert backwards == listed[::-1]

    async def test_create_with_role(self, client: httpx.AsyncClient, admin: Person) -> None:
        answer = await admin.api.post(
            "/api/v1/users/", json=ACCOUNT | {"role": "moderator", "is_active": False}
        )
        assert answer.status_code == 201
        assert (answer.json()["role"], answer.json()["is_active"]) == ("moderator", False)
        again = await admin.api.post("/api/v1/users/", json=ACCOUNT)
        assert (again.status_code, again.json()["error_code"]) == (400, "EMAIL_TAKEN")

    @pytest.mark.parametrize("written", ["yes", "true", 1, 0, None])
    async def test_active_is_true_or_false(self, admin: Person, alice: Person, written: Any) -> None:
        answers = (
            await admin.api.post("/api/v1/users/", json=ACCOUNT | {"is_active": written}),
            await admin.api.put(f"/api/v1/users/{alice.id}", json={"is_active": written}),
        )
        for answer in answers:
            assert answer.status_code == 422
            assert answer.json()["errors"][0]["location"] == ["body", "is_active"]

    async def test_a_proved_address_is_shown_and_can_be_said(
        self, admin: Person, moderator: Person, alice: Person, world: World
    ) -> None:
        path, me = f"/api/v1/users/{alice.id}", "/api/v1/users/me"

        async def seen() -> set[tuple[bool, str]]:
            answers = [await alice.api.get(me), *[await each.api.get(path) for each in (moderator, admin)]]
            listed = (await admin.api.get("/api/v1/users/")).json()["users"]
            (one,) = (user["email_verified"] for user in listed if user["id"] == alice.id)
            assert all(answer.json()["email_verified"] is one for answer in answers)
            return {(answer.json()["email_verified"], answer.headers["etag"]) for answer in answers}

        ((_, first),) = await seen()
        assert await seen() == {(False, first)}
        tags = {first}
        for said in (True, False):
            answer = await admin.api.put(path, json={"email_verified": said})
            assert (answer.status_code, answer.json()["email_verified"]) == (200, said)
            assert await seen() == {(said, answer.headers["etag"])}
            tags.add(answer.headers["etag"])
            again = await admin.api.put(path, json={"email_verified": said})
            assert again.headers["etag"] == answer.headers["etag"], "nothing has changed"
        assert len(tags) == 3
        for refused in (alice, moderator):
            assert (await refused.api.put(path, json={"email_verified": True})).status_code == 403
        assert (await alice.api.put(me, json={"email_verified": True})).status_code == 422
        lines = (await admin.api.get("/api/v1/audit", params={"target_id": alice.id})).json()["lines"]
        assert [(line["actor_id"], line["action"]) for line in lines if line["action"] != "auth.login"][
            :2
        ] == [
            (admin.id, "email.unverified"),
            (admin.id, "email.verified"),
        ]
        # The previous release notes a proof without raising the version: the trigger does.
        async with world.database.transaction() as db:
            proved = {"email_verified_at": world.clock.now()}
            await db.execute(update(User).where(User.id == alice.id).values(**proved))
        ((is_proved, last),) = await seen()
        assert is_proved
        assert int(last[1:].partition("-")[0]) == 4

    @pytest.mark.parametrize("written", ["yes", 1, None])
    async def test_verified_is_true_or_false(self, admin: Person, alice: Person, written: Any) -> None:
        answer = await admin.api.put(f"/api/v1/users/{alice.id}", json={"email_verified": written})
        assert answer.status_code == 422
        assert answer.json()["errors"][0]["location"] == ["body", "email_verified"]

    async def test_no_key_says_it_and_nobody_of_their_own_address(
        self, world: World, admin: Person, alice: Person
    ) -> None:
        """Until an address is proved, a new password by link takes the second factor away: this must be no way round it."""
        key = (
            await admin.api.post("/api/v1/auth/api-keys", json={"name": "Robot", "load_test": True})
        ).json()
        own, hers = (f"/api/v1/users/{user_id}" for user_id in (admin.id, alice.id))
        async with world.caller(**{"X-API-Key": key["key"]}) as robot:
            for asker, path, refusal in (
                (robot, hers, (403, "API_KEY_NOT_ALLOWED")),
                (robot, own, (403, "API_KEY_NOT_ALLOWED")),
                (admin.api, own, (400, "OWN_ADDRESS")),
            ):
                before = (await admin.api.get(path)).json()
                said = {"email_verified": not before["email_verified"], "first_name": "Other"}
                answer = await asker.put(path, json=said)
                assert (answer.status_code, answer.json()["error_code"]) == refusal
                assert (await admin.api.get(path)).json() == before
                # What is so already, is no word on it.
                same = await asker.put(path, json={"email_verified": before["email_verified"]})
                assert same.status_code == 200
            answer = await robot.put(hers, json={"first_name": "Other"})
            assert answer.json()["first_name"] == "Other"

    async def test_switching_off_ends_sessions_for_good(self, admin: Person, alice: Person) -> None:
        await admin.api.put(f"/api/v1/users/{alice.id}", json={"is_active": False})
        assert (await alice.api.get("/api/v1/users/me")).status_code == 401
        await admin.api.put(f"/api/v1/users/{alice.id}", json={"is_active": True})
        assert (await alice.api.get("/api/v1/users/me")).status_code == 401

    async def test_a_new_role_counts_at_once_and_ends_nothing(self, admin: Person, alice: Person) -> None:
        assert (await alice.api.get("/api/v1/users/")).status_code == 403
        await admin.api.put(f"/api/v1/users/{alice.id}", json={"role": "moderator"})
        assert (await alice.api.get("/api/v1/users/")).status_code == 200
        await admin.api.put(f"/api/v1/users/{alice.id}", json={"role": "user"})
        assert (await alice.api.get("/api/v1/users/")).status_code == 403

    async def test_not_one_s_own_account(self, admin: Person) -> None:
        answer = await admin.api.delete(f"/api/v1/users/{admin.id}")
        assert (answer.status_code, answer.json()["error_code"]) == (400, "SELF_DELETE")
        assert answer.json()["detail"] == "Cannot delete your own user account"

    @pytest.mark.parametrize("change", [{"role": "user"}, {"is_active": False}])
    async def test_the_last_admin_stays(self, admin: Person, change: dict[str, Any]) -> None:
        answer = await admin.api.put(f"/api/v1/users/{admin.id}", json=change)
        assert (answer.status_code, answer.json()["error_code"]) == (409, "LAST_ADMIN")
        assert (await admin.api.get("/api/v1/users/")).status_code == 200

    async def test_two_admins_cannot_demote_each_other_at_once(
        self, admin: Person, new_person: NewPerson
    ) -> None:
        other = await new_person("Olga", Role.ADMIN)
        answers = await asyncio.gather(
            admin.api.put(f"/api/v1/users/{other.id}", json={"role": "user"}),
            other.api.put(f"/api/v1/users/{admin.id}", json={"role": "user"}),
        )
        # Whoever came second was no admin any more, or would have been the last.
        assert sorted(answer.status_code for answer in answers) in ([200, 403], [200, 409])

    async def test_two_admins_cannot_delete_each_other_at_once(
        self, admin: Person, new_person: NewPerson
    ) -> None:
        first, second = await new_person("Olga", Role.ADMIN), await new_person("Ivan", Role.ADMIN)
        await first.api.put(f"/api/v1/users/{admin.id}", json={"is_active": False})
        answers = await asyncio.gather(
            first.api.delete(f"/api/v1/users/{second.id}"), second.api.delete(f"/api/v1/users/{first.id}")
        )
        assert sorted(answer.status_code for answer in answers) in ([200, 401], [200, 409])

    async def test_changing_people_does_not_wait_for_who_refers_to_them(
        self, world: World, admin: Person, alice: Person
    ) -> None:
        if world.engine != "postgresql":
            pytest.skip("SQLite has one writer at a time, and no locks on rows")

        async def admins() -> list[int]:
            async with world.database.transaction() as db:
                return list(await UserRepository(db).lock_admins_no_key_update())

        change = {"role": "moderator", "is_active": True}
        async with world.database.transaction() as seller:
            assert len(await UserRepository(seller).lock_key_share([alice.id, admin.id])) == 2
            async with asyncio.timeout(5):
                answer, found = await asyncio.gather(
                    admin.api.put(f"/api/v1/users/{alice.id}", json=change), admins()
                )
        assert answer.status_code == 200
        assert found == [admin.id]

    async def test_deleting_somebody_who_is_selling_leaves_nothing(
        self, client: httpx.AsyncClient, admin: Person, alice: Person
    ) -> None:
        item = {"title": "Lamp", "price": 5, "tags": ["x"]}
        *sales, deletion = await asyncio.gather(
            *(alice.api.post("/api/v1/items/", json=item) for _ in range(10)),
            admin.api.delete(f"/api/v1/users/{alice.id}"),
        )
        assert deletion.status_code == 200
        assert {sale.status_code for sale in sales} <= {201, 401}
        for sale in sales:
            if sale.status_code == 201:
                assert (await client.get(f"/api/v1/items/{sale.json()['id']}")).status_code == 404

    async def test_deleting_takes_everything_along_and_frees_the_address(
        self, client: httpx.AsyncClient, admin: Person, alice: Person
    ) -> None:
        item = (
            await alice.api.post("/api/v1/items/", json={"title": "Lamp", "price": 5, "tags": ["x"]})
        ).json()
        answer = await admin.api.delete(f"/api/v1/users/{alice.id}")
        assert answer.json() == {"message": "User deleted successfully"}
        assert (await alice.api.get("/api/v1/users/me")).status_code == 401
        assert (await client.get(f"/api/v1/items/{item['id']}")).status_code == 404
        assert (await admin.api.get(f"/api/v1/users/{alice.id}")).json()["error_code"] == "USER_NOT_FOUND"
        assert (await admin.api.delete(f"/api/v1/users/{alice.id}")).status_code == 404
        again = await client.post("/api/v1/auth/register", json=ACCOUNT | {"email": alice.email})
        assert again.status_code == 200
        assert again.json()["id"] > alice.id
        # The old token is not good for whoever has the address now.
        assert (await alice.api.get("/api/v1/users/me")).status_code == 401
