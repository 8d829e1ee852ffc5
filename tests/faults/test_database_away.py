"""PostgreSQL that is away, breaks off, hangs or refuses: 503 and come again, never 500, and no restart needed."""

import asyncio
import signal
from collections.abc import AsyncIterator, Awaitable, Iterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest
import pytest_asyncio

from tests.conftest import world_on
from tests.faults.stoppable import StoppablePostgres, stoppable_postgres
from tests.flows.live import API, Account, LiveServer, environment, eventually, join, serving
from tradepost.core.batching.group_writer import HELD_SECONDS
from tradepost.core.database.locks import ADVISORY_KEYS
from tradepost.main import RETRY_PREPARATION

POOL_SIZE = 2
POOL_TIMEOUT = 0.5
STATEMENT_TIMEOUT = 3.0
PATIENCE = 20.0
"""Seconds that a busy machine may need for what takes none."""


@pytest.fixture(scope="module")
def postgres() -> Iterator[StoppablePostgres]:  # in place of the one that other tests depend on
    with stoppable_postgres() as server:
        yield server


def is_unavailable(response: httpx.Response) -> bool:
    """Tell whether this is the one answer for a database that is away."""
    return (
        response.status_code == 503
        and response.headers["Content-Type"] == "application/problem+json"
        and response.json()["error_code"] == "DATABASE_ERROR"
        and int(response.headers["Retry-After"]) >= 1
    )


async def every_kind_of_call(client: httpx.AsyncClient) -> dict[str, httpx.Response]:
    """Call what reads, what writes, and what opens transactions of its own."""
    ada = {"email": "ada@example.com", "password": "Tradepost1", "first_name": "Ada", "last_name": "Tester"}
    return {
        "list": await client.get("/items/"),
        "read": await client.get("/items/1"),
        "search": await client.get("/items/search/", params={"q": "lamp"}),
        "popular": await client.get("/items/popular"),
        "tags": await client.get("/tags/"),
        "categories": await client.get("/categories/?tree=true"),
        "register": await client.post("/auth/register", json=ada),
        "log in": await client.post("/auth/login", data={"username": "a@example.com", "password": "x"}),
    }


async def every_kind_of_own_call(client: httpx.AsyncClient) -> dict[str, httpx.Response]:
    """Call what only somebody with an account may."""
    return {
        "me": await client.get("/users/me"),
        "create": await client.post("/items/", json={"title": "Lamp", "price": 1}),
        "change": await client.patch("/items/1", json={"price": 2}),
        "delete": await client.delete("/items/1"),
        "sessions": await client.get("/auth/sessions"),
        "log out": await client.post("/auth/logout"),
    }


async def test_a_database_that_comes_late_and_goes_in_the_middle_needs_no_restart(
    postgres: StoppablePostgres, tmp_path: Path
) -> None:
    with serving(environment(tmp_path, postgres.url("late"))) as server:
        await server.answers("/livez")
        not_ready = await server.answers("/readyz", 503)
        assert not_ready.headers["Content-Type"] == "application/json"
        assert int(not_ready.headers["Retry-After"]) >= 1
        report = not_ready.json()
        assert report["status"] == "not ready"
        assert report["checks"]["database"]["status"] == "failed"
        assert report["checks"]["database"]["latency_ms"] >= 0
        async with server.client() as client:
            for name, response in (await every_kind_of_call(client)).items():
                assert is_unavailable(response), (name, response.text)
            # What needs no database is as it always is.
            assert (await client.get("/nothing")).status_code == 404
            assert (await client.post("/auth/register", json={})).status_code == 422
            for path in ("/health", "/metrics", "/docs", f"{API}/openapi.json"):
                assert (await client.get(f"{server.url}{path}")).status_code == 200

            # The server of databases comes first, then the database. Nobody but us could migrate it.
            await asyncio.to_thread(postgres.start)
            for name, response in (await every_kind_of_call(client)).items():
                assert is_unavailable(response), (name, response.text)
            await asyncio.sleep(RETRY_PREPARATION)
            await postgres.create_database("late")
            await server.ready()
            person = await join(client, "grace@example.com")

        async with server.client(person.token) as client:
            kept = await goes_and_comes_back(postgres, server, client)
            mine = [(await client.get(f"/items/{item_id}")).status_code for item_id in kept]
            assert mine == [200] * len(kept)

            await asyncio.to_thread(postgres.stop)
            for name, response in (await every_kind_of_own_call(client)).items():
                assert is_unavailable(response), (name, response.text)
            await asyncio.to_thread(postgres.start)
            await server.ready()
            # Whoever was refused is not logged out.
            assert (await client.get("/users/me")).status_code == 200
            await asyncio.to_thread(postgres.stop)
        assert "INTERNAL_ERROR" not in server.output
        server.send(signal.SIGTERM)
        assert await server.ended() == 0


