"""API keys: what they may do, when they count no more, and what they must never do."""

import asyncio
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import func, select, update

from tests.accounts.test_recovery import AUTH, NEW, asked
from tests.conftest import Person, World, world_on
from tests.items.market import ITEMS, sell
from tests.notifications.inbox.test_inbox import INBOX
from tradepost.accounts.api_keys import prune_keys
from tradepost.accounts.dependencies import build_user_service
from tradepost.accounts.key_schemas import MOST_KEYS
from tradepost.accounts.key_uses import KeyUses
from tradepost.accounts.models import ApiKey, User
from tradepost.accounts.permissions import Role
from tradepost.accounts.schemas import UserUpdate
from tradepost.core.messaging.dispatcher import Dispatcher

KEYS = f"{AUTH}/api-keys"
USERS = "/api/v1/users/"
ME = f"{USERS}me"
READ_ONLY = {"name": "Reader", "permissions": ["read:items"]}


async def new_key(person: Person, **values: Any) -> dict[str, Any]:
    answer = await person.api.post(KEYS, json={"name": "Robot", **values})
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


def by_key(world: World, made: dict[str, Any]) -> httpx.AsyncClient:
    """Return a client that shows a key."""
    return world.caller(**{"X-API-Key": made["key"]})


async def set_user(world: World, person: Person, **values: Any) -> None:
    async with world.database.transaction() as db:
        await db.execute(update(User).where(User.id == person.id).values(**values))


class TestMaking:
    async def test_the_key_is_shown_once_and_kept_hashed(self, world: World, alice: Person) -> None:
        made = await new_key(alice)
        _, prefix, secret = made["key"].split("_", 2)
        assert (prefix, len(secret)) == (made["prefix"], 43)
        assert made == {
            "id": made["id"],
            "name": "Robot",
            "prefix": prefix,
            "key": made["key"],
            "permissions": ["read:items", "write:items"],
            "load_test": False,
            "rate_limit": None,
            "expires_at": None,
            "last_used_at": None,
            "created_at": made["created_at"],
        }
        shown = {name: value for name, value in made.items() if name != "key"}
        assert (await alice.api.get(f"{KEYS}/{made['id']}")).json() == shown
        assert (await alice.api.get(KEYS)).json() == {
            "api_keys": [shown],
            "total": 1,
            "page": 1,
            "size": 100,
            "pages": 1,
            "next_cursor": None,
        }
        async with world.database.read() as db:
            row = (await db.execute(select(ApiKey.__table__))).mappings().one()
        assert secret not in str(dict(row))

    async def test_the_newest_is_listed_first_and_pages_follow(self, alice: Person) -> None:
        ids = [(await new_key(alice, name=f"Robot {number}"))["id"] for number in range(3)]
        first = (await alice.api.get(KEYS, params={"limit": 2})).json()
        assert [key["id"] for key in first["api_keys"]] == ids[:0:-1]
        second = (await alice.api.get(KEYS, params={"limit": 2, "cursor": first["next_cursor"]})).json()
        assert [key["id"] for key in second["api_keys"]] == ids[:1]

    async def test_another_persons_key_is_not_found(self, alice: Person, bob: Person, admin: Person) -> None:
        made = await new_key(alice)
        for other in (bob, admin):
            for method in ("GET", "DELETE"):
                answer = await other.api.request(method, f"{KEYS}/{made['id']}")
                assert (answer.status_code, answer.json()["error_code"]) == (404, "API_KEY_NOT_FOUND")
        assert (await alice.api.get(f"{KEYS}/{made['id']}")).status_code == 200

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("name", " "),
            ("name", "a\u202eb"),
            ("name", "x" * 101),
            ("permissions", ["everything"]),
            ("permissions", "read:items"),
            ("expires_at", "2020-01-01T00:00:00Z"),
            ("expires_at", "2099-01-01T00:00:00"),
            ("expires_at", 4_000_000_000),
            ("rate_limit", "fast"),
            ("rate_limit", "0/60s"),
            ("rate_limit", "5/0s"),
            ("rate_limit", 5),
            ("load_test", "yes"),
            ("user_id", 1),
        ],
    )
    async def test_what_is_wrong_is_named(self, alice: Person, field: str, value: Any) -> None:
        answer = await alice.api.post(KEYS, json={"name": "Robot", field: value})
        assert answer.status_code == 422
        assert answer.json()["errors"][0]["location"][:2] == ["body", field]

    async def test_nobody_gives_a_key_more_than_they_may(
        self, alice: Person, moderator: Person, admin: Person
    ) -> None:
        for person, values in (
            (alice, {"permissions": ["delete:items"]}),
            (alice, {"load_test": True}),
            (moderator, {"permissions": ["read:items", "admin:access"]}),
            (moderator, {"load_test": True}),
        ):
            answer = await person.api.post(KEYS, json={"name": "Robot", **values})
            assert (answer.status_code, answer.json()["detail"]) == (403, "Insufficient permissions")
        assert (await new_key(admin, load_test=True))["load_test"] is True
        made = await new_key(moderator, permissions=["delete:items", "read:items", "read:items"])
        assert made["permissions"] == ["read:items", "delete:items"]

    async def test_of_fifty_made_at_once_the_limit_is_made(self, alice: Person, bob: Person) -> None:
        await new_key(bob)
        bodies = [{"name": f"Robot {number}"} for number in range(50)]
        answers = await asyncio.gather(*(alice.api.post(KEYS, json=body) for body in bodies))
        assert Counter(answer.status_code for answer in answers) == {201: MOST_KEYS, 400: 50 - MOST_KEYS}
        refused = next(answer for answer in answers if answer.status_code == 400).json()
        assert refused["error_code"] == "API_KEY_LIMIT"
        assert str(MOST_KEYS) in refused["detail"]
        made = next(answer for answer in answers if answer.status_code == 201).json()
        assert (await alice.api.get(KEYS)).json()["total"] == MOST_KEYS
        assert (await alice.api.delete(f"{KEYS}/{made['id']}")).status_code == 200
        assert (await alice.api.post(KEYS, json=bodies[0])).status_code == 201


