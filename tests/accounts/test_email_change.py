"""Another e-mail address: proved by the new one, told to the old one, and taken back by it."""

import asyncio
from datetime import timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import select

from tests.accounts.test_recovery import AUTH, NEW, asked, login, rows, token_of
from tests.conftest import PASSWORD, NewPerson, Person, World
from tests.notifications.inbox.test_inbox import inbox_of
from tradepost.accounts.models import TokenPurpose, User
from tradepost.core.audit.models import AuditLine
from tradepost.core.messaging.dispatcher import Dispatcher

CHANGE = f"{AUTH}/email/change"
ME = "/api/v1/users/me"
FRESH = "fresh@new.example.com"


async def ask(person: Person, new_email: str = FRESH, password: str = PASSWORD) -> httpx.Response:
    return await person.api.post(CHANGE, json={"new_email": new_email, "password": password})


async def change_token(world: World, person: Person, new_email: str = FRESH) -> str:
    """Ask for an address, and return the token of the link that is sent there."""
    answer = await ask(person, new_email)
    assert answer.status_code == 202, answer.text
    found = [row for row in await rows(world, purpose=TokenPurpose.CHANGE_EMAIL) if row.user_id == person.id]
    return token_of(world, found[-1])


async def confirm(client: httpx.AsyncClient, token: str) -> tuple[int, str]:
    return outcome(await client.post(f"{CHANGE}/confirm", json={"token": token}))


async def undo(client: httpx.AsyncClient, token: str) -> tuple[int, str]:
    return outcome(await client.post(f"{CHANGE}/undo", json={"token": token}))


def outcome(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json().get("error_code", "")


async def undo_tokens(world: World, person: Person) -> list[str]:
    found = await rows(world, purpose=TokenPurpose.UNDO_EMAIL)
    return [token_of(world, row) for row in found if row.user_id == person.id]


def mails(world: World, template: str) -> list[str]:
    folder = world.resources.settings.DATA_DIR / "mails"
    return [path.read_text() for path in sorted(folder.glob(f"*-{template}*"))]


@pytest.fixture(autouse=True)
def _no_mails_of_others(world: World) -> None:
    for path in (world.resources.settings.DATA_DIR / "mails").glob("*"):
        path.unlink()


async def test_the_new_address_proves_itself_and_sessions_stay(
    world: World, alice: Person, client: httpx.AsyncClient
) -> None:
    token = await change_token(world, alice, f" {FRESH.upper()} ")
    assert (await alice.api.get(ME)).json()["email"] == alice.email, "nothing changes before the proof"
    await world.resources[Dispatcher].drain()
    (link,), (notice,) = mails(world, "confirm_email_change"), mails(world, "email_change_asked")
    assert f"To: <{FRESH}>" in link
    assert "Alice" not in link, "what somebody typed is sent to no address that is not theirs"
    assert token in link.replace("=\n", "")
    assert alice.email in notice
    assert token not in notice
    assert await confirm(client, token) == (200, "")
    assert (await alice.api.get(ME)).json()["email"] == FRESH
    assert await login(client, alice.email, PASSWORD) == 401
    assert await login(client, FRESH, PASSWORD) == 200
    assert await confirm(client, token) == (400, "INVALID_TOKEN")
    await world.resources[Dispatcher].drain()
    (told,) = mails(world, "email_changed")
    assert f"To: <{alice.email}>" in told
    (undoing,) = await undo_tokens(world, alice)
    assert undoing in told.replace("=\n", "")
    titles = [note["title"] for note in (await inbox_of(alice))["notifications"]]
    assert titles == ["E-mail Address Changed", "New E-mail Address Asked For"]
    async with world.database.read() as db:
        user = await db.get(User, alice.id)
        lines = list(await db.scalars(select(AuditLine.action).where(AuditLine.subject_id == alice.id)))
    assert user is not None
    assert user.email_verified_at is not None
    assert user.email_key is not None
    assert {"email.change_asked", "email.changed"} <= set(lines)


async def test_the_old_address_takes_itself_back(
    world: World, alice: Person, client: httpx.AsyncClient
) -> None:
    await confirm(client, await change_token(world, alice))
    (token,) = await undo_tokens(world, alice)
    world.clock.move(timedelta(days=6, hours=23))
    assert await undo(client, token) == (200, "")
    assert (await alice.api.get(ME)).status_code == 401, "every session has ended"
    refreshed = await client.post(f"{AUTH}/refresh-token", json={"refresh_token": alice.refresh_token})
    assert refreshed.status_code == 401
    assert await login(client, FRESH, PASSWORD) == 401
    assert await login(client, alice.email, PASSWORD) == 200
    assert await undo(client, token) == (400, "INVALID_TOKEN")
    await world.resources[Dispatcher].drain()
    (told,), (reset,) = mails(world, "email_change_undone"), mails(world, "password_reset")
    assert alice.email in told
    assert alice.email in reset, "whoever changed it knew the password"


async def test_it_is_too_late_after_seven_days(
    world: World, alice: Person, client: httpx.AsyncClient
) -> None:
    await confirm(client, await change_token(world, alice))
    (token,) = await undo_tokens(world, alice)
    world.clock.move(timedelta(days=7, seconds=1))
    assert await undo(client, token) == (400, "INVALID_TOKEN")


async def test_a_link_to_the_new_address_is_good_for_a_day(
    world: World, alice: Person, client: httpx.AsyncClient
) -> None:
    token = await change_token(world, alice)
    world.clock.move(timedelta(days=1, seconds=1))
    assert await confirm(client, token) == (400, "INVALID_TOKEN")


async def test_what_somebody_set_up_meanwhile_goes_with_the_new_password(
    world: World, alice: Person, client: httpx.AsyncClient
) -> None:
    await confirm(client, await change_token(world, alice))
    key = (await alice.api.post(f"{AUTH}/api-keys", json={"name": "Thief"})).json()["key"]
    await undo(client, (await undo_tokens(world, alice))[0])
    await world.resources[Dispatcher].drain()
    (reset,) = [row for row in await rows(world, purpose=TokenPurpose.RESET_PASSWORD) if row.used_at is None]
    body = {"token": token_of(world, reset), "new_password": NEW}
    assert (await client.post(f"{AUTH}/password/reset", json=body)).status_code == 200
    async with world.caller(**{"X-API-Key": key}) as thief:
        assert (await thief.get(ME)).status_code == 401


async def test_a_taken_address_is_not_told(
    world: World, alice: Person, bob: Person, client: httpx.AsyncClient
) -> None:
    free, taken = await ask(alice), await ask(alice, bob.email)
    assert (free.status_code, free.json()) == (taken.status_code, taken.json())
    token = await change_token(world, alice, bob.email)
    assert await confirm(client, token) == (400, "EMAIL_TAKEN"), "only who reads bob's e-mails gets here"
    assert await confirm(client, token) == (400, "INVALID_TOKEN"), "it is given up"
    assert (await alice.api.get(ME)).json()["email"] == alice.email


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ({"password": "Wrong1234"}, 400, "INCORRECT_PASSWORD"),
        ({"new_email": "own"}, 400, "BUSINESS_LOGIC_ERROR"),
        ({"new_email": "nonsense"}, 422, "VALIDATION_ERROR"),
        ({"new_email": None}, 422, "VALIDATION_ERROR"),
        ({"email": FRESH}, 422, "VALIDATION_ERROR"),
    ],
)
async def test_what_is_refused_sends_nothing(
    world: World, alice: Person, body: dict[str, Any], status: int, said: str
) -> None:
    if body.get("new_email") == "own":
        body = {"new_email": alice.email.upper()}
    answer = await alice.api.post(CHANGE, json={"new_email": FRESH, "password": PASSWORD} | body)
    assert outcome(answer) == (status, said)
    assert await rows(world) == []


