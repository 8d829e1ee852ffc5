"""A server that is told to end finishes what it began, writes what it only counted, and ends with status 0."""

import asyncio
import os
import signal
import sqlite3
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest
import pytest_asyncio

from tests.flows.live import API, Account, LiveServer, environment, eventually, join, serving
from tests.servers import PostgresServer
from tradepost import main

GRACE = 20.0
"""Seconds that requests get to finish."""
LEEWAY = 8.0
CLIENTS = 12


def children(pid: int) -> list[int]:
    """Return the processes that one has started and that are left."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def rows(path: Path, statement: str) -> list[Any]:
    with sqlite3.connect(path) as connection:
        found = connection.execute(statement).fetchall()
    connection.close()
    return found


async def put_up(server: LiveServer, person: Account) -> int:
    """Put an item up for sale and return its id."""
    async with server.client(person.token) as client:
        made = await client.post("/items/", json={"title": "Lamp", "price": 1})
    return int(made.json()["id"])


async def look_at(server: LiveServer, item_id: int, times: int) -> None:
    async with server.client() as client:
        for _ in range(times):
            assert (await client.get(f"/items/{item_id}")).status_code == 200


@dataclass
class Stalled:
    """A server that was told to end while a client had sent half of its request, and never will send the rest."""

    path: Path
    ending: "asyncio.Task[tuple[int, float]]"
    """Its status, and the seconds that it took."""


async def in_progress(server: LiveServer) -> float:
    """Return how many requests the only process of a server is answering, this one among them."""
    name = "tradepost_http_requests_in_progress "
    lines = (await server.answers("/metrics")).text.splitlines()
    (found,) = [line.removeprefix(name) for line in lines if line.startswith(name)]
    return float(found)


async def timed_end(server: LiveServer) -> tuple[int, float]:
    """Tell a server to end; return its status, and the seconds that it took."""
    server.send(signal.SIGTERM)
    told_at = asyncio.get_running_loop().time()
    return await server.ended(30), asyncio.get_running_loop().time() - told_at


@pytest_asyncio.fixture(scope="module", autouse=True)
async def stopped(
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator["asyncio.Task[tuple[int, float]]"]:
    """Stop a worker as SIGSTOP does, tell its server to end, and await that while the other tests run."""
    directory = tmp_path_factory.mktemp("stopped")
    with serving(environment(directory), "--workers", "2") as server:
        await server.ready()
        (worker, *_) = children(server.pid)
        os.kill(worker, signal.SIGSTOP)
        yield asyncio.create_task(timed_end(server))


@pytest_asyncio.fixture(scope="module", autouse=True)
async def stalled(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stalled]:
    """Start the one test that waits long before the others, so that it waits while they run."""
    directory = tmp_path_factory.mktemp("stalled")
    # Longer than the grace, so that it is not the request's own deadline that ends it.
    with serving(environment(directory, REQUEST_TIMEOUT=60)) as server:
        await server.ready()
        async with server.client() as client:
            person = await join(client, "slow@example.com")
        item_id = await put_up(server, person)
        _, writer = await asyncio.open_connection("127.0.0.1", server.port)
        head = f"POST {API}/auth/register HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        writer.write(f'{head}Content-Length: 100\r\n\r\n{{"email":'.encode())
        await writer.drain()
        await look_at(server, item_id, times=2)
        yield Stalled(directory / "tradepost.db", asyncio.create_task(timed_end(server)))
        writer.close()


async def test_what_is_in_flight_is_finished_and_what_was_counted_is_written(tmp_path: Path) -> None:
    path = tmp_path / "tradepost.db"
    with serving(environment(tmp_path)) as server:
        await server.ready()
        async with server.client() as client:
            person = await join(client, "ada@example.com")
        item_id = await put_up(server, person)
        async with server.client(person.token) as client:
            other = sqlite3.connect(path, isolation_level=None)
            # Nobody can write for a moment: neither the request below nor the views.
            other.execute("BEGIN IMMEDIATE")
            await look_at(server, item_id, times=3)
            before = await in_progress(server)
            in_flight = asyncio.create_task(client.post("/items/", json={"title": "In flight", "price": 1}))

            async def has_begun() -> bool:
                return await in_progress(server) > before

            await eventually(has_begun)
            server.send(signal.SIGTERM)

            async def refuses() -> bool:
                try:
                    await look_at(server, item_id, times=1)
                except httpx.ConnectError:
                    return True
                except (httpx.RemoteProtocolError, httpx.ReadError):
                    return False  # it was in the queue of the socket as that closed
                return False

            await eventually(refuses)
            assert server.running
            assert not in_flight.done()
            other.execute("ROLLBACK")
            other.close()
            answer = await in_flight
            assert (answer.status_code, answer.headers["Connection"]) == (201, "close")
        assert await server.ended() == 0
        assert "Traceback" not in server.output
        assert rows(path, "SELECT title, views > 2 FROM items ORDER BY id") == [("Lamp", 1), ("In flight", 0)]


async def create_until_gone(server: LiveServer, person: Account, made: dict[int, str], name: str) -> None:
    """Put things up for sale one after another until there is nobody to take them."""
    async with server.client(person.token) as client:
        for number in range(100_000):
            title = f"{name}, {number}"
            try:
                response = await client.post("/items/", json={"title": title, "price": 1, "tags": ["load"]})
            except httpx.TransportError:
                return
            assert response.status_code == 201, response.text
            made[response.json()["id"]] = title


@pytest.mark.parametrize(
    ("engine", "workers", "number"),
    [("sqlite", 2, signal.SIGTERM), ("postgresql", 1, signal.SIGINT)],
    ids=["sqlite, two processes, SIGTERM", "postgresql, one process, SIGINT"],
)
async def test_a_stop_under_load_loses_nothing_that_was_acknowledged(
    tmp_path: Path, postgres: PostgresServer, engine: str, workers: int, number: signal.Signals
) -> None:
    url = None if engine == "sqlite" else await postgres.create_database("stopped")
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    loop = asyncio.get_running_loop()
    made: dict[int, str] = {}
    with serving(environment(tmp_path, url, TMPDIR=temporary), "--workers", str(workers)) as server:
        await server.ready()
        async with server.client() as client:
            person = await join(client, "busy@example.com")
        async with asyncio.TaskGroup() as group:
            for client_number in range(CLIENTS):
                group.create_task(create_until_gone(server, person, made, f"Client {client_number}"))

            async def busy() -> bool:
                return len(made) > CLIENTS * 4

            await eventually(busy)
            server.send(number)
            told_at = loop.time()
        assert await server.ended() == 0
        assert loop.time() - told_at < GRACE / 2
        assert "Traceback" not in server.output
    # Nothing is left of what the processes shared.
    assert list(temporary.iterdir()) == []

    if url is None:
        stored = dict(rows(tmp_path / "tradepost.db", "SELECT id, title FROM items"))
    else:
        connection = await asyncpg.connect(url)
        stored = {row["id"]: row["title"] for row in await connection.fetch("SELECT id, title FROM items")}
        await connection.close()
    assert {item_id: stored.get(item_id) for item_id in made} == made


async def test_workers_end_when_the_process_that_started_them_is_killed(tmp_path: Path) -> None:
    with serving(environment(tmp_path), "--workers", "2") as server:
        await server.ready()
        group = server.pid
        try:
            os.kill(group, signal.SIGKILL)

            async def all_gone() -> bool:
                try:
                    os.killpg(group, 0)
                except ProcessLookupError:
                    return True
                return False

            await eventually(all_gone)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(group, signal.SIGKILL)


async def test_a_client_that_never_finishes_cannot_keep_it_from_ending(stalled: Stalled) -> None:
    status, took = await stalled.ending
    assert status == 0
    assert GRACE * 0.9 < took < GRACE + LEEWAY
    assert rows(stalled.path, "SELECT views FROM items") == [(2,)]
    assert rows(stalled.path, "SELECT count(*) FROM users") == [(2,)]


async def test_a_worker_that_is_stopped_cannot_keep_the_others_from_ending(
    stopped: "asyncio.Task[tuple[int, float]]",
) -> None:
    status, took = await stopped
    assert status == 0
    # What is documented is 30.
    assert main.END_SECONDS < took < 30
