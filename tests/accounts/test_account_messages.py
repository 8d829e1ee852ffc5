"""Facts about accounts are in the outbox exactly when the change is in the database."""

from collections.abc import AsyncIterator, Sequence
from typing import Any

import httpx
import pytest_asyncio

from tests.conftest import PASSWORD, NewPerson, Person, World
from tradepost.accounts.messages import PasswordChanged, UserDeleted, UserRegistered
from tradepost.core.database.sessions import WriteSession
from tradepost.core.messaging.dispatcher import Dispatcher
from tradepost.core.messaging.messages import Envelope, Message, Subscriptions

TOLD: list[Message] = []


@pytest_asyncio.fixture
async def told(world: World) -> AsyncIterator[list[Message]]:
    """What a subscriber of every fact hears."""

    async def hear(db: WriteSession, envelopes: Sequence[Envelope[Any]]) -> None:
        TOLD.extend(envelope.message for envelope in envelopes)

    subscriptions = world.resources[Subscriptions]
    for kind in (UserRegistered, PasswordChanged, UserDeleted):
        if f"tests.{kind.type}" not in subscriptions.by_name:
            subscriptions.react(f"tests.{kind.type}", kind, hear)
    TOLD.clear()
    yield TOLD


async def test_registering_is_told(client: httpx.AsyncClient, world: World, told: list[Message]) -> None:
    applicant = {
        "email": "new@example.com",
        "password": PASSWORD,
        "first_name": "New",
        "last_name": "Person",
    }
    made = await client.post("/api/v1/auth/register", json=applicant)
    again = await client.post("/api/v1/auth/register", json=applicant)
    assert (made.status_code, again.status_code) == (200, 400)
    await world.resources[Dispatcher].drain()
    assert [(type(message), message.user_id) for message in told if isinstance(message, UserRegistered)] == [
        (UserRegistered, made.json()["id"])
    ]


async def test_a_new_password_is_told(alice: Person, world: World, told: list[Message]) -> None:
    wrong = {"current_password": "Wrong1234", "new_password": "Another1234"}
    assert (await alice.api.put("/api/v1/users/me/password", json=wrong)).status_code == 400
    right = {"current_password": PASSWORD, "new_password": "Another1234"}
    assert (await alice.api.put("/api/v1/users/me/password", json=right)).status_code == 200
    await world.resources[Dispatcher].drain()
    assert told == [PasswordChanged(alice.id)]


async def test_a_deletion_is_told(
    admin: Person, new_person: NewPerson, world: World, told: list[Message]
) -> None:
    gone = await new_person("Gone")
    assert (await admin.api.delete(f"/api/v1/users/{gone.id}")).status_code == 200
    assert (await admin.api.delete(f"/api/v1/users/{gone.id}")).status_code == 404
    assert (await admin.api.delete(f"/api/v1/users/{admin.id}")).status_code == 400
    await world.resources[Dispatcher].drain()
    assert told == [UserDeleted(gone.id)]
