"""Retries under an ``Idempotency-Key`` where it counts: several processes at once, and a server that is killed at any moment.

``SOAK_ROUNDS=200`` sends as many equal requests at once; a test run sends forty.
"""

import asyncio
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import func, make_url, select, update

from tests.conftest import ENGINES
from tests.flows.live import Account, LiveServer, environment, eventually, join, serving
from tests.servers import PostgresServer
from tests.uploading import pdf
from tradepost.core.database.engines import Database
from tradepost.core.database.options import DatabaseOptions
from tradepost.core.idempotency.models import IdempotencyKey, IdempotentPiece

AT_ONCE = max(40, int(os.environ.get("SOAK_ROUNDS", "1")))
ITEM = {"title": "Lamp", "price": 3, "tags": ["lamp"]}
EVENT = {
    "title": "Repair café",
    "description": "Bring what is broken.",
    "start_date": "2999-05-01T10:00:00+02:00",
    "end_date": "2999-05-01T12:00:00+02:00",
    "max_participants": 10,
}
BULK = b"\n".join(b'{"title": "Lamp %d", "price": 1}' % number for number in range(1, 1001))


@asynccontextmanager
async def database_of(directory: Path, url: str | None) -> AsyncIterator[Database]:
    """Open the server's database beside it."""
    found = url or f"sqlite:///{directory / 'tradepost.db'}"
    parsed = make_url(found)
    driver = "sqlite+aiosqlite" if parsed.get_backend_name() == "sqlite" else "postgresql+asyncpg"
    database = Database(DatabaseOptions(parsed.set(drivername=driver)))
    try:
        yield database
    finally:
        await database.close()


async def url_for(engine: str, postgres: PostgresServer, name: str) -> str | None:
    return None if engine == "sqlite" else await postgres.create_database(name)


async def kept(database: Database, model: Any = IdempotencyKey) -> int:
    async with database.read() as db:
        return await db.scalar(select(func.count()).select_from(model)) or 0


def keyed(account: Account, key: str = "one") -> dict[str, str]:
    return {"Authorization": f"Bearer {account.token}", "Idempotency-Key": key}


async def unheard(server: LiveServer, database: Database, number: int, **request: Any) -> None:
    """Send a request, and kill the server once there are so many answers; nobody hears this one."""
    async with server.client() as client:
        sending = asyncio.create_task(client.post(**request))

        async def is_kept() -> bool:
            async with database.read() as db:
                answered = select(func.count()).where(IdempotencyKey.status.is_not(None))
                return await db.scalar(answered) == number

        await eventually(is_kept)
        await asyncio.to_thread(server.kill)
        await asyncio.gather(sending, return_exceptions=True)


@pytest.mark.parametrize("engine", ENGINES)
async def test_equal_requests_to_two_processes_make_one(
    engine: str, tmp_path: Path, postgres: PostgresServer
) -> None:
    url = await url_for(engine, postgres, "equal")
    with serving(environment(tmp_path, url), "--workers", "2") as server:
        await server.ready()
        limits = httpx.Limits(max_connections=AT_ONCE, max_keepalive_connections=0)
        async with server.client(limits=limits) as client:
            ada = await join(client, "ada@example.com")
            for path, body in (("/items/", ITEM), ("/events/", EVENT)):
                answers = await asyncio.gather(
                    *(client.post(path, json=body, headers=keyed(ada)) for _ in range(AT_ONCE))
                )
                made = {answer.content for answer in answers if answer.status_code == 201}
                others = {
                    (answer.status_code, answer.json()["error_code"])
                    for answer in answers
                    if answer.status_code != 201
                }
                assert len(made) == 1
                assert others <= {(409, "IDEMPOTENCY_IN_FLIGHT")}
                listed = (await client.get(path, params={"total": "exact"})).json()
                assert listed["total"] == 1
                again = await client.post(path, json=body, headers=keyed(ada))
                assert {again.content} == made
        assert "Traceback" not in server.output


