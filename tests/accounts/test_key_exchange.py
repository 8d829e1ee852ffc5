"""Another ``SECRET_KEY``: what the old one signed holds as long as it is named beside the new one."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest_asyncio

from tests.accounts.test_recovery import AUTH, NEW, rows, token_of
from tests.conftest import World, world_on

OLD_KEY = "a key of at least thirty-two bytes: the old one"
NEW_KEY = "a key of at least thirty-two bytes: the new one"
ADMIN = {"username": "admin@example.com", "password": "changethis"}


async def tokens_under(world: World) -> dict[str, Any]:
    """Have an admin log in, and return what was signed for them."""
    async with world.caller() as client:
        answer = await client.post(f"{AUTH}/login", data=ADMIN)
        found: dict[str, Any] = answer.json()
        bearer = {"Authorization": f"Bearer {found['access_token']}"}
        await client.post(f"{AUTH}/login", data=ADMIN)
        sessions = (await client.get(f"{AUTH}/sessions", params={"limit": 1}, headers=bearer)).json()
        ticket = await client.post("/api/v1/notifications/stream/ticket", headers=bearer)
    return found | {"cursor": sessions["next_cursor"], "ticket": ticket.json()["ticket"]}


async def answers_under(world: World, signed: dict[str, Any]) -> list[int]:
    """Return what a server answers to each."""
    bearer = {"Authorization": f"Bearer {signed['access_token']}"}
    async with world.caller() as client:
        read = await client.get("/api/v1/users/me", headers=bearer)
        listed = await client.get(f"{AUTH}/sessions", params={"cursor": signed["cursor"]}, headers=bearer)
        refreshed = await client.post(
            f"{AUTH}/refresh-token", json={"refresh_token": signed["refresh_token"]}
        )
    return [answer.status_code for answer in (read, listed, refreshed)]


@pytest_asyncio.fixture
async def before(database_url: str, tmp_path: Path) -> AsyncIterator[dict[str, Any]]:
    """What an admin was given under the old key."""
    async with world_on(database_url, tmp_path, SECRET_KEY=OLD_KEY) as world:
        yield await tokens_under(world)


async def test_what_the_old_key_signed_holds_under_the_new_one(
    before: dict[str, Any], database_url: str, tmp_path: Path
) -> None:
    async with world_on(database_url, tmp_path, SECRET_KEY=NEW_KEY, SECRET_KEYS_OLD=OLD_KEY) as world:
        assert await answers_under(world, before) == [200, 200, 200]
        after = await tokens_under(world)
    # Replicas that have not been given the new key yet, and know that it will come.
    async with world_on(database_url, tmp_path, SECRET_KEY=OLD_KEY, SECRET_KEYS_OLD=NEW_KEY) as world:
        assert await answers_under(world, after) == [200, 200, 200]


async def test_it_ends_with_the_old_key(before: dict[str, Any], database_url: str, tmp_path: Path) -> None:
    async with world_on(database_url, tmp_path, SECRET_KEY=NEW_KEY) as world:
        assert await answers_under(world, before) == [401, 401, 401]


async def test_nothing_new_is_signed_with_the_old_key(database_url: str, tmp_path: Path) -> None:
    async with world_on(database_url, tmp_path, SECRET_KEY=NEW_KEY, SECRET_KEYS_OLD=OLD_KEY) as world:
        signed = await tokens_under(world)
    async with world_on(database_url, tmp_path, SECRET_KEY=OLD_KEY) as world:
        assert await answers_under(world, signed) == [401, 401, 401]


async def test_a_link_that_was_sent_before_works(database_url: str, tmp_path: Path) -> None:
    async with world_on(database_url, tmp_path, SECRET_KEY=OLD_KEY) as world, world.caller() as client:
        await client.post(
            f"{AUTH}/register",
            json={"email": "ada@example.com", "password": NEW, "first_name": "Ada", "last_name": "L"},
        )
        (row,) = await rows(world)
        token = token_of(world, row)
    async with world_on(database_url, tmp_path, SECRET_KEY=NEW_KEY, SECRET_KEYS_OLD=OLD_KEY) as world:
        assert token_of(world, row) == token, "a retry sends the link that was sent before"
        async with world.caller() as client:
            answer: httpx.Response = await client.post(f"{AUTH}/email/verify", json={"token": token})
        assert answer.status_code == 200
