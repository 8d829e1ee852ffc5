"""A password that is changed beside a log-in that renews its hash."""

import asyncio

import argon2
import pytest
from sqlalchemy import select, update

from tests.conftest import PASSWORD, Person, World
from tradepost.accounts.models import User
from tradepost.accounts.passwords import PasswordHasher


async def test_a_log_in_that_renews_the_hash_does_not_make_a_right_password_wrong(
    world: World, alice: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    weak = argon2.PasswordHasher(time_cost=1, memory_cost=1024, parallelism=1).hash(PASSWORD)
    async with world.database.transaction() as db:
        await db.execute(update(User).where(User.id == alice.id).values(hashed_password=weak))
    hasher = world.resources[PasswordHasher]
    verify = hasher.verify
    overtaken: list[int] = []

    async def overtake(encoded: str | None, password: str) -> bool:
        """Verify, and have a whole log-in happen between that and the change."""
        matches = await verify(encoded, password)
        if not overtaken:
            overtaken.append(0)
            form = {"username": alice.email, "password": PASSWORD}
            async with world.caller() as other:
                logging_in = other.post("/api/v1/auth/login", data=form)
                overtaken.append((await asyncio.create_task(logging_in)).status_code)
        return matches

    monkeypatch.setattr(hasher, "verify", overtake)
    change = {"current_password": PASSWORD, "new_password": "Another1word"}
    answer = await alice.api.put("/api/v1/users/me/password", json=change)
    assert overtaken == [0, 200]
    assert answer.status_code == 200, answer.text
    assert await verify(await _hash_of(world, alice), "Another1word")


async def _hash_of(world: World, person: Person) -> str:
    async with world.database.read() as db:
        return str(await db.scalar(select(User.hashed_password).where(User.id == person.id)))