class TestUsing:
    async def test_a_key_is_its_person_with_its_permissions(self, world: World, alice: Person) -> None:
        lamp = await sell(alice)
        async with by_key(world, await new_key(alice)) as whole:
            assert (await whole.get(ME)).json()["id"] == alice.id
            made = await whole.post(ITEMS, json={"title": "Vase", "price": 3})
            assert (made.status_code, made.json()["owner_id"]) == (201, alice.id)
            assert (await whole.put(ME, json={"first_name": "Robot"})).json()["first_name"] == "Robot"
        async with by_key(world, await new_key(alice, **READ_ONLY)) as reader:
            assert (await reader.get(f"{ITEMS}{lamp['id']}")).status_code == 200
            assert (await reader.get(ME)).json()["first_name"] == "Robot"
            refusals = [
                await reader.post(ITEMS, json={"title": "Vase", "price": 3}),
                # Routes for one's own things ask for no permission.
                await reader.put(ME, json={"first_name": "Reader"}),
                await reader.post(
                    "/api/v1/webhooks/", json={"url": "https://example.com", "event_types": ["*"]}
                ),
                await reader.post(f"{INBOX}read-all"),
            ]
            assert {(answer.status_code, answer.json()["detail"]) for answer in refusals} == {
                (403, "Insufficient permissions")
            }

    async def test_what_is_no_key_is_refused_everywhere(
        self, world: World, client: httpx.AsyncClient, alice: Person
    ) -> None:
        key = (await new_key(alice))["key"]
        other = (await new_key(alice))["key"]
        head, prefix, secret = key.split("_", 2)
        bad = [
            "",
            "x",
            prefix,
            secret,
            f"{head}_{prefix}_",
            f"{head}_{prefix}_{other.split('_', 2)[2]}",
            f"{head}_aaaaaaaaaaaa_{secret}",
            f"{head}_{prefix.upper()}_{secret}",
            f"sk_{prefix}_{secret}",
            key + "x",
            key + "\u00e9",
            alice.token,
        ]
        for text in bad:
            for address in (ME, ITEMS):
                answer = await client.get(address, headers={b"X-API-Key": text.encode("latin-1")})
                assert answer.status_code == 401, text
                assert answer.json()["detail"] == "Could not validate credentials"
                assert answer.headers["WWW-Authenticate"] == "Bearer"
                assert not secret or secret not in answer.text

    async def test_a_key_and_a_bearer_together_are_refused(self, alice: Person, bob: Person) -> None:
        for person in (alice, bob):
            for address in (ME, ITEMS):
                answer = await person.api.get(address, headers={"X-API-Key": (await new_key(alice))["key"]})
                assert answer.status_code == 401

    async def test_one_credential_is_shown_and_no_second(
        self, client: httpx.AsyncClient, alice: Person
    ) -> None:
        key = (await new_key(alice))["key"]
        for name, value in (("X-API-Key", key), ("Authorization", f"Bearer {alice.token}")):
            for address in (ME, ITEMS):
                for other in (value, "", "x"):
                    for twice in ([(name, value), (name, other)], [(name, other), (name, value)]):
                        assert (await client.get(address, headers=twice)).status_code == 401
                assert (await client.get(address, headers={name: value})).status_code == 200

    async def test_log_ins_and_keys_share_a_batch(
        self,
        world: World,
        alice: Person,
        bob: Person,
        statements: Callable[[], AbstractContextManager[list[str]]],
    ) -> None:
        async with by_key(world, await new_key(alice)) as robot, by_key(world, await new_key(bob)) as other:
            callers = [alice.api, bob.api, robot, other] * 5
            # A first one, so that the others wait for one batch.
            with statements() as sent:
                answers = await asyncio.gather(alice.api.get(ME), *(caller.get(ME) for caller in callers))
        assert {answer.json()["id"] for answer in answers[1::2]} == {alice.id}
        assert {answer.json()["id"] for answer in answers[2::2]} == {bob.id}
        # Ten requests of each kind; a busy machine may cut them into a few batches.
        assert 1 <= sum("FROM api_keys" in statement for statement in sent) <= 4
        assert sum("FROM sessions" in statement for statement in sent) <= 4

    async def test_the_last_use_is_noted_once_a_minute(
        self,
        world: World,
        alice: Person,
        statements: Callable[[], AbstractContextManager[list[str]]],
    ) -> None:
        made, uses = await new_key(alice), world.resources[KeyUses]

        async def noted() -> str | None:
            await uses.flush()
            return (await alice.api.get(f"{KEYS}/{made['id']}")).json()["last_used_at"]  # type: ignore[no-any-return]

        async with by_key(world, made) as robot:
            assert await noted() is None
            with statements() as sent:
                assert (await robot.get(ME)).status_code == 200
            assert not any("UPDATE" in statement for statement in sent)
            first = await noted()
            assert first is not None
            world.clock.move(30)
            await asyncio.gather(*(robot.get(ME) for _ in range(5)))
            assert await noted() == first
            world.clock.move(31)
            await robot.get(ME)
            second = await noted()
            assert second is not None
            assert second > first
            # One that is revoked meanwhile is no obstacle.
            world.clock.move(61)
            await robot.get(ME)
            await alice.api.delete(f"{KEYS}/{made['id']}")
            await uses.flush()

    async def test_a_retry_by_a_key_is_answered_from_the_first(self, world: World, alice: Person) -> None:
        once = {"Idempotency-Key": "one"}
        body = {"title": "Vase", "price": 3}
        async with by_key(world, await new_key(alice)) as robot:
            first = await robot.post(ITEMS, json=body, headers=once)
            again = await robot.post(ITEMS, json=body, headers=once)
            assert (again.status_code, again.json()) == (201, first.json())
            assert again.headers["Idempotency-Replayed"] == "true"
            assert (await robot.post(KEYS, json={"name": "Another"}, headers=once)).status_code == 403
        async with by_key(world, await new_key(alice, **READ_ONLY)) as reader:
            assert (await reader.post(ITEMS, json=body, headers=once)).status_code == 403

    async def test_the_answer_to_a_retry_has_no_secret(self, alice: Person) -> None:
        first, again = [
            await alice.api.post(KEYS, json={"name": "Robot"}, headers={"Idempotency-Key": "key"})
            for _ in range(2)
        ]
        shown = {name: value for name, value in first.json().items() if name != "key"}
        assert (again.status_code, again.json()) == (201, shown)
        assert (await alice.api.get(KEYS)).json()["total"] == 1


