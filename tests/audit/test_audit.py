"""The audit trail: what is in it, that nothing takes it out again, who may read it, and what it costs."""

import asyncio
import json
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import Executable, delete, func, insert, select, text, update
from sqlalchemy.exc import DBAPIError

from tests.accounts.test_api_keys import KEYS, by_key, new_key
from tests.accounts.test_recovery import AUTH, NEW, asked
from tests.conftest import PASSWORD, NewPerson, Person, World
from tests.items.market import ITEMS, new_category, sell
from tradepost.audit.dependencies import build_audit_pruner
from tradepost.core.audit.models import ActorKind, AuditLine
from tradepost.core.audit.trail import SYSTEM, AuditTrail, user
from tradepost.core.principal import NOWHERE

AUDIT = "/api/v1/audit"
USERS = "/api/v1/users/"


async def lines(person: Person, path: str = "", **query: Any) -> list[dict[str, Any]]:
    answer = await person.api.get(f"{AUDIT}{path}", params=query)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["lines"]
    return found


def told(found: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    """Return of each line, the oldest first, who did what to what."""
    return [
        (line["actor_id"], line["action"], line["target_type"], line["target_id"]) for line in reversed(found)
    ]


async def log_in(client: httpx.AsyncClient, email: str, password: str = PASSWORD, **headers: str) -> int:
    form = {"username": email, "password": password}
    return (await client.post(f"{AUTH}/login", data=form, headers=headers)).status_code


async def add_lines(world: World, *moments: datetime, **values: Any) -> None:
    row = {"actor_kind": ActorKind.SYSTEM, "action": "test", "details": {}, **values}
    async with world.database.transaction() as db:
        await db.execute(insert(AuditLine), [{"at": moment, **row} for moment in moments])


class TestWhatIsInIt:
    async def test_a_log_in_with_all_that_is_known_of_it(
        self, client: httpx.AsyncClient, world: World, alice: Person
    ) -> None:
        headers = {"User-Agent": "Robot\t" + "x" * 300, "X-Request-ID": "the-request"}
        before = world.clock.now()
        assert await log_in(client, alice.email, **headers) == 200
        (line,) = await lines(alice, "/me", action="auth.login")
        sessions = (await alice.api.get(f"{AUTH}/sessions")).json()["sessions"]
        assert before <= datetime.fromisoformat(line.pop("at")) <= world.clock.now()
        assert line == {
            "id": line["id"],
            "actor_id": alice.id,
            "actor_kind": "person",
            "action": "auth.login",
            "target_type": "session",
            "target_id": sessions[0]["id"],
            "ip": "127.0.0.1",
            "user_agent": ("Robot" + "x" * 300)[:200],
            "request_id": "the-request",
            "details": {},
        }

    async def test_the_story_of_an_account(
        self, client: httpx.AsyncClient, world: World, admin: Person, new_person: NewPerson
    ) -> None:
        form = {"email": "carol@example.com", "password": PASSWORD, "first_name": "C", "last_name": "D"}
        user_id = (await client.post(f"{AUTH}/register", json=form)).json()["id"]
        carol = await new_person("Carol", email="carol@example.com")
        made = await new_key(carol)
        assert (await carol.api.delete(f"{KEYS}/{made['id']}")).status_code == 200
        change = {"current_password": PASSWORD, "new_password": NEW}
        assert (await carol.api.put(f"{USERS}me/password", json=change)).status_code == 200
        token = (await asked(world, client, "carol@example.com"))[-1]
        reset = {"token": token, "new_password": PASSWORD}
        assert (await client.post(f"{AUTH}/password/reset", json=reset)).status_code == 200
        address = f"{USERS}{user_id}"
        for changes in ({"role": "moderator"}, {"first_name": "Caroline"}, {"is_active": False}):
            assert (await admin.api.put(address, json=changes)).status_code == 200
        # What changes nothing leaves no line.
        await admin.api.put(address, json={"role": "moderator"})
        assert (await admin.api.delete(address)).status_code == 200
        found = await lines(admin)
        assert told(found) == [
            (user_id, "user.registered", "user", user_id),
            (user_id, "api_key.created", "api_key", made["id"]),
            (user_id, "api_key.deleted", "api_key", made["id"]),
            (user_id, "password.changed", "user", user_id),
            (user_id, "password.reset", "user", user_id),
            (admin.id, "user.role_changed", "user", user_id),
            (admin.id, "user.updated", "user", user_id),
            (admin.id, "user.deactivated", "user", user_id),
            (admin.id, "user.deleted", "user", user_id),
        ]
        details = {line["action"]: line["details"] for line in found}
        assert details["user.role_changed"] == {"from": "user", "to": "moderator"}
        assert details["user.updated"] == {"fields": ["first_name"]}
        assert details["api_key.created"] == {
            "prefix": made["prefix"],
            "permissions": ["read:items", "write:items"],
            "load_test": False,
        }
        secrets = [PASSWORD, NEW, token, made["key"].split("_", 2)[2]]
        assert not [secret for secret in secrets if secret in json.dumps(found)]

    async def test_sessions(self, client: httpx.AsyncClient, alice: Person) -> None:
        form = {"username": alice.email, "password": PASSWORD}
        tokens = [(await client.post(f"{AUTH}/login", data=form)).json() for _ in range(3)]
        ids = [session["id"] for session in (await alice.api.get(f"{AUTH}/sessions")).json()["sessions"]]
        assert (await alice.api.delete(f"{AUTH}/sessions/{ids[0]}")).status_code == 200
        first = {"refresh_token": tokens[0]["refresh_token"]}
        answer = await client.post(f"{AUTH}/refresh-token", json=first)
        second = {"refresh_token": answer.json()["refresh_token"]}
        assert (await client.post(f"{AUTH}/refresh-token", json=second)).status_code == 200
        assert (await client.post(f"{AUTH}/refresh-token", json=first)).status_code == 401
        bearer = {"Authorization": f"Bearer {tokens[1]['access_token']}"}
        assert (await client.post(f"{AUTH}/logout", headers=bearer)).status_code == 200
        found = await lines(alice, "/me")
        assert told(found)[3:] == [
            (alice.id, "session.revoked", "session", ids[0]),
            (None, "session.ended_by_reuse", "session", ids[2]),
            (alice.id, "auth.logout", "session", ids[1]),
        ]
        assert (await alice.api.post(f"{AUTH}/logout-all")).status_code == 200

    async def test_what_staff_do_to_others_things_and_not_what_owners_do(
        self, alice: Person, moderator: Person, admin: Person
    ) -> None:
        lamp, vase = [await sell(alice, title) for title in ("Lamp", "Vase")]
        own = await sell(admin, "Own")
        category = (await new_category(admin, "Lights"))["id"]
        tag = (await moderator.api.post("/api/v1/tags/", json={"name": "brass"})).json()
        assert (await alice.api.put(f"{ITEMS}{lamp['id']}", json={"price": 2})).status_code == 200
        assert (
            await admin.api.put(f"{ITEMS}{lamp['id']}", json={"price": 3, "tags": ["brass"]})
        ).status_code == 200
        assert (await admin.api.delete(f"{ITEMS}{own['id']}")).status_code == 200
        assert (await moderator.api.delete(f"{ITEMS}{vase['id']}")).status_code == 200
        assert (await alice.api.delete(f"{ITEMS}{lamp['id']}")).status_code == 200
        await moderator.api.put(f"/api/v1/tags/{tag['id']}", json={"name": "copper"})
        assert (await moderator.api.delete(f"/api/v1/tags/{tag['id']}")).status_code == 200
        found = await lines(admin)
        assert told(found) == [
            (admin.id, "category.created", "category", category),
            (moderator.id, "tag.created", "tag", tag["id"]),
            (admin.id, "item.updated", "item", lamp["id"]),
            (moderator.id, "item.deleted", "item", vase["id"]),
            (moderator.id, "tag.updated", "tag", tag["id"]),
            (moderator.id, "tag.deleted", "tag", tag["id"]),
        ]
        assert found[3]["details"] == {"fields": ["price", "tags"]}

    async def test_events_of_others(
        self, alice: Person, bob: Person, moderator: Person, admin: Person
    ) -> None:
        start = datetime.now(UTC) + timedelta(days=900)
        body = {
            "title": "Lamp fair",
            "description": "Where lamps are lit",
            "start_date": start.isoformat(),
            "end_date": (start + timedelta(hours=1)).isoformat(),
            "max_participants": 5,
        }
        fair, market = [(await alice.api.post("/api/v1/events/", json=body)).json()["id"] for _ in range(2)]
        events = "/api/v1/events/"
        for person in (bob, admin):
            assert (await person.api.post(f"{events}{fair}/participants")).status_code == 201
        assert (await alice.api.delete(f"{events}{fair}/participants/{admin.id}")).status_code == 200
        assert (await moderator.api.delete(f"{events}{fair}/participants/{bob.id}")).status_code == 200
        assert (await moderator.api.put(f"{events}{fair}", json={"title": "Fair"})).status_code == 200
        assert (await alice.api.put(f"{events}{fair}", json={"title": "Lamp fair"})).status_code == 200
        assert (await moderator.api.post(f"{events}{fair}/cancel")).status_code == 200
        assert (await moderator.api.delete(f"{events}{market}")).status_code == 200
        assert told(await lines(admin)) == [
            (moderator.id, "event.participant_removed", "event", fair),
            (moderator.id, "event.updated", "event", fair),
            (moderator.id, "event.cancelled", "event", fair),
            (moderator.id, "event.deleted", "event", market),
        ]
        assert [line["action"] for line in await lines(bob, "/me")] == ["event.participant_removed"]

    async def test_a_key_is_named_and_is_no_person(self, world: World, admin: Person) -> None:
        made = await new_key(admin)
        async with by_key(world, made) as robot:
            answer = await robot.post("/api/v1/tags/", json={"name": "brass"})
            assert answer.status_code == 201
        (line,) = await lines(admin, action="tag.created")
        assert (line["actor_id"], line["actor_kind"]) == (admin.id, "key")
        assert line["details"] == {"name": "brass", "api_key": made["prefix"]}

    async def test_a_line_is_there_only_if_its_change_is(self, world: World, admin: Person) -> None:
        trail = world.resources[AuditTrail]

        async def fail() -> None:
            async with world.database.transaction() as db:
                await trail.add(db, "test", by=SYSTEM, on=user(admin.id))
                raise RuntimeError

        with pytest.raises(RuntimeError):
            await fail()
        taken = {"email": admin.email, "password": PASSWORD, "first_name": "A", "last_name": "B"}
        assert (await admin.api.post(USERS, json=taken)).status_code == 400
        assert await lines(admin) == []


class TestFailures:
    async def test_those_of_an_account_and_an_address_are_one_line_a_minute(
        self, client: httpx.AsyncClient, world: World, alice: Person, bob: Person, admin: Person
    ) -> None:
        # At the beginning of a minute, so that the next is 60 s away.
        world.clock.move(60 - world.clock.now().timestamp() % 60)
        statuses = await asyncio.gather(
            *(log_in(client, email, "wrong") for email in [alice.email, bob.email, "who@example.com"] * 4)
        )
        assert set(statuses) == {401}
        found = await lines(admin, action="auth.login_failed")
        assert Counter((line["target_id"], line["details"]["reason"]) for line in found) == {
            (alice.id, "password"): 1,
            (bob.id, "password"): 1,
            (None, "address"): 1,
        }
        assert {(line["actor_id"], line["actor_kind"], line["ip"]) for line in found} == {
            (None, "person", "127.0.0.1")
        }
        assert "who@example.com" not in json.dumps(found)
        world.clock.move(60)
        assert await log_in(client, alice.email.upper(), "wrong") == 401
        # The person sees from where others try.
        mine = await lines(alice, "/me")
        assert [(line["action"], line["ip"]) for line in mine] == [("auth.login_failed", "127.0.0.1")] * 2

    async def test_the_other_refusals(
        self, client: httpx.AsyncClient, world: World, alice: Person, bob: Person, admin: Person
    ) -> None:
        change = {"current_password": "wrong", "new_password": NEW}
        for _ in range(2):
            assert (await alice.api.put(f"{USERS}me/password", json=change)).status_code == 400
        await admin.api.put(f"{USERS}{bob.id}", json={"is_active": False})
        assert await log_in(client, bob.email) == 400
        assert told(await lines(admin)) == [
            (alice.id, "password.change_failed", "user", alice.id),
            (admin.id, "user.deactivated", "user", bob.id),
            (None, "auth.login_failed", "user", bob.id),
        ]

    async def test_an_api_key_that_does_not_hold(
        self, world: World, client: httpx.AsyncClient, alice: Person, admin: Person
    ) -> None:
        soon = (world.clock.now() + timedelta(seconds=30)).isoformat()
        key, short = await new_key(alice), await new_key(alice, expires_at=soon)
        head, prefix, secret = key["key"].split("_", 2)
        world.clock.move(60)
        for shown in (f"{head}_{prefix}_{'x' * 43}", short["key"], f"{head}_aaaaaaaaaaaa_{secret}", "x"):
            for _ in range(3):
                answer = await client.get(f"{USERS}me", headers={"X-API-Key": shown})
                assert answer.status_code == 401
        found = await lines(admin, action="api_key.refused")
        # What has not the form of a key is none.
        assert [
            (line["target_id"], line["details"], line["actor_id"], line["ip"]) for line in reversed(found)
        ] == [
            (key["id"], {"reason": "secret"}, None, "127.0.0.1"),
            (short["id"], {"reason": "expired"}, None, "127.0.0.1"),
            (None, {"reason": "unknown"}, None, "127.0.0.1"),
        ]
        assert secret not in json.dumps(found)
        # Made-up ones are one line for an address, and a minute later there is another.
        await client.get(f"{USERS}me", headers={"X-API-Key": f"{head}_bbbbbbbbbbbb_{secret}"})
        assert len(await lines(admin, action="api_key.refused")) == 3
        world.clock.move(60)
        await client.get(f"{USERS}me", headers={"X-API-Key": short["key"]})
        assert len(await lines(admin, action="api_key.refused")) == 4
        # The person learns that somebody tries.
        mine = await lines(alice, "/me", action="api_key.refused")
        assert [line["target_id"] for line in mine] == [short["id"], short["id"], key["id"]]


class TestNothingTakesItOut:
    async def test_the_database_refuses_changes_and_early_deletions(
        self, world: World, admin: Person
    ) -> None:
        now = datetime.now(UTC)
        old, young = now - timedelta(days=367), now - timedelta(days=364)
        await add_lines(world, old, young, now)
        statements: list[Executable] = [
            update(AuditLine).values(action="nothing"),
            update(AuditLine).where(AuditLine.at == old).values(action="nothing"),
            delete(AuditLine),
            delete(AuditLine).where(AuditLine.at == young),
        ]
        if world.engine == "postgresql":
            statements.append(text("TRUNCATE audit_lines"))
        for statement in statements:
            with pytest.raises(DBAPIError, match="only added"):
                async with world.database.transaction() as db:
                    await db.execute(statement)
        async with world.database.transaction() as db:
            await db.execute(delete(AuditLine).where(AuditLine.at == old))
            assert await db.scalar(select(func.count()).select_from(AuditLine)) == 2

    async def test_old_lines_go_in_chunks_and_a_line_says_so(
        self, world: World, admin: Person, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        now = datetime.now(UTC)
        await add_lines(world, *(now - timedelta(days=400 + number) for number in range(25)))
        await add_lines(world, now - timedelta(days=364))
        monkeypatch.setattr("tradepost.audit.service.CHUNK", 10)
        pruner = build_audit_pruner(world.resources)
        await pruner.run()
        await pruner.run()
        found = await lines(admin)
        assert [line["action"] for line in found] == ["audit.pruned", "test"]
        assert found[0]["actor_kind"] == "system"
        assert found[0]["details"]["number"] == 25

    async def test_a_deleted_person_stays_in_it(
        self, alice: Person, admin: Person, client: httpx.AsyncClient
    ) -> None:
        await log_in(client, alice.email)
        assert (await admin.api.delete(f"{USERS}{alice.id}")).status_code == 200
        assert [line["action"] for line in await lines(admin, actor_id=alice.id)] == ["auth.login"]


class TestReading:
    async def test_only_admins_read_all_of_it(
        self, client: httpx.AsyncClient, world: World, alice: Person, moderator: Person, admin: Person
    ) -> None:
        for path in ("", "/export"):
            assert (await client.get(f"{AUDIT}{path}")).status_code == 401
            for person in (alice, moderator):
                assert (await person.api.get(f"{AUDIT}{path}")).status_code == 403
        assert (await client.get(f"{AUDIT}/me")).status_code == 401
        async with by_key(world, await new_key(admin, permissions=["read:items"])) as robot:
            assert (await robot.get(AUDIT)).status_code == 403
            assert (await robot.get(f"{AUDIT}/me")).status_code == 200

    async def test_one_sees_what_concerns_one_and_not_where_staff_are(
        self, alice: Person, bob: Person, admin: Person
    ) -> None:
        lamp, vase = await sell(alice), await sell(bob)
        for item in (lamp, vase):
            assert (await admin.api.delete(f"{ITEMS}{item['id']}")).status_code == 200
        (mine,) = await lines(alice, "/me")
        assert (mine["actor_id"], mine["action"], mine["target_id"]) == (admin.id, "item.deleted", lamp["id"])
        assert (mine["ip"], mine["user_agent"], mine["request_id"]) == (None, None, None)
        theirs = await lines(admin, "/me")
        assert [line["target_id"] for line in theirs] == [vase["id"], lamp["id"]]
        assert all(line["ip"] == "127.0.0.1" for line in theirs)

    async def test_filters(self, world: World, admin: Person) -> None:
        start = datetime(2026, 1, 1, tzinfo=UTC)
        moments = [start + timedelta(hours=number) for number in range(4)]
        await add_lines(world, *moments, action="a", actor_id=7, target_type="item", target_id=1)
        await add_lines(
            world, *moments, action="b", actor_id=8, target_type="user", target_id=1, subject_id=1
        )
        assert len(await lines(admin, actor_id=7)) == 4
        assert len(await lines(admin, action="b", target_type="item")) == 0
        assert len(await lines(admin, target_id=1)) == 8
        hours = await lines(
            admin, action="a", **{"from": moments[1].isoformat(), "to": moments[3].isoformat()}
        )
        assert [line["at"] for line in hours] == ["2026-01-01T02:00:00Z", "2026-01-01T01:00:00Z"]
        mistakes: list[dict[str, Any]] = [
            {"actor_id": "x"},
            {"from": "2026-01-01T00:00:00"},
            {"to": "now"},
            {"actor": 7},
            {"action": "x" * 65},
        ]
        for wrong in mistakes:
            answer = await admin.api.get(AUDIT, params=wrong)
            assert answer.status_code == 422
            assert answer.json()["errors"][0]["location"] == ["query", next(iter(wrong))]

    async def test_it_is_paged_by_cursor_and_counted_on_request(self, world: World, admin: Person) -> None:
        # Several at one moment: their numbers tell them apart.
        start = datetime(2026, 1, 1, tzinfo=UTC)
        await add_lines(world, *(start + timedelta(hours=number // 3) for number in range(10)))
        seen: list[int] = []
        query: dict[str, Any] = {"limit": 4}
        while True:
            page = (await admin.api.get(AUDIT, params=query)).json()
            assert page["total"] is None
            seen += [line["id"] for line in page["lines"]]
            if page["next_cursor"] is None:
                break
            query["cursor"] = page["next_cursor"]
            # What comes meanwhile moves nothing.
            await add_lines(world, start + timedelta(days=1))
        assert seen == sorted(seen, reverse=True)
        assert len(seen) == 10
        assert (await admin.api.get(AUDIT, params={"total": "exact"})).json()["total"] == 12
        other = await admin.api.get(AUDIT, params={"action": "x", "cursor": query["cursor"]})
        assert other.status_code == 422

    async def test_the_export_is_every_line_the_oldest_first(
        self, world: World, admin: Person, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("tradepost.audit.service.CHUNK", 3)
        start = datetime(2026, 1, 1, tzinfo=UTC)
        await add_lines(world, *(start + timedelta(hours=number // 4) for number in range(10)))
        await add_lines(world, start, action="other")
        answer = await admin.api.get(f"{AUDIT}/export", params={"action": "test"})
        assert answer.headers["content-type"] == "application/x-ndjson"
        assert answer.headers["content-disposition"] == 'attachment; filename="audit.ndjson"'
        written = [json.loads(line) for line in answer.text.splitlines()]
        assert written == list(reversed(await lines(admin, action="test")))
        assert (await admin.api.get(f"{AUDIT}/export", params={"action": "none"})).text == ""


def test_what_no_request_asked_for_comes_from_nowhere() -> None:
    assert (SYSTEM.kind, SYSTEM.id, SYSTEM.origin) == (ActorKind.SYSTEM, None, NOWHERE)