@pytest.mark.parametrize("engine", ENGINES)
async def test_what_was_done_before_a_kill_is_answered_after_it(
    engine: str, tmp_path: Path, postgres: PostgresServer
) -> None:
    url = await url_for(engine, postgres, "unheard")
    env = environment(tmp_path, url)
    with serving(env) as server:
        await server.ready()
        async with server.client() as client:
            ada = await join(client, "ada@example.com")
            item = (await client.post("/items/", json=ITEM, headers=keyed(ada, "before"))).json()
    files = {"files": ("manual.pdf", pdf(200_000))}
    requests: dict[str, dict[str, Any]] = {
        "item": {"url": "/items/", "json": ITEM},
        "event": {"url": "/events/", "json": EVENT},
        "document": {"url": f"/upload/items/{item['id']}/documents/", "files": files},
    }
    async with database_of(tmp_path, url) as database:
        for number, (name, request) in enumerate(requests.items(), 2):
            with serving(env) as server:
                await server.ready()
                await unheard(server, database, number, **request, headers=keyed(ada, name))
            with serving(env) as server:
                await server.ready()
                async with server.client() as client:
                    retries = [await client.post(**request, headers=keyed(ada, name)) for _ in range(2)]
                    assert [one.status_code for one in retries] == [200 if name == "document" else 201] * 2
                    assert [one.headers.get("idempotency-replayed") for one in retries] == ["true"] * 2
                    other = request | (
                        {"json": {**ITEM, **request["json"], "title": "Other"}}
                        if "json" in request
                        else {"files": {"files": ("manual.pdf", pdf(100))}}
                    )
                    reused = await client.post(**other, headers=keyed(ada, name))
                    assert (reused.status_code, reused.json()["error_code"]) == (
                        422,
                        "IDEMPOTENCY_KEY_REUSED",
                    )
                    if name == "document":
                        token = {"Authorization": f"Bearer {ada.token}"}
                        usage = (await client.get("/upload/usage", headers=token)).json()
                        assert usage["files"] == 1


@pytest.mark.parametrize("engine", ENGINES)
async def test_a_bulk_that_was_killed_is_gone_on_with(
    engine: str, tmp_path: Path, postgres: PostgresServer
) -> None:
    url = await url_for(engine, postgres, "bulk")
    env = environment(tmp_path, url)
    request: dict[str, Any] = {"url": "/items/bulk", "content": BULK}
    async with database_of(tmp_path, url) as database:
        with serving(env) as server:
            await server.ready()
            async with server.client() as client:
                ada = await join(client, "ada@example.com")
                headers = keyed(ada) | {"Content-Type": "application/x-ndjson"}
                sending = asyncio.create_task(client.post(**request, headers=headers))

                async def some_are_kept() -> bool:
                    return await kept(database, IdempotentPiece) >= 2

                await eventually(some_are_kept)
                await asyncio.to_thread(server.kill)
                await asyncio.gather(sending, return_exceptions=True)
        before = await kept(database, IdempotentPiece)
        with serving(env) as server:
            await server.ready()
            async with server.client() as client:
                early = await client.post(**request, headers=headers)
                if before < 10:
                    assert (early.status_code, early.json()["error_code"]) == (409, "IDEMPOTENCY_IN_FLIGHT")
                    assert 1 <= int(early.headers["retry-after"]) <= 5
                    # The time of a lease later.
                    async with database.transaction() as db:
                        await db.execute(
                            update(IdempotencyKey).values(
                                lease_until=datetime.now(UTC) - timedelta(seconds=1)
                            )
                        )
                first, second = [await client.post(**request, headers=headers) for _ in range(2)]
                assert first.content == second.content
                *lines, summary = [json.loads(line) for line in first.text.splitlines()]
                assert summary == {"created": 1000, "failed": 0}
                assert [line["line"] for line in lines] == [*range(1, 1001)]
                assert len({line["id"] for line in lines}) == 1000
                listed = (await client.get("/items/", params={"total": "exact"})).json()
                assert listed["total"] == 1000
            assert "Traceback" not in server.output
