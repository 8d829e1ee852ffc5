"""Registering, logging in, staying in, and out."""

import asyncio
import json
from datetime import timedelta
from typing import Any, Literal

import argon2
import httpx
import jwt
import pytest
from sqlalchemy import select, update

from tests.conftest import PASSWORD, Person, World
from tradepost.accounts.models import LoginSession, User
from tradepost.accounts.passwords import PasswordHasher
from tradepost.accounts.tokens import Tokens

NEWCOMER = {
    "email": "Grace@Example.com ",
    "password": "Hopper1906",
    "first_name": "grace",
    "last_name": "McHopper",
}


async def login(client: httpx.AsyncClient, email: str, password: str = PASSWORD) -> httpx.Response:
    return await client.post("/api/v1/auth/login", data={"username": email, "password": password})


async def refresh(client: httpx.AsyncClient, token: str) -> httpx.Response:
    return await client.post("/api/v1/auth/refresh-token", json={"refresh_token": token})


async def rotated_earlier(world: World, person: Person, *, by: timedelta) -> None:
    """Have the last exchange of a refresh token be longer ago: the database's clock cannot be moved."""
    async with world.database.transaction() as db:
        (login,) = await db.scalars(select(LoginSession).where(LoginSession.user_id == person.id))
        login.rotated_at -= by


async def sessions_of(world: World, user_id: int) -> list[LoginSession]:
    async with world.database.read() as db:
        found = await db.scalars(select(LoginSession).where(LoginSession.user_id == user_id))
        return list(found)


class TestRegister:
    async def test_makes_an_account_to_log_in_to(self, client: httpx.AsyncClient) -> None:
        answer = await client.post("/api/v1/auth/register", json=NEWCOMER)
        assert answer.status_code == 200
        user = answer.json()
        assert user | {"id": 0, "created_at": "", "updated_at": ""} == {
            "id": 0,
            "email": "grace@example.com",
            "email_verified": False,
            "first_name": "Grace",
            "last_name": "McHopper",
            "full_name": "Grace McHopper",
            "is_active": True,
            "role": "user",
            "avatar_url": None,
            "phone": None,
            "website": None,
            "created_at": "",
            "updated_at": "",
        }
        assert user["created_at"] == user["updated_at"]
        assert "password" not in answer.text
        answer = await login(client, "GRACE@example.COM", "Hopper1906")
        assert answer.status_code == 200

    async def test_a_taken_address_is_refused(self, client: httpx.AsyncClient) -> None:
        await client.post("/api/v1/auth/register", json=NEWCOMER)
        answer = await client.post("/api/v1/auth/register", json=NEWCOMER | {"email": "ｇrace@example.com"})
        assert answer.status_code == 400
        assert answer.json()["detail"] == "The user with this email already exists in the system."
        assert answer.json()["error_code"] == "EMAIL_TAKEN"

    async def test_of_many_at_once_one_gets_the_address(
        self, client: httpx.AsyncClient, world: World
    ) -> None:
        answers = await asyncio.gather(
            *(client.post("/api/v1/auth/register", json=NEWCOMER) for _ in range(8))
        )
        assert sorted(answer.status_code for answer in answers) == [200] + [400] * 7
        async with world.database.read() as db:
            found = (await db.scalars(select(User).where(User.email == "grace@example.com"))).all()
        assert len(found) == 1

    @pytest.mark.parametrize(
        ("field", "value", "message"),
        [
            ("email", "not an address", "value is not a valid email address"),
            ("email", "gr\u200bace@example.com", "value is not a valid email address"),
            ("email", "", None),
            ("email", None, None),
            ("password", "Sh0rt", "String should have at least 8 characters"),
            ("password", "A1" + "a" * 99, "String should have at most 100 characters"),
            ("password", "alllowercase1", "Password must contain at least one uppercase letter"),
            ("password", "ALLUPPERCASE1", "Password must contain at least one lowercase letter"),
            ("password", "NoDigitsHere", "Password must contain at least one digit"),
            ("first_name", "   ", "String should have at least 1 character"),
            ("last_name", "x" * 51, "String should have at most 50 characters"),
            ("first_name", "a\tb", "A name has no invisible or control characters"),
            ("first_name", 7, "Input should be a valid string"),
            ("role", "admin", "Extra inputs are not permitted"),
            ("is_active", True, "Extra inputs are not permitted"),
            ("nickname", "g", "Extra inputs are not permitted"),
        ],
    )
    async def test_bad_input_names_field_and_rule(
        self, client: httpx.AsyncClient, world: World, field: str, value: Any, message: str | None
    ) -> None:
        answer = await client.post("/api/v1/auth/register", json=NEWCOMER | {field: value})
        assert answer.status_code == 422
        problem = answer.json()
        assert problem["error_code"] == "VALIDATION_ERROR"
        (fault,) = problem["errors"]
        assert fault["location"] == ["body", field]
        assert message is None or fault["message"] == message
        async with world.database.read() as db:
            assert len((await db.scalars(select(User))).all()) == 1

    async def test_each_missing_rule_of_a_password_has_its_message(self, client: httpx.AsyncClient) -> None:
        answer = await client.post("/api/v1/auth/register", json=NEWCOMER | {"password": "--------"})
        assert [fault["message"] for fault in answer.json()["errors"]] == [
            "Password must contain at least one uppercase letter",
            "Password must contain at least one lowercase letter",
            "Password must contain at least one digit",
        ]
        assert "--------" not in answer.text

    async def test_a_password_is_taken_as_it_is(self, client: httpx.AsyncClient) -> None:
        spaced = "  Spaced 1  "
        await client.post("/api/v1/auth/register", json=NEWCOMER | {"password": spaced})
        assert (await login(client, "grace@example.com", spaced)).status_code == 200
        assert (await login(client, "grace@example.com", spaced.strip())).status_code == 401


