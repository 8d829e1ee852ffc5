"""Tradepost through a real PgBouncer in transaction mode: two connections for everybody, and another one at each transaction."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import pytest_asyncio

from tests.faults.test_database_away import is_unavailable
from tests.flows.live import (
    Account,
    LiveServer,
    environment,
    eventually,
    join,
    serving,
    tradepost,
    workers_of,
)
from tests.flows.test_marketplace import (  # noqa: F401 - the same day, through PgBouncer
    Market,
    stranger,
    test_a_day_at_the_market,
)
from tests.outside import pgbouncer
from tests.servers import PostgresServer

pytestmark = pytest.mark.skipif(
    pgbouncer.BINARY is None, reason="needs PgBouncer (Debian: apt-get install pgbouncer)"
)

CONNECTIONS = 2
STATEMENT_TIMEOUT = 2.0
SECRET_KEY = "a key of at least thirty-two bytes for tests"


@dataclass(frozen=True)
class Ways:
    """The two ways to one database."""

    through: str
    direct: str


async def ways_to(postgres: PostgresServer, name: str) -> str:
    await postgres.drop_database(name)
    return await postgres.create_database(name)


@pytest.fixture(scope="module")
def ways(postgres: PostgresServer) -> Iterator[Ways]:
    direct = asyncio.run(ways_to(postgres, "pooled"))
    with pgbouncer.running(direct, connections=CONNECTIONS) as through:
        yield Ways(through, direct)


@pytest_asyncio.fixture(scope="module")
async def market(ways: Ways, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Market]:
    """A server of two processes, which migrates past PgBouncer and does all else through it."""
    env = environment(
        tmp_path_factory.mktemp("market"), ways.through, DB_VIA_PGBOUNCER="true",
        DATABASE_DIRECT_URL=ways.direct, SECRET_KEY=SECRET_KEY, DB_STATEMENT_TIMEOUT=STATEMENT_TIMEOUT,
    )  # fmt: skip
    with serving(env, "--workers", "2") as server:
        await server.ready()
        async with workers_of(server, 2) as workers:
            yield Market(server, workers)
        assert "INTERNAL_ERROR" not in server.output
        assert "prepared statement" not in server.output


@pytest_asyncio.fixture(scope="module")
async def ada(market: Market) -> Account:
    async with market.server.client() as client:
        return await join(client, "ada-through-pgbouncer@example.com")


async def test_many_at_once_share_few_connections(market: Market, ada: Account) -> None:
    async with market.server.client(ada.token) as client:

        async def one(number: int) -> None:
            new = {"title": f"Pooled {number}", "price": number, "tags": [f"pool {number % 3}"]}
            key = {"Idempotency-Key": f"pooled-{number}"}
            made, again = [await client.post("/items/", json=new, headers=key) for _ in range(2)]
            assert (made.status_code, again.status_code) == (201, 201), made.text
            assert made.json()["id"] == again.json()["id"]
            item = made.json()["id"]
            answers = await asyncio.gather(
                client.get(f"/items/{item}"),
                client.get("/items/", params={"tag": f"pool {number % 3}", "sort": "-price"}),
                client.get("/items/search/", params={"q": "pooled"}),
                client.get("/tags/"),
                client.patch(f"/items/{item}", json={"price": number + 1}),
                client.get("/users/me"),
            )
            assert [answer.status_code for answer in answers] == [200] * 6

        await asyncio.gather(*(one(number) for number in range(1, 31)))
        found = await client.get("/items/", params={"tag": "pool 1", "limit": 100})
        assert found.json()["total"] == 10


async def test_bulks_and_exports(market: Market, ada: Account) -> None:
    lines = "\n".join(json.dumps({"title": f"Bulk {number}", "price": 1}) for number in range(1500))
    async with market.server.client(ada.token) as client:
        headers = {"Content-Type": "application/x-ndjson"}
        written = await client.post("/items/bulk", content=lines, headers=headers)
        assert written.status_code == 200, written.text
        # Read by a cursor, while others use the same connections.
        export, *others = await asyncio.gather(
            client.get("/items/export"), *(client.get("/items/?limit=5") for _ in range(20))
        )
        assert export.status_code == 200
        assert sum('"Bulk ' in line for line in export.text.splitlines()) == 1500
        assert {answer.status_code for answer in others} == {200}


async def nobody_waits(sql: "asyncpg.Connection[Any]") -> bool:
    # Within a transaction PostgreSQL goes on showing what it showed first.
    await sql.execute("SELECT pg_stat_clear_snapshot()")
    waiting = await sql.fetchval(
        "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    )
    return bool(waiting == 0)


async def test_a_statement_ends_in_time(market: Market, ada: Account, ways: Ways) -> None:
    sql = await asyncpg.connect(ways.direct)
    try:
        async with market.server.client(ada.token) as client:
            async with sql.transaction():
                await sql.execute("LOCK TABLE items IN ACCESS EXCLUSIVE MODE")
                answers = await asyncio.gather(
                    client.get("/items/1"), client.post("/items/", json={"title": "Lamp", "price": 1})
                )
                assert [is_unavailable(answer) for answer in answers] == [True, True]
                # Only what the server does by itself comes by.
                await eventually(lambda: nobody_waits(sql))
            assert (await client.post("/items/", json={"title": "Lamp", "price": 1})).status_code == 201
            # What one transaction set for itself, no other one has.
            assert (await client.get("/items/1")).status_code in {200, 404}
    finally:
        await sql.close()


async def next_notification(server: LiveServer, token: str, listening: asyncio.Event) -> str:
    async with (
        server.client(token) as client,
        client.stream("GET", "/notifications/stream", timeout=30.0) as answer,
    ):
        assert answer.status_code == 200
        async for line in answer.aiter_lines():
            listening.set()
            if line.startswith("data:") and "{" in line:
                return line
    raise AssertionError("the stream ended")


async def test_processes_hear_of_each_other_by_looking_where_nothing_else_leads_there(
    market: Market, ada: Account, ways: Ways, tmp_path: Path
) -> None:
    # No way past PgBouncer, no Redis: another server on the same database, which is migrated.
    env = environment(tmp_path, ways.through, DB_VIA_PGBOUNCER="true", SECRET_KEY=SECRET_KEY)
    with serving(env) as alone:
        await alone.ready()
        listening = asyncio.Event()
        heard = asyncio.create_task(next_notification(alone, ada.token, listening))
        await listening.wait()
        async with market.server.client(ada.token) as client:
            assert (await client.post("/items/", json={"title": "Heard", "price": 1})).status_code == 201
        async with asyncio.timeout(30):
            assert "Heard" in await heard


async def test_without_a_way_past_it_nobody_migrates(
    ways: Ways, market: Market, tmp_path: Path, postgres: PostgresServer
) -> None:
    env = environment(tmp_path, ways.through, DB_VIA_PGBOUNCER="true", SECRET_KEY=SECRET_KEY)
    already = await tradepost("migrate", env=env)
    assert already.status == 0, already.output
    direct = await postgres.create_database("pooled_empty")
    with pgbouncer.running(direct, connections=CONNECTIONS) as through:
        refused = await tradepost("migrate", env=env | {"DATABASE_URL": through})
        assert refused.status == 1
        assert "set DATABASE_DIRECT_URL" in refused.output
        assert "Traceback" not in refused.output
        made = await tradepost(
            "seed",
            "--users",
            "20",
            "--items",
            "200",
            env=env | {"DATABASE_URL": through, "DATABASE_DIRECT_URL": direct},
        )
        assert made.status == 0, made.output
