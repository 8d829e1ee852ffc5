"""Getting back in, and proving an address: by one-time links, of which nobody but the addressee learns."""

import asyncio
from collections.abc import Callable, Coroutine
from datetime import timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import select, text, update

from tests.conftest import PASSWORD, Person, Template, World, world_on
from tradepost.accounts.links import Links
from tradepost.accounts.models import AccountToken, TokenPurpose, User
from tradepost.accounts.recovery import RecoveryService
from tradepost.core.messaging.dispatcher import Dispatcher
from tradepost.core.messaging.outbox import StoredMessage
from tradepost.core.secret_keys import SecretKeys

AUTH = "/api/v1/auth"
NEW = "Brandnew99"


async def rows(world: World, *, purpose: TokenPurpose | None = None) -> list[AccountToken]:
    """Return the tokens there are, oldest first."""
    async with world.database.read() as db:
        found = await db.scalars(select(AccountToken).order_by(AccountToken.id))
        return [row for row in found if purpose is None or row.purpose is purpose]


def token_of(world: World, row: AccountToken) -> str:
    """Return the token that the link of an e-mail carries."""
    url = world.resources[Links].url(row)
    assert url is not None
    return url.partition("#token=")[2]


async def asked(
    world: World, caller: httpx.AsyncClient, email: str, kind: str = "password/forgot"
) -> list[str]:
    """Ask for a link, have the messages delivered, and return the tokens there are then."""
    answer = await caller.post(f"{AUTH}/{kind}", json={"email": email})
    assert answer.status_code == 202, answer.text
    await world.resources[Dispatcher].drain()
    return [token_of(world, row) for row in await rows(world)]


async def login(caller: httpx.AsyncClient, email: str, password: str) -> int:
    answer = await caller.post(f"{AUTH}/login", data={"username": email, "password": password})
    return answer.status_code


async def test_a_forgotten_password_is_replaced(
    client: httpx.AsyncClient, alice: Person, world: World
) -> None:
    (token,) = await asked(world, client, f"  {alice.email.upper()} ")
    answer = await client.post(f"{AUTH}/password/reset", json={"token": token, "new_password": NEW})
    assert (answer.status_code, answer.json()) == (200, {"message": "Password updated successfully"})
    assert (await alice.api.get("/api/v1/users/me")).status_code == 401, "every session has ended"
    refreshed = await client.post(f"{AUTH}/refresh-token", json={"refresh_token": alice.refresh_token})
    assert refreshed.status_code == 401
    assert await login(client, alice.email, PASSWORD) == 401
    assert await login(client, alice.email, NEW) == 200
    async with world.database.read() as db:
        proved = await db.scalar(select(User.email_verified_at).where(User.id == alice.id))
    assert proved is not None, "who could open the link reads what is sent to the address"


async def test_a_link_is_used_once(client: httpx.AsyncClient, alice: Person, world: World) -> None:
    (token,) = await asked(world, client, alice.email)
    first = await client.post(f"{AUTH}/password/reset", json={"token": token, "new_password": NEW})
    again = await client.post(f"{AUTH}/password/reset", json={"token": token, "new_password": "Other1234"})
    assert (first.status_code, again.status_code) == (200, 400)
    assert again.json()["error_code"] == "INVALID_TOKEN"
    assert await login(client, alice.email, NEW) == 200


async def test_of_many_at_once_one_wins(client: httpx.AsyncClient, alice: Person, world: World) -> None:
    (token,) = await asked(world, client, alice.email)
    answers = await asyncio.gather(
        *(
            client.post(f"{AUTH}/password/reset", json={"token": token, "new_password": f"Brandnew{number}"})
            for number in range(20)
        )
    )
    statuses = [answer.status_code for answer in answers]
    assert sorted(statuses) == [200] + [400] * 19
    assert await login(client, alice.email, f"Brandnew{statuses.index(200)}") == 200


async def test_two_links_of_one_person_at_once(
    client: httpx.AsyncClient, alice: Person, world: World
) -> None:
    await asked(world, client, alice.email)
    first, second = await asked(world, client, alice.email)
    answers = await asyncio.gather(
        *(
            client.post(f"{AUTH}/password/reset", json={"token": token, "new_password": NEW})
            for token in (first, second) * 5
        )
    )
    assert sorted(answer.status_code for answer in answers) == [200] + [400] * 9


async def test_a_reset_makes_the_other_links_void(
    client: httpx.AsyncClient, alice: Person, world: World
) -> None:
    await asked(world, client, alice.email)
    first, second = await asked(world, client, alice.email)
    assert first != second
    used = await client.post(f"{AUTH}/password/reset", json={"token": second, "new_password": NEW})
    other = await client.post(f"{AUTH}/password/reset", json={"token": first, "new_password": "Other1234"})
    assert (used.status_code, other.status_code) == (200, 400)


async def test_a_changed_password_makes_links_void(
    client: httpx.AsyncClient, alice: Person, world: World
) -> None:
    (token,) = await asked(world, client, alice.email)
    change = {"current_password": PASSWORD, "new_password": NEW}
    assert (await alice.api.put("/api/v1/users/me/password", json=change)).status_code == 200
    answer = await client.post(f"{AUTH}/password/reset", json={"token": token, "new_password": "Other1234"})
    assert answer.status_code == 400