async def test_of_two_changes_one_is_confirmed(
    world: World, alice: Person, client: httpx.AsyncClient
) -> None:
    first = await change_token(world, alice, "one@new.example.com")
    second = await change_token(world, alice, "two@new.example.com")
    assert await confirm(client, first) == (400, "INVALID_TOKEN"), "asking again makes it void"
    outcomes = await asyncio.gather(*(confirm(client, second) for _ in range(4)))
    assert sorted(outcomes) == [(200, ""), *[(400, "INVALID_TOKEN")] * 3]
    assert (await alice.api.get(ME)).json()["email"] == "two@new.example.com"
    answers = await asyncio.gather(*(ask(alice, f"{number}@new.example.com") for number in range(4)))
    assert [answer.status_code for answer in answers] == [202] * 4
    pending = await rows(world, purpose=TokenPurpose.CHANGE_EMAIL)
    assert len([row for row in pending if row.used_at is None]) == 1


async def test_of_two_people_at_once_one_gets_the_address(
    world: World, alice: Person, bob: Person, client: httpx.AsyncClient
) -> None:
    tokens = [await change_token(world, person) for person in (alice, bob)]
    outcomes = await asyncio.gather(*(confirm(client, token) for token in tokens))
    assert sorted(outcomes) == [(200, ""), (400, "EMAIL_TAKEN")]
    emails = [(await person.api.get(ME)).json()["email"] for person in (alice, bob)]
    assert emails.count(FRESH) == 1


async def test_beside_a_registration_one_gets_the_address(
    world: World, alice: Person, client: httpx.AsyncClient
) -> None:
    token = await change_token(world, alice)
    person = {"email": FRESH, "password": PASSWORD, "first_name": "New", "last_name": "Tester"}
    registered, confirmed = await asyncio.gather(
        client.post(f"{AUTH}/register", json=person), confirm(client, token)
    )
    assert sorted([registered.status_code, confirmed[0]]) == [200, 400]
    async with world.database.read() as db:
        assert len(list(await db.scalars(select(User.id).where(User.email == FRESH)))) == 1