class TestLogin:
    async def test_answers_a_pair_of_tokens(self, client: httpx.AsyncClient, alice: Person) -> None:
        answer = await login(client, alice.email)
        assert answer.status_code == 200
        pair = answer.json()
        assert pair["token_type"] == "bearer"
        assert pair["expires_in"] == 3600
        assert pair["refresh_expires_in"] in {30 * 86400, 30 * 86400 - 1}
        assert answer.headers["cache-control"] == "no-store"
        headers = {"Authorization": f"bearer {pair['access_token']}"}
        answer = await client.get("/api/v1/users/me", headers=headers)
        assert answer.json()["email"] == alice.email

    async def test_unknown_address_and_wrong_password_look_alike(
        self, client: httpx.AsyncClient, alice: Person
    ) -> None:
        wrong = await login(client, alice.email, "Wrong1234")
        unknown = await login(client, "nobody@example.com", "Wrong1234")
        nonsense = await login(client, "\N{GRINNING FACE} no address", "Wrong1234")
        for answer in (wrong, unknown, nonsense):
            assert answer.status_code == 401
            assert answer.headers["www-authenticate"] == "Bearer"
            assert answer.json()["detail"] == "Incorrect email or password"
        first, second = wrong.json(), unknown.json()
        assert first | {"request_id": ""} == second | {"request_id": ""}

    async def test_an_unknown_address_costs_the_same_hash(
        self, client: httpx.AsyncClient, world: World, alice: Person, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """With the parameters of today, for what is no address at all too: the time of an answer tells nothing."""
        verified: list[argon2.Parameters] = []

        class Counting(argon2.PasswordHasher):
            def verify(self, hash: str | bytes, password: str | bytes) -> Literal[True]:  # noqa: A002 - the library's name
                verified.append(argon2.extract_parameters(str(hash)))
                return super().verify(hash, password)

        monkeypatch.setattr(world.resources[PasswordHasher], "_argon2", Counting(time_cost=2))
        for address in (alice.email, "nobody@example.com", "\N{GRINNING FACE} no address"):
            assert (await login(client, address, "Wrong1234")).status_code == 401
        known, unknown, nonsense = verified
        assert known == unknown == nonsense

    async def test_inactive_is_said_only_after_the_right_password(
        self, client: httpx.AsyncClient, alice: Person, admin: Person
    ) -> None:
        await admin.api.put(f"/api/v1/users/{alice.id}", json={"is_active": False})
        assert (await login(client, alice.email, "Wrong1234")).status_code == 401
        answer = await login(client, alice.email)
        assert (answer.status_code, answer.json()["error_code"]) == (400, "INACTIVE_USER")
        assert answer.json()["detail"] == "Inactive user"

    async def test_a_hash_of_older_parameters_is_renewed(
        self, client: httpx.AsyncClient, alice: Person, world: World
    ) -> None:
        weak = argon2.PasswordHasher(time_cost=1, memory_cost=1024, parallelism=1).hash(PASSWORD)
        async with world.database.transaction() as db:
            await db.execute(update(User).where(User.id == alice.id).values(hashed_password=weak))
        assert (await login(client, alice.email)).status_code == 200
        async with world.database.read() as db:
            kept = await db.scalar(select(User.hashed_password).where(User.id == alice.id))
        assert kept is not None
        assert "m=19456,t=2,p=1" in kept
        assert (await login(client, alice.email)).status_code == 200

    async def test_all_at_once_get_in_while_the_hash_is_renewed(
        self, client: httpx.AsyncClient, alice: Person, world: World
    ) -> None:
        weak = argon2.PasswordHasher(time_cost=1, memory_cost=1024, parallelism=1).hash(PASSWORD)
        async with world.database.transaction() as db:
            await db.execute(update(User).where(User.id == alice.id).values(hashed_password=weak))
        answers = await asyncio.gather(*(login(client, alice.email) for _ in range(8)))
        assert [answer.status_code for answer in answers] == [200] * 8
        assert len(await sessions_of(world, alice.id)) == 9

    @pytest.mark.parametrize(
        ("form", "field"),
        [
            ({"password": PASSWORD}, "username"),
            ({"username": "a@example.com"}, "password"),
            ({"username": "a@example.com", "password": "x", "extra": "y"}, "extra"),
            ({"username": "a\0@example.com", "password": "x"}, "username"),
        ],
    )
    async def test_a_bad_form_is_refused(
        self, client: httpx.AsyncClient, form: dict[str, str], field: str
    ) -> None:
        answer = await client.post("/api/v1/auth/login", data=form)
        assert answer.status_code == 422
        assert answer.json()["errors"][0]["location"] == ["body", field]

    async def test_json_is_not_a_form(self, client: httpx.AsyncClient) -> None:
        answer = await client.post("/api/v1/auth/login", json={"username": "a", "password": "b"})
        assert answer.status_code == 415


def signed(claims: dict[str, Any], secret: str, claim: str = "", value: str = "") -> str:
    """Return an access token one claim of which has this JSON, which Python's encoder might not write."""
    parts = {name: json.dumps(content) for name, content in claims.items()} | (
        {claim: value} if claim else {}
    )
    body = ",".join(f'"{name}":{content}' for name, content in parts.items())
    return jwt.PyJWS().encode(f"{{{body}}}".encode(), secret, algorithm="HS256", headers={"typ": "JWT"})


async def status_of(client: httpx.AsyncClient, token: str) -> int:
    answer = await client.get("/api/v1/users/me", headers={"Authorization": f"Bearer {token}"})
    return answer.status_code


class TestAccessToken:
    async def test_strangers_and_bad_credentials_are_401(
        self, client: httpx.AsyncClient, alice: Person, world: World
    ) -> None:
        tokens = world.resources[Tokens]
        secret = world.resources.settings.SECRET_KEY.get_secret_value()
        good = jwt.decode(alice.token, secret, algorithms=["HS256"], audience="tradepost-api")
        forged = [
            jwt.encode(good | change, key, algorithm=algorithm)
            for change, key, algorithm in (
                ({}, "another key of at least thirty-two bytes", "HS256"),
                ({"aud": "other"}, secret, "HS256"),
                ({"iss": "other"}, secret, "HS256"),
                ({"typ": "refresh"}, secret, "HS256"),
                ({"sub": "0"}, secret, "HS256"),
                ({"sub": "x"}, secret, "HS256"),
                ({"sub": str(2**70)}, secret, "HS256"),
                ({"sid": "1"}, secret, "HS256"),
                ({"sid": 2**70}, secret, "HS256"),
                ({"exp": 1}, secret, "HS256"),
                ({"exp": "x"}, secret, "HS256"),
                ({}, secret * 2, "HS512"),
            )
        ]
        forged.append(jwt.encode(good, "", algorithm="none"))
        forged.extend(
            jwt.encode({k: v for k, v in good.items() if k != missing}, secret, algorithm="HS256")
            for missing in good
        )
        credentials = [
            *(
                f"Bearer {token}"
                for token in (*forged, alice.refresh_token, "", "x", "a.b.c", alice.token + "x")
            ),
            f"Basic {alice.token}",
            alice.token,
            "Bearer",
        ]
        for credential in credentials:
            for path in ("/api/v1/users/me", "/api/v1/items/"):
                answer = await client.get(path, headers={"Authorization": credential})
                assert answer.status_code == 401, (credential, path)
                assert answer.headers["www-authenticate"] == "Bearer"
                assert answer.json()["detail"] == "Could not validate credentials"
        assert (await client.get("/api/v1/users/me")).status_code == 401
        assert tokens.read_access(alice.token, world.clock.now()).user_id == alice.id

    async def test_a_number_that_is_no_integer_in_range_is_401(
        self, client: httpx.AsyncClient, alice: Person, world: World
    ) -> None:
        """Signed with our key, as by a second program that has it: written as JSON, whatever a number may look like."""
        secret = world.resources.settings.SECRET_KEY.get_secret_value()
        good = jwt.decode(alice.token, secret, algorithms=["HS256"], audience="tradepost-api")
        assert await status_of(client, signed(good, secret)) == 200
        wrong = ["NaN", "Infinity", "-Infinity", "1e400", "-1e400", "1e20", "1e10", "4102444800.5", "-1"]
        wrong += [
            str(2**63),
            "9" * 400,
            "9" * 5000,
            "true",
            "false",
            "null",
            '"4102444800"',
            "[4102444800]",
            "{}",
        ]
        for claim in ("exp", "iat", "sid"):
            for value in wrong:
                assert await status_of(client, signed(good, secret, claim, value)) == 401, (claim, value)
        for claim in ("nbf", "auth_time"):
            for value in ("NaN", "Infinity", "1e400", "1.5", "true", str(2**63)):
                assert await status_of(client, signed(good, secret, claim, value)) == 401, (claim, value)
        own = str(alice.id)
        for text in (
            f" {own}",
            f"+{own}",
            f"0{own}",
            f"{own}_0",
            f"{own}.0",
            "NaN",
            "\u0661",
            "-1",
            str(2**63),
            "",
        ):
            token = signed(good, secret, "sub", json.dumps(text))
            assert await status_of(client, token) == 401, text
        for value in (own, f"{own}.0", "NaN", "true"):
            assert await status_of(client, signed(good, secret, "sub", value)) == 401, value
        # The largest that is in range, a far end, is good.
        assert await status_of(client, signed(good, secret, "exp", str(2**63 - 1))) == 200

    async def test_a_token_dies_with_its_time(self, alice: Person, bob: Person, world: World) -> None:
        world.clock.move(timedelta(minutes=59))
        answers = [await person.api.get("/api/v1/users/me") for person in (alice, bob)]
        assert [answer.status_code for answer in answers] == [200, 200]
        # Seen and found good a moment ago: that counts no longer either.
        world.clock.move(timedelta(minutes=1))
        answers = [await person.api.get("/api/v1/users/me") for person in (alice, bob)]
        assert [answer.status_code for answer in answers] == [401, 401]


class TestRefresh:
    async def test_rotation(self, client: httpx.AsyncClient, alice: Person) -> None:
        first = (await login(client, alice.email)).json()
        second = (await refresh(client, first["refresh_token"])).json()
        assert second["refresh_token"] != first["refresh_token"]
        headers = {"Authorization": f"Bearer {second['access_token']}"}
        assert (await client.get("/api/v1/users/me", headers=headers)).status_code == 200
        third = await refresh(client, second["refresh_token"])
        assert third.status_code == 200

    async def test_the_one_before_gets_the_current_one_for_a_while(
        self, client: httpx.AsyncClient, alice: Person
    ) -> None:
        second = (await refresh(client, alice.refresh_token)).json()
        again = (await refresh(client, alice.refresh_token)).json()
        assert again["refresh_token"] == second["refresh_token"]

    async def test_fifty_at_once_leave_one_living_session(
        self, client: httpx.AsyncClient, alice: Person, world: World
    ) -> None:
        answers = await asyncio.gather(*(refresh(client, alice.refresh_token) for _ in range(50)))
        assert {answer.status_code for answer in answers} == {200}
        assert len({answer.json()["refresh_token"] for answer in answers}) == 1
        (living,) = await sessions_of(world, alice.id)
        assert living.counter == 1

    async def test_an_old_one_ends_the_session_and_it_stays_ended(
        self, client: httpx.AsyncClient, alice: Person, world: World
    ) -> None:
        second = (await refresh(client, alice.refresh_token)).json()
        third = (await refresh(client, second["refresh_token"])).json()
        answer = await refresh(client, alice.refresh_token)
        assert answer.status_code == 401
        assert answer.json()["detail"] == "Could not validate credentials"
        assert await sessions_of(world, alice.id) == []
        assert (await refresh(client, third["refresh_token"])).status_code == 401
        headers = {"Authorization": f"Bearer {third['access_token']}"}
        assert (await client.get("/api/v1/users/me", headers=headers)).status_code == 401

    async def test_the_one_before_is_old_after_ten_seconds(
        self, client: httpx.AsyncClient, alice: Person, world: World
    ) -> None:
        await refresh(client, alice.refresh_token)
        await rotated_earlier(world, alice, by=timedelta(seconds=9))
        assert (await refresh(client, alice.refresh_token)).status_code == 200
        await rotated_earlier(world, alice, by=timedelta(seconds=2))
        assert (await refresh(client, alice.refresh_token)).status_code == 401
        assert await sessions_of(world, alice.id) == []

    @pytest.mark.parametrize("ahead", [90, -90])
    async def test_replicas_with_clocks_apart_agree(
        self, client: httpx.AsyncClient, alice: Person, world: World, ahead: int
    ) -> None:
        first = await refresh(client, alice.refresh_token)
        world.clock.move(ahead)
        again = await refresh(client, alice.refresh_token)
        world.clock.move(-ahead)
        assert [first.status_code, again.status_code] == [200, 200]
        assert first.json()["refresh_token"] == again.json()["refresh_token"]
        assert len(await sessions_of(world, alice.id)) == 1

    async def test_by_bearer_the_session_stays(self, client: httpx.AsyncClient, alice: Person) -> None:
        answer = await alice.api.post("/api/v1/auth/refresh-token")
        assert answer.status_code == 200
        assert answer.json()["refresh_token"] is None
        headers = {"Authorization": f"Bearer {answer.json()['access_token']}"}
        assert (await client.get("/api/v1/users/me", headers=headers)).status_code == 200
        assert (await refresh(client, alice.refresh_token)).status_code == 200

    async def test_by_bearer_never_past_the_session_s_end(
        self, client: httpx.AsyncClient, alice: Person, world: World
    ) -> None:
        world.clock.move(timedelta(days=29, hours=23, minutes=30))
        refreshed = (await refresh(client, alice.refresh_token)).json()
        headers = {"Authorization": f"Bearer {refreshed['access_token']}"}
        answer = await client.post("/api/v1/auth/refresh-token", headers=headers)
        assert 0 < answer.json()["expires_in"] <= 30 * 60
        world.clock.move(timedelta(minutes=30))
        assert (await client.get("/api/v1/users/me", headers=headers)).status_code == 401
        assert (await refresh(client, refreshed["refresh_token"])).status_code == 401, "the session is over"

    async def test_when_both_are_sent_the_body_counts(self, alice: Person, bob: Person) -> None:
        answer = await alice.api.post("/api/v1/auth/refresh-token", json={"refresh_token": bob.refresh_token})
        assert answer.status_code == 200
        assert answer.json()["refresh_token"].split(".")[0] == bob.refresh_token.split(".")[0]
        answer = await alice.api.post("/api/v1/auth/refresh-token", json={"refresh_token": "nonsense"})
        assert answer.status_code == 401

    @pytest.mark.parametrize(
        "change", ["1.0.x", "1.0", "", "a.b.c", "1.99999999999999999999.x", "-1.0.x", "é.0.x", "1.0.é"]
    )
    async def test_a_forged_one_is_401(self, client: httpx.AsyncClient, alice: Person, change: str) -> None:
        assert (await refresh(client, change)).status_code == 401
        session_id, _, mac = alice.refresh_token.split(".")
        assert (await refresh(client, f"{session_id}.1.{mac}")).status_code == 401
        assert (await alice.api.get("/api/v1/users/me")).status_code == 200

    async def test_without_anything_it_is_401(self, client: httpx.AsyncClient) -> None:
        assert (await client.post("/api/v1/auth/refresh-token")).status_code == 401


class TestSessions:
    async def test_log_out_counts_at_once(self, client: httpx.AsyncClient, alice: Person) -> None:
        other = (await login(client, alice.email)).json()
        assert (await alice.api.post("/api/v1/auth/logout")).status_code == 200
        assert (await alice.api.get("/api/v1/users/me")).status_code == 401
        assert (await refresh(client, alice.refresh_token)).status_code == 401
        headers = {"Authorization": f"Bearer {other['access_token']}"}
        assert (await client.get("/api/v1/users/me", headers=headers)).status_code == 200

    async def test_log_out_of_all(self, client: httpx.AsyncClient, alice: Person, bob: Person) -> None:
        other = (await login(client, alice.email)).json()
        assert (await alice.api.post("/api/v1/auth/logout-all")).status_code == 200
        headers = {"Authorization": f"Bearer {other['access_token']}"}
        assert (await client.get("/api/v1/users/me", headers=headers)).status_code == 401
        assert (await bob.api.get("/api/v1/users/me")).status_code == 200

    async def test_list_and_revoke(self, client: httpx.AsyncClient, alice: Person, bob: Person) -> None:
        agent = {"User-Agent": "Test/1"}
        other = (
            await client.post(
                "/api/v1/auth/login", data={"username": alice.email, "password": PASSWORD}, headers=agent
            )
        ).json()
        listed = (await alice.api.get("/api/v1/auth/sessions")).json()
        assert listed["total"] == 2
        assert [entry["current"] for entry in listed["sessions"]] == [False, True]
        assert listed["sessions"][0]["user_agent"] == "Test/1"
        session_id = listed["sessions"][0]["id"]
        assert (await bob.api.delete(f"/api/v1/auth/sessions/{session_id}")).status_code == 404
        assert (await alice.api.delete(f"/api/v1/auth/sessions/{session_id}")).status_code == 200
        headers = {"Authorization": f"Bearer {other['access_token']}"}
        assert (await client.get("/api/v1/users/me", headers=headers)).status_code == 401
        answer = await alice.api.delete(f"/api/v1/auth/sessions/{session_id}")
        assert (answer.status_code, answer.json()["error_code"]) == (404, "SESSION_NOT_FOUND")

    async def test_a_log_in_keeps_the_newest_hundred(
        self, client: httpx.AsyncClient, alice: Person, bob: Person, world: World
    ) -> None:
        now = world.clock.now()
        ages = [timedelta(days=-1), *[timedelta(days=1)] * 105, timedelta(days=-1)]
        async with world.database.transaction() as db:
            made = [
                LoginSession(user_id=alice.id, created_at=now, rotated_at=now, expires_at=now + age)
                for age in ages
            ]
            db.add_all(made)
            await db.flush()
            ids = [entry.id for entry in made]
        assert (await login(client, alice.email)).status_code == 200
        kept = sorted(entry.id for entry in await sessions_of(world, alice.id))
        assert kept[:-1] == sorted(ids[1:-1])[-99:]
        assert kept[-1] > max(ids)
        assert (await alice.api.get("/api/v1/users/me")).status_code == 401
        assert (await bob.api.get("/api/v1/users/me")).status_code == 200

    async def test_ids_are_never_used_twice(
        self, client: httpx.AsyncClient, alice: Person, world: World
    ) -> None:
        before = max(entry.id for entry in await sessions_of(world, alice.id))
        await alice.api.post("/api/v1/auth/logout")
        await login(client, alice.email)
        (after,) = await sessions_of(world, alice.id)
        assert after.id > before
        assert (await alice.api.get("/api/v1/users/me")).status_code == 401