@pytest.mark.parametrize(
    "password", ["short1A", "nouppercase1", "NOLOWERCASE1", "NoDigits", "x" * 101, "Aa1\0Aa1Aa1", None]
)
async def test_a_poor_password_leaves_the_link_good(
    client: httpx.AsyncClient, alice: Person, world: World, password: str | None
) -> None:
    (token,) = await asked(world, client, alice.email)
    refused = await client.post(f"{AUTH}/password/reset", json={"token": token, "new_password": password})
    assert (refused.status_code, refused.json()["error_code"]) == (422, "VALIDATION_ERROR")
    answer = await client.post(f"{AUTH}/password/reset", json={"token": token, "new_password": NEW})
    assert answer.status_code == 200


@pytest.mark.parametrize("kind", ["password/reset", "email/verify"])
@pytest.mark.parametrize("token", ["x", "nonsense", "é" * 43, "A" * 43, "1.2.3", "%00", "../../etc"])
async def test_what_never_was_a_token(client: httpx.AsyncClient, kind: str, token: str) -> None:
    body = {"token": token} | ({"new_password": NEW} if kind == "password/reset" else {})
    answer = await client.post(f"{AUTH}/{kind}", json=body)
    assert (answer.status_code, answer.json()["error_code"]) == (400, "INVALID_TOKEN")


async def test_a_link_runs_out(client: httpx.AsyncClient, alice: Person, world: World) -> None:
    (token,) = await asked(world, client, alice.email)
    world.clock.move(timedelta(minutes=59))
    assert await world.resources[RecoveryService].addressee(alice.id, token_id=(await rows(world))[0].id)
    world.clock.move(timedelta(minutes=2))
    answer = await client.post(f"{AUTH}/password/reset", json={"token": token, "new_password": NEW})
    assert answer.json()["error_code"] == "INVALID_TOKEN"
    await world.resources[RecoveryService].prune()
    assert await rows(world) == []


async def test_a_token_serves_its_purpose_only(
    client: httpx.AsyncClient, alice: Person, world: World
) -> None:
    (reset,) = await asked(world, client, alice.email)
    _, verify = await asked(world, client, alice.email, "email/resend")
    wrong = (
        await client.post(f"{AUTH}/email/verify", json={"token": reset}),
        await client.post(f"{AUTH}/password/reset", json={"token": verify, "new_password": NEW}),
    )
    assert [answer.status_code for answer in wrong] == [400, 400]
    right = (
        await client.post(f"{AUTH}/email/verify", json={"token": verify}),
        await client.post(f"{AUTH}/password/reset", json={"token": reset, "new_password": NEW}),
    )
    assert [answer.status_code for answer in right] == [200, 200]


@pytest.mark.parametrize("kind", ["password/forgot", "email/resend"])
async def test_nobody_learns_who_has_an_account(
    client: httpx.AsyncClient, alice: Person, world: World, statements: Callable[[], Any], kind: str
) -> None:
    async with world.database.transaction() as db:
        await db.execute(update(User).where(User.id == alice.id).values(is_active=True))
    with statements() as for_alice:
        known = await client.post(f"{AUTH}/{kind}", json={"email": alice.email})
    with statements() as for_nobody:
        unknown = await client.post(f"{AUTH}/{kind}", json={"email": "nobody@example.com"})
    assert (
        (known.status_code, known.content) == (unknown.status_code, unknown.content) == (202, unknown.content)
    )
    assert for_alice == for_nobody
    await world.resources[Dispatcher].drain()
    assert [row.user_id for row in await rows(world)] == [alice.id]


async def test_who_is_switched_off_gets_no_link(
    client: httpx.AsyncClient, alice: Person, world: World
) -> None:
    (token,) = await asked(world, client, alice.email)
    async with world.database.transaction() as db:
        await db.execute(update(User).where(User.id == alice.id).values(is_active=False))
    assert len(await asked(world, client, alice.email)) == 1, "no second one"
    assert len(await asked(world, client, alice.email, "email/resend")) == 1
    answer = await client.post(f"{AUTH}/password/reset", json={"token": token, "new_password": NEW})
    assert answer.status_code == 400


async def test_a_link_stays_void_when_its_account_is_switched_on_again(
    client: httpx.AsyncClient, alice: Person, admin: Person, world: World
) -> None:
    (token,) = await asked(world, client, alice.email)
    for is_active in (False, True):
        answer = await admin.api.put(f"/api/v1/users/{alice.id}", json={"is_active": is_active})
        assert answer.status_code == 200
    answer = await client.post(f"{AUTH}/password/reset", json={"token": token, "new_password": NEW})
    assert (answer.status_code, answer.json()["error_code"]) == (400, "INVALID_TOKEN")


