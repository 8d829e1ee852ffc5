"""Ending one's own account: what it takes, and that nothing is left."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

import httpx
import pyotp
import pytest
from sqlalchemy import select

from tests.accounts.test_email_change import ask, mails
from tests.accounts.test_recovery import AUTH, login
from tests.conformance.scenes import EVENT, HOOK
from tests.conftest import PASSWORD, NewPerson, Person, World
from tests.items.market import sell
from tests.uploading import AVATAR, png
from tradepost.accounts.permissions import Role
from tradepost.bootstrap import METADATA
from tradepost.core.audit.models import AuditLine
from tradepost.core.messaging.dispatcher import Dispatcher

ME = "/api/v1/users/me"
MARK: Final = "Zyxwvut"
"""What everything bears that the person makes."""
KEPT: Final = {
    "audit_lines": "a number and no name, for a year",
    "messages": "for a day, and then pruned",
    "item_count_changes": "a number, until it is folded",
    "vocabulary": "words that texts have had, and not whose",
}
"""Tables that may still tell of somebody who has left, and how."""


@pytest.fixture(autouse=True)
def _no_mails_of_others(world: World) -> None:
    for path in (world.resources.settings.DATA_DIR / "mails").glob("*"):
        path.unlink()


async def leave(person: Person, **body: Any) -> tuple[int, str]:
    answer = await person.api.request("DELETE", ME, json={"password": PASSWORD} | body)
    return answer.status_code, answer.json().get("error_code", answer.json().get("message"))


async def live_a_life(world: World, person: Person, other: Person) -> list[str]:
    """Leave traces in every table that can hold some; return recovery codes."""
    api = person.api

    async def post(path: str, json: Any = None, **parts: Any) -> Any:
        answer = await api.post(f"/api/v1/{path}", json=json, **parts)
        assert answer.is_success, answer.text
        return answer.json()

    assert (await api.put(ME, json={"last_name": MARK, "website": f"{MARK}.example.com"})).is_success
    item = await sell(person, title=MARK, description=MARK, tags=["brass"])
    lamp = (f"{MARK}.png", png())
    await post(f"upload/items/{item['id']}/images/", files=[("files", lamp)])
    assert (await api.post(AVATAR, files={"file": lamp})).is_success
    event = await post("events/", EVENT)
    theirs = (await other.api.post("/api/v1/events/", json=EVENT)).json()
    await post(f"events/{theirs['id']}/participants")
    await other.api.post(f"/api/v1/events/{event['id']}/participants")
    await post("webhooks/", HOOK | {"url": f"https://{MARK}.example.com/"})
    await post("auth/api-keys", {"name": MARK})
    await post("items/", {"title": MARK, "price": 5}, headers={"Idempotency-Key": MARK})
    kind = {"preferences": [{"kind": "item_created", "email": False}]}
    await api.put("/api/v1/notifications/preferences", json=kind)
    assert (await ask(person, f"{MARK}@new.example.com".lower())).status_code == 202
    codes = await recovery_codes(world, person)
    await world.resources[Dispatcher].drain()
    return codes


async def traces(world: World, person: Person) -> list[str]:
    """Return the rows that name a person or hold what they wrote, as far as nothing says that they may."""
    found = []
    async with world.database.read() as db:
        for name, table in METADATA.tables.items():
            if name in KEPT:
                continue
            for row in (await db.execute(select(table))).mappings():
                points = [
                    column
                    for column, value in row.items()
                    if value == person.id and (column.endswith(("user_id", "owner_id", "organiser_id")))
                ]
                text = str(dict(row)).lower()
                if points or MARK.lower() in text or person.email in text:
                    found.append(f"{name}: {dict(row)}")
    return found


def files(world: World) -> list[str]:
    return [path.name for path in world.resources.settings.UPLOAD_DIR.glob("*/*") if path.is_file()]


async def by_oneself(person: Person, _admin: Person, code: str) -> httpx.Response:
    return await person.api.request("DELETE", ME, json={"password": PASSWORD, "code": code})


async def by_staff(person: Person, admin: Person, _code: str) -> httpx.Response:
    return await admin.api.delete(f"/api/v1/users/{person.id}")


@pytest.mark.parametrize("end", [by_oneself, by_staff], ids=["oneself", "staff"])
async def test_whoever_deletes_it_nothing_is_left(
    world: World,
    new_person: NewPerson,
    bob: Person,
    admin: Person,
    end: Callable[[Person, Person, str], Awaitable[httpx.Response]],
) -> None:
    person = await new_person("Zoe")
    codes = await live_a_life(world, person, bob)
    tables = {line.partition(":")[0] for line in await traces(world, person)}
    assert {
        *("users", "sessions", "api_keys", "account_tokens", "second_factors", "recovery_codes", "items"),
        *("item_texts", "events", "event_participants", "notifications", "inboxes", "webhooks", "files"),
        *("notification_preferences", "idempotency_keys", "file_usage"),
    } <= tables, "the walk leaves a trace wherever one can be"
    assert files(world)
    answer = await end(person, admin, codes[0])
    assert (answer.status_code, answer.json()) == (200, {"message": "User deleted successfully"})
    assert (await person.api.get(ME)).status_code == 401
    await world.resources[Dispatcher].drain()
    left = await traces(world, person)
    assert left == [], "\n".join(left)
    assert files(world) == []
    (last,) = mails(world, "account_ended")
    assert f"To: <{person.email}>" in last
    assert MARK not in last
    async with world.database.read() as db:
        lines = (await db.execute(select(AuditLine.__table__).order_by(AuditLine.id))).mappings().all()
        waiting = (await db.execute(select(METADATA.tables["messages"].c.payload))).scalars().all()
    assert MARK.lower() not in str([dict(line) for line in lines]).lower()
    assert person.email not in str([dict(line) for line in lines])
    assert person.email not in str(waiting), "the address of the last e-mail is sealed"
    assert lines[-1]["action"] == "user.deleted"


async def recovery_codes(world: World, person: Person) -> list[str]:
    """Set up a second factor, and return its recovery codes."""
    secret = (await person.api.post(f"{AUTH}/totp")).json()["secret"]
    code = pyotp.TOTP(secret).at(world.clock.now())
    answer = await person.api.post(f"{AUTH}/totp/confirm", json={"code": code})
    found: list[str] = answer.json()["recovery_codes"]
    return found


async def test_what_is_refused_changes_nothing(world: World, alice: Person, admin: Person) -> None:
    assert await leave(alice, password="Wrong1234") == (400, "INCORRECT_PASSWORD")
    assert (await leave(alice, sure=True))[0] == 422
    stale = await alice.api.request("DELETE", ME, json={"password": PASSWORD}, headers={"If-Match": '"9-x"'})
    assert stale.status_code == 412
    async with world.caller() as stranger:
        assert (await stranger.request("DELETE", ME, json={"password": PASSWORD})).status_code == 401
    assert (await alice.api.get(ME)).status_code == 200
    refused = await admin.api.request("DELETE", ME, json={"password": "changethis"})
    assert (refused.status_code, refused.json()["error_code"]) == (409, "LAST_ADMIN")
    async with world.database.read() as db:
        actions = list(await db.scalars(select(AuditLine.action)))
    assert actions == ["user.delete_failed"]


async def test_two_admins_cannot_both_leave_at_once(new_person: NewPerson, admin: Person) -> None:
    one, other = [await new_person("Keeper", Role.ADMIN) for _ in range(2)]
    demoted = await one.api.put(f"/api/v1/users/{admin.id}", json={"role": "user"})
    assert demoted.status_code == 200
    outcomes = await asyncio.gather(leave(one), leave(other))
    assert sorted(outcomes) == [(200, "User deleted successfully"), (409, "LAST_ADMIN")]


async def test_a_second_factor_is_asked_for(world: World, alice: Person, client: httpx.AsyncClient) -> None:
    (code, *_) = await recovery_codes(world, alice)
    assert await leave(alice) == (400, "SECOND_FACTOR_REQUIRED")
    assert await leave(alice, code="000000") == (400, "INCORRECT_CODE")
    assert await leave(alice, code=code) == (200, "User deleted successfully")
    assert await login(client, alice.email, PASSWORD) == 401


async def test_of_many_at_once_one_ends_it(alice: Person) -> None:
    outcomes = await asyncio.gather(*(leave(alice) for _ in range(4)))
    assert sorted(status for status, _ in outcomes) == [200, 401, 401, 401]


async def test_the_address_registers_again(world: World, alice: Person, client: httpx.AsyncClient) -> None:
    await leave(alice)
    person = {"email": alice.email, "password": PASSWORD, "first_name": "New", "last_name": "Tester"}
    answer = await client.post(f"{AUTH}/register", json=person)
    assert answer.status_code == 200
    assert answer.json()["id"] > alice.id
