"""Requests for what is full: refused at once in our form, with a time to come back, and served as soon as there is room."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from tests.conftest import PASSWORD, Person, World
from tests.items.market import sell
from tests.uploading import nothing_left, pdf, png
from tradepost.accounts.passwords import PasswordHasher
from tradepost.core.batching.bulkhead import Bulkhead
from tradepost.media.intake import LONGEST_PAUSE, UPLOADS, Calls, FileIntake
from tradepost.media.studio import PictureStudio

PLACES: dict[str, Callable[[World], Bulkhead]] = {
    "uploads": lambda world: world.resources[FileIntake].calls,
    "pictures": lambda world: world.resources[PictureStudio].places,
    "hashes": lambda world: world.resources[PasswordHasher].places,
}


@asynccontextmanager
async def full(places: Bulkhead) -> AsyncIterator[None]:
    """Hold every place, and fill the queue for them."""
    for _ in range(places.size):
        await places.enter()
    queue = [asyncio.create_task(places.enter()) for _ in range(places._most)]
    await asyncio.sleep(0)
    assert (places.held, places.waiting) == (places.size, places._most)
    try:
        yield
    finally:
        for task in queue:
            task.cancel()
        await asyncio.gather(*queue, return_exceptions=True)
        for _ in range(places.size):
            places.leave()
    assert (places.held, places.waiting) == (0, 0)


async def test_an_upload_alone_waits_for_no_other_to_share_its_transactions() -> None:
    calls = Calls()
    pauses = []
    for _ in range(UPLOADS):
        await calls.enter()
        pauses.append(calls.pause())
    assert pauses[0] == 0
    assert 0 < pauses[1] < pauses[2] < pauses[-1] == LONGEST_PAUSE


@pytest.mark.parametrize(
    ("what", "path", "sent"),
    [
        ("uploads", "/upload/avatar/", {"files": {"file": ("me.png", png())}}),
        ("uploads", "/upload/items/{item}/images/", {"files": {"files": ("lamp.png", png())}}),
        ("uploads", "/upload/items/{item}/documents/", {"files": {"files": ("lamp.pdf", pdf())}}),
        ("uploads", "/upload/process-image/", {"files": {"file": ("lamp.png", png())}}),
        ("pictures", "/upload/avatar/", {"files": {"file": ("me.png", png())}}),
        ("pictures", "/upload/process-image/", {"files": {"file": ("lamp.png", png())}}),
        ("hashes", "/auth/login", {"data": {"password": PASSWORD}}),
    ],
)
async def test_it_is_refused_at_once_and_served_when_there_is_room(
    world: World, alice: Person, what: str, path: str, sent: dict[str, Any]
) -> None:
    item = await sell(alice)
    path = f"/api/v1{path.format(item=item['id'])}"
    places = PLACES[what](world)
    refused = places.refused

    async def ask() -> httpx.Response:
        if "data" in sent:
            return await alice.api.post(path, data=sent["data"] | {"username": alice.email})
        return await alice.api.post(path, **sent)

    async with full(places):
        answer = await ask()
    assert answer.status_code == 503, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert int(answer.headers["retry-after"]) >= 1
    problem = answer.json()
    assert (problem["status"], problem["error_code"]) == (503, "HTTP_503")
    assert problem["request_id"] == answer.headers["x-request-id"]
    assert places.refused == refused + 1
    assert await nothing_left(world)
    assert (await ask()).is_success
