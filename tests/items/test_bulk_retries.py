"""A bulk under an ``Idempotency-Key``: a retry goes on after the last line that was committed, and each line is done once."""

import asyncio
import json
from typing import Any

import httpx
import pytest
from sqlalchemy import func, select

from tests.conftest import Person, World
from tradepost.core.idempotency.models import IdempotencyKey, IdempotentPiece
from tradepost.core.messaging.outbox import StoredMessage
from tradepost.items.messages import ItemsBulkCreated
from tradepost.items.models import Item

BULK = "/api/v1/items/bulk"
KIND = "application/x-ndjson"
BODY = b"\n".join(b'{"title": "Lamp %d", "price": 1}' % number for number in range(1, 701)) + b"\nno item\n"


async def send(person: Person, body: bytes = BODY, key: str = "one", **query: Any) -> httpx.Response:
    headers = {"Content-Type": KIND, "Idempotency-Key": key}
    return await person.api.post(BULK, content=body, headers=headers, params=query)


async def count(world: World, model: Any) -> int:
    async with world.database.read() as db:
        return await db.scalar(select(func.count()).select_from(model)) or 0


async def told(world: World) -> list[int]:
    """Return how many items the owner was told of, each time; a message for each subscriber counts once."""
    async with world.database.read() as db:
        rows = await db.execute(
            select(StoredMessage.subscription, StoredMessage.payload)
            .where(StoredMessage.type == ItemsBulkCreated.type)
            .order_by(StoredMessage.id)
        )
        found = [(name, payload["number"]) for name, payload in rows]
    return [number for name, number in found if name == found[0][0]]


async def leave_after_the_first_group(world: World, person: Person, key: str = "one") -> bytes:
    """Send a bulk and go away once the first group is answered; return what came."""
    sent = [{"type": "http.request", "body": BODY, "more_body": False}]
    got: list[bytes] = []
    left = asyncio.Event()

    async def receive() -> dict[str, Any]:
        if sent:
            return sent.pop()
        await left.wait()
        return {"type": "http.disconnect"}

    async def receive_answer(message: Any) -> None:
        if message.get("body"):
            got.append(message["body"])
            left.set()
            await asyncio.sleep(0.01)

    headers = {
        "host": "testserver",
        "content-type": KIND,
        "content-length": str(len(BODY)),
        "authorization": f"Bearer {person.token}",
        "idempotency-key": key,
    }
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "path": BULK,
        "raw_path": BULK.encode(),
        "root_path": "",
        "scheme": "http",
        "query_string": b"",
        "server": ("testserver", 80),
        "client": ("127.0.0.1", 1),
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
    }
    await world.transport.app(scope, receive, receive_answer)
    return b"".join(got)


async def test_a_retry_is_answered_as_the_first(world: World, alice: Person) -> None:
    first, second = [await send(alice) for _ in range(2)]
    assert (first.status_code, second.status_code) == (200, 200)
    assert first.content == second.content
    assert json.loads(first.text.splitlines()[-1]) == {"created": 700, "failed": 1}
    assert ["idempotency-replayed" in one.headers for one in (first, second)] == [False, True]
    assert (await count(world, Item), await told(world)) == (700, [700])

    other = await send(alice, BODY + b"{}\n")
    assert (other.status_code, other.json()["error_code"]) == (422, "IDEMPOTENCY_KEY_REUSED")
    other_query = await send(alice, atomic="true")
    assert (other_query.status_code, other_query.json()["error_code"]) == (422, "IDEMPOTENCY_KEY_REUSED")
    assert await count(world, Item) == 700


async def test_a_retry_goes_on_where_the_first_ended(world: World, alice: Person) -> None:
    begun = await leave_after_the_first_group(world, alice)
    before = await count(world, Item)
    assert 0 < before < 700

    other = await send(alice, b"{}\n")
    assert (other.status_code, other.json()["error_code"]) == (422, "IDEMPOTENCY_KEY_REUSED")
    answer = await send(alice)
    again = await send(alice)

    assert answer.content.startswith(begun)
    assert answer.content == again.content
    *lines, summary = map(json.loads, answer.text.splitlines())
    assert summary == {"created": 700, "failed": 1}
    assert [line["line"] for line in lines] == [*range(1, 702)]
    assert len({line["id"] for line in lines if "id" in line}) == 700
    assert await count(world, Item) == 700
    # Of each item the owner was told once.
    assert await told(world) == [before, 700 - before]


async def test_all_or_none_is_replayed_whole(world: World, alice: Person) -> None:
    refused = await send(alice, atomic="true")
    assert refused.status_code == 422
    assert (await count(world, Item), await count(world, IdempotencyKey)) == (0, 0)
    good = BODY.removesuffix(b"no item\n")
    first, second = [await send(alice, good, atomic="true") for _ in range(2)]
    assert first.content == second.content
    assert (first.status_code, second.headers.get("idempotency-replayed")) == (200, "true")
    assert (await count(world, Item), await told(world)) == (700, [700])


async def test_a_bulk_of_nothing_but_faults_is_replayed(world: World, alice: Person) -> None:
    first, second = [await send(alice, b"{}\n[]\n") for _ in range(2)]
    assert first.content == second.content
    assert second.headers["idempotency-replayed"] == "true"
    assert await told(world) == []


@pytest.mark.parametrize("atomic", ["true", "false"])
async def test_a_bulk_of_nothing_is_replayed(world: World, alice: Person, atomic: str) -> None:
    first, second = [await send(alice, b"\n", atomic=atomic) for _ in range(2)]
    assert first.content == second.content == b'{"created":0,"failed":0}\n'
    assert second.headers["idempotency-replayed"] == "true"


async def test_of_two_at_once_one_is_told_to_wait(world: World, alice: Person) -> None:
    answers = await asyncio.gather(*(send(alice) for _ in range(4)))
    done = {answer.content for answer in answers if answer.status_code == 200}
    assert len(done) == 1
    assert {one.json()["error_code"] for one in answers if one.status_code != 200} <= {
        "IDEMPOTENCY_IN_FLIGHT"
    }
    assert (await count(world, Item), await told(world)) == (700, [700])


async def test_pieces_go_with_their_key(world: World, alice: Person, admin: Person) -> None:
    await send(alice)
    assert await count(world, IdempotentPiece) == 4
    assert (await admin.api.delete(f"/api/v1/users/{alice.id}")).status_code == 200
    assert (await count(world, IdempotencyKey), await count(world, IdempotentPiece)) == (0, 0)