class TestEnding:
    async def test_a_revoked_key_is_refused_by_the_next_request(self, world: World, alice: Person) -> None:
        made = await new_key(alice)
        async with by_key(world, made) as robot:
            reads = [asyncio.create_task(robot.get(ME)) for _ in range(20)]
            revoked = await asyncio.gather(*(alice.api.delete(f"{KEYS}/{made['id']}") for _ in range(2)))
            assert sorted(answer.status_code for answer in revoked) == [200, 404]
            assert (await robot.get(ME)).status_code == 401
            assert {answer.status_code for answer in await asyncio.gather(*reads)} <= {200, 401}
        done = next(answer for answer in revoked if answer.status_code == 200)
        assert done.json() == {"message": "API key deleted successfully"}

    async def test_it_runs_out(self, world: World, alice: Person) -> None:
        end = world.clock.now() + timedelta(minutes=5)
        made = await new_key(alice, expires_at=end.isoformat())
        async with by_key(world, made) as robot:
            assert (await robot.get(ME)).status_code == 200
            world.clock.move(301)
            assert (await robot.get(ME)).status_code == 401
        await prune_keys(world.database, world.clock)
        assert (await alice.api.get(KEYS)).json()["total"] == 1

    async def test_demotion_takes_from_it_what_the_person_has_no_more(
        self, world: World, moderator: Person
    ) -> None:
        made = await new_key(moderator, permissions=["read:users", "write:items"])
        async with by_key(world, made) as robot:
            assert (await robot.get(USERS)).status_code == 200
            await set_user(world, moderator, role=Role.USER)
            assert (await robot.get(USERS)).status_code == 403
            assert (await robot.post(ITEMS, json={"title": "Vase", "price": 3})).status_code == 201
            # A promotion gives it nothing that it was not made with.
            await set_user(world, moderator, role=Role.ADMIN)
            assert (await robot.get(USERS)).status_code == 200
            assert (await robot.get(f"{ITEMS}")).status_code == 200
            assert (await robot.delete(f"{USERS}{moderator.id}")).status_code == 403

    async def test_deactivation_and_deletion_end_it(
        self, world: World, admin: Person, alice: Person, bob: Person
    ) -> None:
        async with by_key(world, await new_key(alice)) as robot, by_key(world, await new_key(bob)) as other:
            assert (await robot.get(ME)).status_code == 200
            await admin.api.put(f"{USERS}{alice.id}", json={"is_active": False})
            assert (await robot.get(ME)).status_code == 401
            await admin.api.put(f"{USERS}{alice.id}", json={"is_active": True})
            assert (await robot.get(ME)).status_code == 401, "as with sessions, it is gone for good"
            # The previous release switches the account off and knows of no key.
            await set_user(world, bob, is_active=False)
            assert (await other.get(ME)).status_code == 401
            await set_user(world, bob, is_active=True)
            assert (await other.get(ME)).status_code == 200
            assert (await admin.api.delete(f"{USERS}{bob.id}")).status_code == 200
            assert (await other.get(ME)).status_code == 401
        async with world.database.read() as db:
            assert await db.scalar(select(func.count()).select_from(ApiKey)) == 0

    async def test_the_first_proof_of_the_address_deletes_keys_and_tells(
        self, world: World, client: httpx.AsyncClient, alice: Person
    ) -> None:
        made = [await new_key(alice), await new_key(alice)]
        token = (await asked(world, client, alice.email))[-1]
        answer = await client.post(f"{AUTH}/password/reset", json={"token": token, "new_password": NEW})
        assert answer.status_code == 200
        for key in made:
            async with by_key(world, key) as robot:
                assert (await robot.get(ME)).status_code == 401
        await world.resources[Dispatcher].drain()
        tokens = (await client.post(f"{AUTH}/login", data={"username": alice.email, "password": NEW})).json()
        client.headers["Authorization"] = f"Bearer {tokens['access_token']}"
        rows = (await client.get(INBOX)).json()["notifications"]
        (told,) = [row for row in rows if row["kind"] == "api_keys_revoked"]
        assert told["data"] == {"api_keys": 2}
        # Now that the address is proved, a reset leaves keys alone.
        kept = (await client.post(KEYS, json={"name": "Robot"})).json()
        token = (await asked(world, client, alice.email))[-1]
        await client.post(f"{AUTH}/password/reset", json={"token": token, "new_password": "Tradepost3"})
        async with by_key(world, kept) as robot:
            assert (await robot.get(ME)).status_code == 200

    async def test_keys_made_beside_a_deactivation_do_not_survive_it(
        self, world: World, alice: Person
    ) -> None:
        async def switch_off() -> None:
            async with world.database.transaction() as db:
                service = build_user_service(db, world.resources)
                await service.update(alice.id, UserUpdate(is_active=False))

        answers, _ = await asyncio.gather(
            asyncio.gather(*(alice.api.post(KEYS, json={"name": "Robot"}) for _ in range(6))), switch_off()
        )
        assert {answer.status_code for answer in answers} <= {201, 401}
        async with world.database.read() as db:
            assert await db.scalar(select(func.count()).select_from(ApiKey)) == 0