async def test_registering_leads_to_a_proved_address(client: httpx.AsyncClient, world: World) -> None:
    applicant = {"email": "eve@example.com", "password": PASSWORD, "first_name": "Eve", "last_name": "Moss"}
    made = await client.post(f"{AUTH}/register", json=applicant)
    assert made.status_code == 200
    assert set(made.json()) == {
        *("id", "email", "first_name", "last_name", "full_name", "is_active", "role"),
        *("avatar_url", "phone", "website", "email_verified", "created_at", "updated_at"),
    }
    (row,) = await rows(world)
    token = token_of(world, row)
    assert (await client.post(f"{AUTH}/email/verify", json={"token": token})).status_code == 200
    assert (await client.post(f"{AUTH}/email/verify", json={"token": token})).status_code == 400
    assert len(await asked(world, client, "eve@example.com", "email/resend")) == 1, (
        "it is proved: nothing to send"
    )


async def test_resending_to_oneself(client: httpx.AsyncClient, alice: Person, world: World) -> None:
    assert (await client.post(f"{AUTH}/email/resend")).status_code == 401
    assert (await alice.api.post(f"{AUTH}/email/resend")).status_code == 202
    await world.resources[Dispatcher].drain()
    (row,) = await rows(world, purpose=TokenPurpose.VERIFY_EMAIL)
    answer = await client.post(f"{AUTH}/email/verify", json={"token": token_of(world, row)})
    assert answer.status_code == 200


async def test_a_token_dies_with_its_user(
    client: httpx.AsyncClient, alice: Person, admin: Person, world: World
) -> None:
    (token,) = await asked(world, client, alice.email)
    assert (await admin.api.delete(f"/api/v1/users/{alice.id}")).status_code == 200
    answer = await client.post(f"{AUTH}/password/reset", json={"token": token, "new_password": NEW})
    assert answer.status_code == 400
    assert await rows(world) == []


async def test_an_account_switched_off_from_the_start_is_sent_nothing(admin: Person, world: World) -> None:
    account = {"email": "off@example.com", "password": PASSWORD, "first_name": "Off", "last_name": "Moss"}
    made = await admin.api.post("/api/v1/users/", json={**account, "is_active": False})
    assert made.status_code == 201
    assert await rows(world) == []


async def test_no_table_holds_a_token(client: httpx.AsyncClient, alice: Person, world: World) -> None:
    (token,) = await asked(world, client, alice.email)
    tables = [table.name for table in (StoredMessage.__table__, AccountToken.__table__, User.__table__)]  # type: ignore[attr-defined]
    async with world.database.read() as db:
        held = [str(row) for name in tables for row in await db.execute(text(f"SELECT * FROM {name}"))]  # noqa: S608
    assert held
    assert not [row for row in held if token in row]


async def test_a_link_made_under_another_key_is_none(
    alice: Person, client: httpx.AsyncClient, world: World
) -> None:
    await asked(world, client, alice.email)
    (row,) = await rows(world)
    other = Links(
        keys=SecretKeys("another key of at least thirty-two bytes"), public_url="", clock=world.clock
    )
    assert other.url(row) is None


async def test_asking_is_limited(template: Template, tmp_path: Any) -> None:
    async with (
        world_on(
            await template.copy(), tmp_path, RATE_LIMIT_ENABLED=True, RATE_LIMIT_PASSWORD="2/3600s"
        ) as world,
        world.caller() as caller,
    ):

        def ask(email: str, kind: str = "password/forgot") -> Coroutine[Any, Any, httpx.Response]:
            return caller.post(f"{AUTH}/{kind}", json={"email": email})

        answers = [await ask("One@example.com"), await ask("one@example.com"), await ask("ONE@example.com")]
        assert [answer.status_code for answer in answers] == [202, 202, 429]
        assert answers[0].headers.get_list("ratelimit-policy") == [
            '"password";q=2;w=3600;pp',
            '"password-client";q=2;w=3600;pp',
        ]
        assert int(answers[2].headers["retry-after"]) > 0
        assert (await ask("two@example.com")).status_code == 429, "one client asks for many"
        world.clock.move(int(answers[2].headers["retry-after"]))
        again = [await ask("one@example.com"), await ask("one@example.com")]
        assert [answer.status_code for answer in again] == [202, 429], (
            "after the wait that was told, one more"
        )
        assert (await ask("one@example.com", "email/resend")).status_code == 202, "each kind for itself"


async def test_an_admin_has_a_link_sent(
    client: httpx.AsyncClient, alice: Person, admin: Person, world: World
) -> None:
    path = f"/api/v1/users/{alice.id}/password-reset"
    assert (await alice.api.post(path)).status_code == 403
    assert (await admin.api.post(path)).status_code == 202
    assert (await admin.api.post("/api/v1/users/999999/password-reset")).status_code == 404
    await world.resources[Dispatcher].drain()
    (row,) = await rows(world)
    body = {"token": token_of(world, row), "new_password": NEW}
    assert (await client.post(f"{AUTH}/password/reset", json=body)).status_code == 200
    assert await login(client, alice.email, NEW) == 200
    lines = (await admin.api.get("/api/v1/audit", params={"action": "password.reset_sent"})).json()["lines"]
    assert [(line["actor_id"], line["target_id"]) for line in lines] == [(admin.id, alice.id)]