async def goes_and_comes_back(
    postgres: StoppablePostgres, server: LiveServer, client: httpx.AsyncClient
) -> list[int]:
    """Stop PostgreSQL among reads and writes, start it again, and return the ids of what was acknowledged."""
    kept: list[int] = []
    going_on, is_back = True, False
    away = asyncio.Event()

    async def write() -> None:
        since = 0
        while going_on or since < 3:
            # From when it says that it is ready, nobody is refused any more.
            must_succeed = is_back
            made = await client.post("/items/", json={"title": "Steady", "price": 1, "tags": ["steady"]})
            if made.status_code == 201:
                kept.append(made.json()["id"])
                since += must_succeed
            else:
                assert is_unavailable(made), made.text
                assert not must_succeed
                away.set()
                await asyncio.sleep(0.05)

    async def read() -> None:
        while going_on:
            found = await client.get("/items/", params={"tag": "steady", "limit": 1})
            assert found.status_code == 200 or is_unavailable(found), found.text

    async def writing() -> bool:
        return len(kept) > 10

    async with asyncio.TaskGroup() as group:
        for work in (write, write, write, read, read):
            group.create_task(work())
        await eventually(writing)
        await asyncio.to_thread(postgres.stop)
        await asyncio.wait_for(away.wait(), PATIENCE)
        await server.answers("/readyz", 503)
        await server.answers("/livez")
        await asyncio.to_thread(postgres.start)
        await server.ready()
        is_back, going_on = True, False
    return kept