class TestWhatAKeyMustNotDo:
    REFUSED = frozenset(
        {
            "POST /api/v1/auth/api-keys",
            "POST /api/v1/auth/logout",
            "POST /api/v1/auth/logout-all",
            "GET /api/v1/auth/sessions",
            "DELETE /api/v1/auth/sessions/{session_id}",
            "POST /api/v1/auth/refresh-token",
            "POST /api/v1/auth/email/resend",
            "POST /api/v1/auth/email/change",
            "POST /api/v1/auth/totp",
            "POST /api/v1/auth/totp/confirm",
            "DELETE /api/v1/auth/totp",
            "PUT /api/v1/users/me/password",
            "DELETE /api/v1/users/{user_id}/totp",
            "GET /api/v1/users/{user_id}/totp",
            "GET /api/v1/users/{user_id}/sessions",
            "DELETE /api/v1/users/{user_id}/sessions",
            "DELETE /api/v1/users/{user_id}/sessions/{session_id}",
            "GET /api/v1/users/{user_id}/api-keys",
            "DELETE /api/v1/users/{user_id}/api-keys/{key_id}",
            "DELETE /api/v1/users/me",
            "GET /api/v1/users/me/export",
        }
    )
    OPEN = frozenset(
        {
            "login",
            "register",
            "forgot_password",
            "reset_password",
            "verify_email",
            "confirm_email_change",
            "undo_email_change",
        }
    )
    """Operations below ``/auth`` that take no credential."""

    def operations(self, world: World) -> dict[str, dict[str, Any]]:
        return {
            f"{method.upper()} {path}": operation
            for path, methods in world.app.openapi()["paths"].items()
            for method, operation in methods.items()
        }

    async def test_every_operation_says_whether_it_takes_a_key(self, world: World) -> None:
        """Whatever comes below ``/auth`` later takes no key, unless it is said here."""
        for name, operation in self.operations(world).items():
            schemes = {scheme for wanted in operation["security"] for scheme in wanted}
            if name in self.REFUSED:
                assert schemes == {"bearer"}, name
            elif "/auth/" in name and "/auth/api-keys" not in name:
                assert operation["operationId"] in self.OPEN, f"{name} is for log-ins alone"
            elif schemes:
                assert {"bearer", "apiKey"} <= schemes, name

    async def test_a_key_gets_403_from_each(self, world: World, admin: Person) -> None:
        examples = {
            "POST /api/v1/auth/api-keys": {"name": "Another"},
            "PUT /api/v1/users/me/password": {"current_password": "x", "new_password": "Tradepost2"},
            "POST /api/v1/auth/email/change": {"new_email": "new@example.com", "password": "x"},
            "POST /api/v1/auth/totp/confirm": {"code": "123456"},
            "DELETE /api/v1/auth/totp": {"password": "x", "code": "123456"},
            "DELETE /api/v1/users/me": {"password": "x"},
        }
        operations = self.operations(world)
        async with by_key(world, await new_key(admin)) as robot:
            for name in sorted(self.REFUSED):
                method, path = name.split()
                address = path.format(session_id=1, user_id=1, key_id=1)
                answer = await robot.request(method, address, json=examples.get(name))
                assert (answer.status_code, answer.json()["error_code"]) == (403, "API_KEY_NOT_ALLOWED"), name
                assert "403" in operations[name]["responses"], name
            assert (await robot.get(ME)).status_code == 200
        assert (await admin.api.get(KEYS)).json()["total"] == 1