async def test_nobody_registers_an_address_that_can_be_taken_back(
    world: World, alice: Person, bob: Person, client: httpx.AsyncClient
) -> None:
    """Or a thief would, and the link that undoes the change could do nothing any more."""
    await confirm(client, await change_token(world, alice))
    person = {"email": alice.email, "password": PASSWORD, "first_name": "New", "last_name": "Tester"}
    assert outcome(await client.post(f"{AUTH}/register", json=person)) == (400, "EMAIL_TAKEN")
    assert await confirm(client, await change_token(world, bob, alice.email)) == (400, "EMAIL_TAKEN")
    assert await undo(client, (await undo_tokens(world, alice))[0]) == (200, "")
    await confirm(client, await change_token_after_login(world, alice, client))
    world.clock.move(timedelta(days=7, seconds=1))
    assert outcome(await client.post(f"{AUTH}/register", json=person)) == (200, "")


async def change_token_after_login(world: World, person: Person, client: httpx.AsyncClient) -> str:
    answer = await client.post(f"{AUTH}/login", data={"username": person.email, "password": PASSWORD})
    person.api.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"
    return await change_token(world, person, "later@new.example.com")


async def test_one_goes_back_to_ones_own_address(
    world: World, alice: Person, client: httpx.AsyncClient
) -> None:
    await confirm(client, await change_token(world, alice))
    assert await confirm(client, await change_token(world, alice, alice.email)) == (200, "")
    assert (await alice.api.get(ME)).json()["email"] == alice.email


async def test_the_first_of_several_addresses_wins(
    world: World, alice: Person, client: httpx.AsyncClient
) -> None:
    await confirm(client, await change_token(world, alice, "thief@new.example.com"))
    await confirm(client, await change_token(world, alice, "thief2@new.example.com"))
    first, second = await undo_tokens(world, alice)
    assert await undo(client, second) == (200, "")
    assert await undo(client, first) == (200, ""), "the thief has taken the thief's back"
    assert await login(client, alice.email, PASSWORD) == 200
    assert await undo(client, second) == (400, "INVALID_TOKEN")


async def test_an_earlier_one_makes_later_ones_void(
    world: World, alice: Person, client: httpx.AsyncClient
) -> None:
    await confirm(client, await change_token(world, alice, "thief@new.example.com"))
    await confirm(client, await change_token(world, alice, "thief2@new.example.com"))
    first, second = await undo_tokens(world, alice)
    outcomes = await asyncio.gather(*(undo(client, token) for token in (first, first)))
    assert sorted(outcomes) == [(200, ""), (400, "INVALID_TOKEN")]
    assert await undo(client, second) == (400, "INVALID_TOKEN")
    assert await login(client, alice.email, PASSWORD) == 200


async def test_a_new_password_ends_what_was_asked_for(
    world: World, alice: Person, client: httpx.AsyncClient
) -> None:
    token = await change_token(world, alice)
    change = {"current_password": PASSWORD, "new_password": NEW}
    assert (await alice.api.put(f"{ME}/password", json=change)).status_code == 200
    assert await confirm(client, token) == (400, "INVALID_TOKEN")


async def test_beside_a_reset_one_outcome(world: World, alice: Person, client: httpx.AsyncClient) -> None:
    reset = (await asked(world, client, alice.email))[-1]
    token = await change_token(world, alice)
    body = {"token": reset, "new_password": NEW}
    answer, confirmed = await asyncio.gather(
        client.post(f"{AUTH}/password/reset", json=body), confirm(client, token)
    )
    assert sorted([answer.status_code, confirmed[0]]) == [200, 400]
    email, password = (alice.email, NEW) if answer.status_code == 200 else (FRESH, PASSWORD)
    assert await login(client, email, password) == 200


async def test_beside_a_deletion_nothing_is_left(
    world: World, new_person: NewPerson, admin: Person, client: httpx.AsyncClient
) -> None:
    for number in range(3):
        person = await new_person("Dora")
        token = await change_token(world, person, f"dora{number}@new.example.com")
        deleted, confirmed = await asyncio.gather(
            admin.api.delete(f"/api/v1/users/{person.id}"), confirm(client, token)
        )
        assert deleted.status_code == 200
        assert confirmed in {(200, ""), (400, "INVALID_TOKEN")}
    assert await rows(world) == []


async def test_a_deactivated_account_changes_no_address(
    world: World, alice: Person, admin: Person, client: httpx.AsyncClient
) -> None:
    token = await change_token(world, alice)
    await admin.api.put(f"/api/v1/users/{alice.id}", json={"is_active": False})
    assert await confirm(client, token) == (400, "INVALID_TOKEN")
