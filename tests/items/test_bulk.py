"""Many items in one request: each line is judged as a POST of it alone, or all are made or none."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import func, select

from tests.conftest import Person, World, world_on
from tradepost.core.messaging.dispatcher import Dispatcher
from tradepost.core.messaging.outbox import StoredMessage
from tradepost.items.bulk import BulkItems
from tradepost.items.models import Item

ITEMS = "/api/v1/items/"
BULK = "/api/v1/items/bulk"
LAMP = {"title": "Lamp", "price": 24.5, "tags": ["brass", "lamp"], "description": "Läuft"}


def lines(*values: Any) -> bytes:
    return b"\n".join(value if isinstance(value, bytes) else json.dumps(value).encode() for value in values)


async def send(
    person: Person, body: bytes | AsyncIterator[bytes], kind: str = "application/x-ndjson", **query: Any
) -> httpx.Response:
    return await person.api.post(BULK, content=body, headers={"Content-Type": kind}, params=query)


def answered(answer: httpx.Response) -> list[dict[str, Any]]:
    assert answer.headers["content-type"] == "application/x-ndjson"
    return [json.loads(line) for line in answer.text.splitlines()]


async def count(world: World) -> int:
    async with world.database.read() as db:
        return await db.scalar(select(func.count()).select_from(Item)) or 0


ODD: list[bytes] = [
    b"{}",
    b"[]",
    b"7",
    b"not json",
    b'{"title": "L", "price": NaN}',
    b'{"title": "\\u0000", "price": 1}',
    b'{"title": "\\ud800", "price": 1}',
    b'{"title": "L", "title": "M", "price": 1}',
    b'{"title": "L", "price": 1, "category_id": 9223372036854775808}',
    b'{"title": "L", "price": 1, "category_id": 9223372036854775807}',
    b'{"title": "L", "price": 1, "colour": "red"}',
    b'{"title": "L", "price": 1, "discount_price": 2}',
    b'{"title": "L", "price": 1e400}',
    b"[" * 100 + b"]" * 100,
    b'\xef\xbb\xbf{"title": "L", "price": 1}',
    b'{"title": "\xff", "price": 1}',
]


async def test_each_line_is_answered_as_a_post_of_it_alone(world: World, alice: Person) -> None:
    body = lines(LAMP, b"", b"  ", *ODD) + b"\r\n" + lines(LAMP | {"title": "Last"})
    answer = await send(alice, body)
    assert answer.status_code == 200
    *found, summary = answered(answer)
    assert summary == {"created": 2, "failed": len(ODD)}
    assert [line["line"] for line in found] == [1, *range(4, 4 + len(ODD) + 1)]
    first, *refused, last = found
    assert (first["status"], last["status"]) == (201, 201)
    assert (await alice.api.get(f"{ITEMS}{first['id']}")).json()["tags"] == ["brass", "lamp"]
    for line, text in zip(refused, ODD, strict=True):
        alone = await alice.api.post(ITEMS, content=text, headers={"Content-Type": "application/json"})
        assert line["status"] == alone.status_code, text
        expected = alone.json() | {"request_id": line["problem"]["request_id"]}
        assert line["problem"] == expected, text
    assert await count(world) == 2


async def test_an_array_is_taken_too(alice: Person) -> None:
    body = json.dumps([LAMP, LAMP | {"price": 0}, LAMP], indent=1).encode()
    answer = await send(alice, body, "application/json; charset=utf-8")
    *found, summary = answered(answer)
    assert [(line["line"], line["status"]) for line in found] == [(1, 201), (2, 422), (3, 201)]
    assert summary == {"created": 2, "failed": 1}
    assert answered(await send(alice, b"[]", "application/json")) == [{"created": 0, "failed": 0}]
    assert answered(await send(alice, b"")) == [{"created": 0, "failed": 0}]


@pytest.mark.parametrize(
    ("body", "status"),
    [(b'{"title": "L"}', 422), (b"[{}", 422), (b"[] 1", 422), (b"", 422)],
    ids=["object", "no end", "more after it", "empty"],
)
async def test_a_body_that_is_no_array_is_refused_as_a_whole(alice: Person, body: bytes, status: int) -> None:
    answer = await send(alice, body, "application/json")
    assert answer.status_code == status
    assert answer.json()["errors"][0]["location"] == ["body"]


async def test_another_type_is_refused(alice: Person) -> None:
    answer = await send(alice, lines(LAMP), "text/csv")
    assert answer.status_code == 415
    assert answer.json()["error_code"] == "HTTP_415"


async def test_strangers_may_not(client: httpx.AsyncClient) -> None:
    assert (await client.post(BULK, content=b"")).status_code == 401


class TestAtomic:
    async def test_all(self, world: World, alice: Person) -> None:
        answer = await send(alice, lines(*[LAMP] * 130), atomic=True)
        assert answer.status_code == 200
        *found, summary = answered(answer)
        assert summary == {"created": 130, "failed": 0}
        assert len({line["id"] for line in found}) == 130
        assert await count(world) == 130

    @pytest.mark.parametrize("fault", [{"price": 0}, {"category_id": 404}], ids=["schema", "reference"])
    async def test_none(self, world: World, alice: Person, fault: dict[str, Any]) -> None:
        answer = await send(alice, lines(LAMP, LAMP | fault, LAMP), atomic=True)
        assert answer.status_code == 422
        *found, summary = answered(answer)
        assert summary == {"created": 0, "failed": 3}
        assert [line["status"] for line in found] == [424, 422, 424]
        assert await count(world) == 0
        async with world.database.read() as db:
            assert not await db.scalar(select(func.count()).select_from(StoredMessage))

    async def test_nothing(self, alice: Person) -> None:
        assert answered(await send(alice, b"\n\n", atomic=True)) == [{"created": 0, "failed": 0}]


async def test_bounds(world: World, tmp_path: Path, alice: Person) -> None:
    values = {"MAX_BULK_LINES": 3, "MAX_BULK_BYTES": 5000, "MAX_BODY_BYTES": 1000}
    async with world_on(world.url, tmp_path, **values) as small, small.caller(**alice.headers) as api:
        here = Person(alice.id, alice.email, alice.token, alice.refresh_token, api)
        assert (await send(here, lines(*[LAMP] * 4))).status_code == 413
        assert (await send(here, b"x" * 5001)).status_code == 413
        huge = lines(LAMP | {"description": "x" * 990}, LAMP)
        *found, summary = answered(await send(here, huge))
        assert [(line["line"], line["status"]) for line in found] == [(1, 413), (2, 201)]
        assert summary == {"created": 1, "failed": 1}
        array = json.dumps([LAMP | {"description": "x" * 990}]).encode()
        assert (await send(here, array, "application/json")).status_code == 413


async def test_the_owner_is_told_once_and_programs_by_groups(world: World, alice: Person) -> None:
    await send(alice, lines(*[LAMP] * 250))
    async with world.database.read() as db:
        told = (await db.execute(select(StoredMessage.type, StoredMessage.payload))).all()
    assert {kind for kind, _ in told} <= {"items.batch_created.v1", "items.bulk_created.v1"}
    await world.resources[Dispatcher].drain()
    inbox = (await alice.api.get("/api/v1/notifications/")).json()
    (note,) = [note for note in inbox["notifications"] if note["kind"] == "items_bulk_created"]
    assert note["data"] == {"number": 250}
    assert note["body"] == "250 items of yours were created at once."


async def test_what_was_exported_is_made_again(world: World, alice: Person, bob: Person) -> None:
    other = {
        "title": 'Ünï "q" =1+1',
        "price": 3,
        "discount_price": 2.5,
        "tax": 19,
        "status": "draft",
        "tags": ["a b"],
    }
    await send(alice, lines(LAMP, other, LAMP | {"description": None, "tags": []}))
    exported = await alice.api.get("/api/v1/items/export", params={"owner_id": alice.id})
    assert exported.headers["content-type"] == "application/x-ndjson"
    *_, summary = answered(await send(bob, exported.content))
    assert summary == {"created": 3, "failed": 0}
    again = await bob.api.get("/api/v1/items/export", params={"owner_id": bob.id})
    kept = (
        "title",
        "description",
        "price",
        "discount_price",
        "tax",
        "total_price",
        "status",
        "tags",
        "category_id",
    )

    def same(answer: httpx.Response) -> list[Any]:
        return [[json.loads(line)[name] for name in kept] for line in answer.text.splitlines()]

    assert same(again) == same(exported)
    assert len(same(again)) == 3


async def test_progress_is_counted(world: World, alice: Person) -> None:
    before = world.resources[BulkItems].lines
    await send(alice, lines(*[LAMP] * 120, b"{}"))
    assert world.resources[BulkItems].lines == before + 120


async def test_a_client_that_leaves_ends_it(world: World, alice: Person) -> None:
    """After the first group of the answer: what is written by then stays, what is not is not begun."""
    body = lines(*[LAMP] * 1000)
    sent = [{"type": "http.request", "body": body, "more_body": False}]
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
        "headers": [
            (b"host", b"testserver"),
            (b"content-type", b"application/x-ndjson"),
            (b"content-length", b"%d" % len(body)),
            (b"authorization", f"Bearer {alice.token}".encode()),
        ],
    }
    answering = asyncio.Event()

    async def receive() -> dict[str, Any]:
        if sent:
            return sent.pop()
        await answering.wait()
        return {"type": "http.disconnect"}

    async def sending(message: dict[str, Any]) -> None:
        if message.get("body"):
            answering.set()

    await world.transport.app(scope, receive, sending)  # type: ignore[arg-type]
    made = await count(world)
    assert 100 <= made < 1000
    async with world.database.read() as db:
        payloads = await db.scalars(
            select(StoredMessage.payload).where(StoredMessage.type == "items.bulk_created.v1")
        )
        assert {payload["number"] for payload in payloads} == {made}