class TestLimits:
    @pytest.fixture
    def limited(self, world: World, tmp_path_factory: pytest.TempPathFactory) -> Any:
        return world_on(
            world.url, tmp_path_factory.mktemp("limits"), RATE_LIMIT_ENABLED=True, RATE_LIMIT_LOGIN="2/60s"
        )

    async def test_a_key_has_a_limit_of_its_own(self, world: World, alice: Person, limited: Any) -> None:
        made = await new_key(alice, rate_limit="5/60s")
        assert made["rate_limit"] == "5/60s"
        other = await new_key(alice, rate_limit="1/1h")
        assert other["rate_limit"] == "1/3600s"
        async with limited as strict, by_key(strict, made) as robot, by_key(strict, other) as second:
            answers = await asyncio.gather(*(robot.get(ME) for _ in range(8)))
            assert Counter(answer.status_code for answer in answers) == {200: 5, 429: 3}
            assert answers[0].headers["RateLimit-Policy"] == '"key";q=5;w=60;pp'
            assert answers[0].headers["RateLimit"].startswith('"key";r=4;t=')
            refused = next(answer for answer in answers if answer.status_code == 429)
            assert 1 <= int(refused.headers["Retry-After"]) <= 12
            assert (await robot.get(ITEMS)).status_code == 429, "the fast path and visitors count too"
            assert (await second.get(ME)).status_code == 200
            async with strict.caller(Authorization=f"Bearer {alice.token}") as person:
                answer = await person.get(ME)
                assert answer.status_code == 200
                assert "RateLimit" not in answer.headers
            strict.clock.move(61)
            assert (await robot.get(ME)).status_code == 200

    async def test_a_load_test_lifts_every_limit_for_itself_alone(
        self, world: World, admin: Person, client: httpx.AsyncClient, limited: Any
    ) -> None:
        plain = await new_key(admin)
        key = await new_key(admin, load_test=True, rate_limit="1/60s")
        async with limited as strict:

            async def log_in(made: dict[str, Any] | None) -> list[int]:
                headers = {} if made is None else {"X-API-Key": made["key"]}
                async with strict.caller(**headers) as caller:
                    form = {"username": "nobody@example.com", "password": "x"}
                    answers = [await caller.post(f"{AUTH}/login", data=form) for _ in range(4)]
                return [answer.status_code for answer in answers]

            assert await log_in(key) == [401] * 4
            assert await log_in(plain) == [401, 401, 429, 429]
            assert await log_in({"key": key["key"] + "x"}) == [429] * 4
            async with by_key(strict, key) as robot:
                assert {(await robot.get(ME)).status_code for _ in range(4)} == {200}
            # Who is no admin any more tests no load.
            await set_user(world, admin, role=Role.MODERATOR)
            async with by_key(strict, key) as robot:
                assert [(await robot.get(ME)).status_code for _ in range(2)] == [200, 429]