async def test_a_migration_that_breaks_off_is_tried_again(
    postgres: StoppablePostgres, tmp_path: Path
) -> None:
    await asyncio.to_thread(postgres.start)
    url = await postgres.create_database("broken_off")
    other = await asyncpg.connect(url)

    broken_off = 0

    async def break_off() -> None:
        nonlocal broken_off
        while True:
            broken_off += await other.fetchval(
                "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
            await asyncio.sleep(0.02)

    try:
        await other.execute(f"SELECT pg_advisory_lock({ADVISORY_KEYS['migrations']})")
        breaking = asyncio.create_task(break_off())
        async with world_on(url, tmp_path) as world, world.caller() as client:
            breaking.cancel()
            with suppress(asyncio.CancelledError):
                await breaking
            assert broken_off
            assert (await client.get("/livez")).status_code == 200
            assert (await client.get("/readyz")).status_code == 503
            # A schema that is not there yet is no reason to give up either.
            for path in ("items/", "tags/"):
                assert is_unavailable(await client.get(f"{API}/{path}"))
            await other.execute("SELECT pg_advisory_unlock_all()")

            async def ready() -> bool:
                return (await client.get("/readyz")).status_code == 200

            await eventually(ready)
            assert (await client.get(f"{API}/items/")).status_code == 200
    finally:
        await other.close()


# --- a database that is there, and slow -------------------------------------------------------------------------------


@pytest_asyncio.fixture(scope="module")
async def server(
    postgres: StoppablePostgres, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[LiveServer]:
    """A server with little patience and two connections."""
    await asyncio.to_thread(postgres.start)
    url = await postgres.create_database("slow")
    env = environment(
        tmp_path_factory.mktemp("slow"),
        url,
        DB_POOL_SIZE=POOL_SIZE,
        DB_POOL_TIMEOUT=POOL_TIMEOUT,
        DB_STATEMENT_TIMEOUT=STATEMENT_TIMEOUT,
    )
    with serving(env) as server:
        await server.ready()
        yield server
        assert "INTERNAL_ERROR" not in server.output


@pytest_asyncio.fixture
async def sql(postgres: StoppablePostgres, server: LiveServer) -> AsyncIterator["asyncpg.Connection[Any]"]:
    """Somebody else's connection to the same database."""
    connection = await asyncpg.connect(postgres.url("slow"))
    yield connection
    await connection.close()


@pytest_asyncio.fixture(scope="module")
async def person(server: LiveServer) -> Account:
    async with server.client() as client:
        return await join(client, "slow@example.com")


@asynccontextmanager
async def locked_items(sql: "asyncpg.Connection[Any]") -> AsyncIterator[None]:
    """Keep everybody from the items and events, readers too."""
    async with sql.transaction():
        await sql.execute("LOCK TABLE items, events IN ACCESS EXCLUSIVE MODE")
        yield


async def waiting_for_locks(sql: "asyncpg.Connection[Any]") -> int:
    # Within a transaction PostgreSQL goes on showing what it showed first.
    await sql.execute("SELECT pg_stat_clear_snapshot()")
    return int(
        await sql.fetchval(
            "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'tradepost' "
            "AND datname = current_database() AND wait_event_type = 'Lock'"
        )
    )


@asynccontextmanager
async def every_connection_held(
    client: httpx.AsyncClient, sql: "asyncpg.Connection[Any]"
) -> AsyncIterator[None]:
    """Have all of the server's connections wait for events, which are locked for the length of the block."""

    async def hold() -> None:
        # A change of an event holds a connection of its own. On a slow machine the first may be told to come again before the last
        # one waits: so it does.
        while is_unavailable(held := await client.patch("/events/987654321", json={"title": "Fair"})):
            pass
        assert held.status_code == 404, held.text

    async def all_waiting() -> bool:
        return await waiting_for_locks(sql) == POOL_SIZE

    async with asyncio.TaskGroup() as group, locked_items(sql):
        for _ in range(POOL_SIZE):
            group.create_task(hold())
        await eventually(all_waiting)
        yield


async def test_a_statement_that_takes_too_long_is_ended(
    server: LiveServer, person: Account, sql: "asyncpg.Connection[Any]"
) -> None:
    loop = asyncio.get_running_loop()

    async def took(call: Awaitable[httpx.Response]) -> float:
        began = loop.time()
        assert is_unavailable(await call)
        return loop.time() - began

    async def nobody_waits() -> bool:
        return await waiting_for_locks(sql) == 0

    async with server.client(person.token) as client:
        async with locked_items(sql):
            reading, creating = await asyncio.gather(
                took(client.get("/items/1")),
                # A write lets go of its connection between its tries for a lock, and goes on trying.
                took(client.post("/items/", json={"title": "Lamp", "price": 1})),
            )
            assert STATEMENT_TIMEOUT * 0.9 < reading < STATEMENT_TIMEOUT + 2
            assert creating < HELD_SECONDS + 2
            # In the database, too, nobody goes on waiting: only what the server does by itself comes by.
            await eventually(nobody_waits)
        assert (await client.get("/items/1")).status_code == 404
        assert (await client.post("/items/", json={"title": "Lamp", "price": 1})).status_code == 201


async def test_without_a_connection_in_time_one_is_told_to_come_again(
    server: LiveServer, person: Account, sql: "asyncpg.Connection[Any]"
) -> None:
    loop = asyncio.get_running_loop()
    async with server.client(person.token) as client, server.client() as stranger:
        async with every_connection_held(client, sql):
            began = loop.time()
            # Nothing is wrong with the tags; there is no connection to ask for them.
            refused = await stranger.get("/tags/")
            took = loop.time() - began
            assert is_unavailable(refused), refused.text
            assert POOL_TIMEOUT * 0.9 < took < STATEMENT_TIMEOUT
            # Probes that need no database, and the metrics, answer at once.
            metrics = await client.get(f"{server.url}/metrics")
            assert f"tradepost_database_pool_held {POOL_SIZE:.1f}" in metrics.text
            assert (await client.get(f"{server.url}/livez")).status_code == 200
        assert (await client.get("/tags/")).status_code == 200


async def aborted(server: LiveServer, request: bytes) -> None:
    """Send a request, or the beginning of one, and go away."""
    _, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(request)
    await writer.drain()
    await asyncio.sleep(0.05)
    writer.transport.abort()


async def test_clients_that_go_away_give_their_connections_back(
    server: LiveServer, person: Account, sql: "asyncpg.Connection[Any]"
) -> None:
    head = f"Host: x\r\nAuthorization: Bearer {person.token}\r\nContent-Type: application/json\r\n"
    requests = [
        f"GET {API}/items/1 HTTP/1.1\r\n{head}\r\n",
        f"GET {API}/items/?q=lamp HTTP/1.1\r\n{head}\r\n",
        f'POST {API}/items/ HTTP/1.1\r\n{head}Content-Length: 26\r\n\r\n{{"title":"Lamp","price":1}}',
        f'POST {API}/items/ HTTP/1.1\r\n{head}Content-Length: 27\r\n\r\n{{"title":"La',
    ]
    async with locked_items(sql):
        for _ in range(5):
            await asyncio.gather(*(aborted(server, requests[n % 4].encode()) for n in range(40)))
    async with server.client(person.token) as client:

        async def served() -> bool:
            # The one in progress is this one. What delivers messages beside it holds a connection for moments only.
            metrics = (await client.get(f"{server.url}/metrics")).text
            return (
                "tradepost_http_requests_in_progress 1.0" in metrics
                and "tradepost_database_pool_held 0.0" in metrics
                and "tradepost_database_pool_waiting 0.0" in metrics
            )

        await eventually(served)
        # Each connection of the pool is there and does its work.
        async with every_connection_held(client, sql):
            pass


DOOM = """
CREATE FUNCTION doom() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.title = 'Doomed break' THEN
        PERFORM pg_terminate_backend(pg_backend_pid());
        PERFORM pg_sleep(1);
    END IF;
    RAISE EXCEPTION 'doomed' USING ERRCODE = right(NEW.title, 5);
END $$;
CREATE CONSTRAINT TRIGGER doomed AFTER INSERT ON items DEFERRABLE INITIALLY DEFERRED
FOR EACH ROW WHEN (NEW.title LIKE 'Doomed %') EXECUTE FUNCTION doom();
"""


async def test_a_commit_that_fails_is_no_success(
    server: LiveServer, person: Account, sql: "asyncpg.Connection[Any]"
) -> None:
    before = await sql.fetchval("SELECT count(*) FROM items")
    acknowledged = 0
    await sql.execute(DOOM)
    try:
        async with server.client(person.token) as client:
            for title, status, code in (
                ("Doomed 40001", 503, "DATABASE_ERROR"),
                ("Doomed 23503", 409, "INTEGRITY_ERROR"),
                ("Doomed P0001", 500, "DATABASE_ERROR"),
                ("Doomed break", 503, "DATABASE_ERROR"),
            ):
                # What comes at once may be written together: who is at fault fails, and the others do not; only where
                # the database may be gone altogether are all told to come again.
                for companions in (0, 9):
                    titles = [title, *["Fine"] * companions]
                    answers = await asyncio.gather(
                        *(client.post("/items/", json={"title": each, "price": 1}) for each in titles)
                    )
                    doomed, *fine = answers
                    assert (doomed.status_code, doomed.json()["error_code"]) == (status, code), title
                    assert "doomed" not in doomed.json()["detail"]
                    for answer in fine:
                        assert answer.status_code == 201 or (status == 503 and is_unavailable(answer))
                    acknowledged += sum(answer.status_code == 201 for answer in answers)
                assert (await client.post("/items/", json={"title": "Fine", "price": 1})).status_code == 201
                acknowledged += 1
    finally:
        await sql.execute("DROP TRIGGER doomed ON items; DROP FUNCTION doom")
    assert await sql.fetchval("SELECT count(*) FROM items") == before + acknowledged


async def are_gone(sql: "asyncpg.Connection[Any]", pids: list[int]) -> bool:
    return not await sql.fetchval("SELECT count(*) FROM pg_stat_activity WHERE pid = ANY($1)", pids)


async def test_connections_that_broke_while_nobody_used_them_are_replaced_unnoticed(
    server: LiveServer, person: Account, sql: "asyncpg.Connection[Any]"
) -> None:
    async with server.client(person.token) as client:
        for _ in range(3):
            await asyncio.gather(*(client.get("/users/me") for _ in range(2 * POOL_SIZE)))
            ended = [
                row["pid"]
                for row in await sql.fetch(
                    "SELECT pid, pg_terminate_backend(pid) FROM pg_stat_activity "
                    "WHERE application_name = 'tradepost' AND datname = current_database()"
                )
            ]
            assert len(ended) == POOL_SIZE
            await eventually(partial(are_gone, sql, ended))
            # The server hears of it a moment later.
            await asyncio.sleep(0.1)
            for answer in (
                await client.get("/users/me"),
                await client.post("/items/", json={"title": "Lamp", "price": 1}),
                await client.get("/items/"),
            ):
                assert answer.is_success, answer.text
