"""Uploads whose item or owner is deleted meanwhile, at any moment: told so, never a failure of ours, and nothing is left.

``UPLOAD_RACE_ROUNDS`` makes more of them.
"""

import asyncio
import os
import random
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest

from tests.conftest import NewPerson, Person, World
from tests.items.market import path_of, sell
from tests.media.documents import compound, word, word_stream
from tests.uploading import AVATAR, nothing_left, pdf, png, send
from tradepost.core.messaging.dispatcher import Dispatcher

ROUNDS = int(os.environ.get("UPLOAD_RACE_ROUNDS", "6"))

Upload = Callable[[Person, dict[str, Any]], Awaitable[httpx.Response]]


async def images(person: Person, item: dict[str, Any]) -> httpx.Response:
    return await send(person, item, png(shade=1), png(300, 300), png(shade=3))


async def documents(person: Person, item: dict[str, Any]) -> httpx.Response:
    return await send(
        person, item, pdf(300_000), word(), compound({"WordDocument": word_stream()}), to="documents"
    )


async def avatar(person: Person, item: dict[str, Any]) -> httpx.Response:
    return await person.api.post(AVATAR, files={"file": ("me.png", png(300, 300))})


async def processed(person: Person, item: dict[str, Any]) -> httpx.Response:
    return await person.api.post("/api/v1/upload/process-image/", files={"file": ("me.png", png(300, 300))})


async def dispatch(world: World, until: asyncio.Event) -> None:
    """Deliver messages, as the worker beside the server does."""
    while not until.is_set():
        await world.resources[Dispatcher].drain()
        await asyncio.sleep(0.001)


async def race(world: World, uploads: list[Awaitable[httpx.Response]], deletion: Awaitable[Any]) -> list[int]:
    """Run uploads while something is deleted and messages are delivered; return the statuses, that of the deletion first."""
    ended = asyncio.Event()
    worker = asyncio.create_task(dispatch(world, ended))
    try:
        deleted, *answers = await asyncio.gather(deletion, *uploads)
    finally:
        ended.set()
        await worker
    for answer in answers:
        assert answer.status_code in {200, 401, 404}, answer.text
    return [deleted.status_code, *(answer.status_code for answer in answers)]


async def late(seconds: float, work: Callable[[], Awaitable[httpx.Response]]) -> httpx.Response:
    await asyncio.sleep(seconds)
    return await work()


@pytest.mark.parametrize("upload", [images, documents])
async def test_an_item_is_deleted(world: World, alice: Person, moderator: Person, upload: Upload) -> None:
    chance = random.Random(1)
    for _ in range(ROUNDS):
        item, other = await sell(alice), await sell(alice)
        found = await race(
            world,
            [
                late(chance.random() * 0.02, lambda who=who, what=what: upload(who, what))  # type: ignore[misc]
                for who, what in ((alice, item), (moderator, item), (alice, other), (alice, item))
            ],
            late(chance.random() * 0.1, lambda item=item: alice.api.delete(path_of(item))),  # type: ignore[misc]
        )
        assert found[0] == 200
        assert found[3] == 200, "another item stays"
        assert (await alice.api.delete(path_of(other))).status_code == 200
        assert await nothing_left(world)


@pytest.mark.parametrize("upload", [images, documents, avatar, processed])
async def test_an_owner_is_deleted(
    world: World, new_person: NewPerson, admin: Person, bob: Person, upload: Upload
) -> None:
    chance = random.Random(2)
    for _ in range(ROUNDS):
        owner = await new_person("Olga")
        item, other = await sell(owner), await sell(bob)
        found = await race(
            world,
            [
                late(chance.random() * 0.02, lambda who=who, what=what: upload(who, what))  # type: ignore[misc]
                for who, what in ((owner, item), (admin, item), (bob, other), (owner, item))
                if who is not admin or upload in {images, documents}
            ],
            late(chance.random() * 0.1, lambda owner=owner: admin.api.delete(f"/api/v1/users/{owner.id}")),  # type: ignore[misc]
        )
        assert found[0] == 200
        assert found[-2] == 200, "another's stays"
        for file in (await bob.api.get(path_of(other))).json()["images"]:
            assert (await bob.api.get(file)).status_code == 200
        assert (await bob.api.delete(path_of(other))).status_code == 200
        await world.resources[Dispatcher].drain()
