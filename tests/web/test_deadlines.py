"""Requests whose time is up: 503 when nothing was begun, 504 afterwards, at that moment, whatever they wait for."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
import pytest_asyncio
from sqlalchemy import text

from tests.conftest import Person, World, world_on
from tests.flows.live import API, eventually
from tradepost.accounts.passwords import PasswordHasher

TIMEOUT = 3.0
LATE = 10.0
"""Seconds within which an answer must be there, on a busy machine."""
ADA = {"email": "ada@example.com", "password": "Tradepost1", "first_name": "Ada", "last_name": "Tester"}


@pytest_asyncio.fixture(scope="module")
async def module_world(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    """An application whose requests have little time."""
    async with world_on(database_url, tmp_path_factory.mktemp("data"), REQUEST_TIMEOUT=TIMEOUT) as world:
        yield world


async def timed(call: Any) -> tuple[httpx.Response, float]:
    loop = asyncio.get_running_loop()
    began = loop.time()
    # In a task of its own, as every request has one.
    response: httpx.Response = await asyncio.create_task(call)
    return response, loop.time() - began


def is_problem(response: httpx.Response, status: int, code: str) -> bool:
    return (
        (response.status_code, response.json()["error_code"]) == (status, code)
        and response.headers["Content-Type"] == "application/problem+json"
        and response.json()["request_id"] == response.headers["X-Request-ID"]
    )


@asynccontextmanager
async def held_up(world: World) -> AsyncIterator[None]:
    """Let nobody write: on PostgreSQL statements wait for a table, on SQLite transactions for the only writer."""
    async with world.database.transaction() as db:
        if world.engine == "postgresql":
            await db.execute(text("LOCK TABLE users IN EXCLUSIVE MODE"))
        yield


async def test_who_waits_for_the_turn_of_another_is_told_in_time(
    world: World, client: httpx.AsyncClient
) -> None:
    async with held_up(world):
        answer, took = await timed(client.post(f"{API}/auth/register", json=ADA))
        assert TIMEOUT * 0.9 < took < LATE
        if world.engine == "postgresql":
            assert is_problem(answer, 504, "DEADLINE_EXCEEDED")
        else:
            assert is_problem(answer, 503, "HTTP_503")
            assert int(answer.headers["Retry-After"]) >= 1
        # An earlier end is the client's to choose; a later one is not.
        for asked, least, most in (("0.2", 0.1, TIMEOUT), ("3600", TIMEOUT * 0.9, LATE)):
            answer, took = await timed(
                client.post(f"{API}/auth/register", json=ADA, headers={"Request-Timeout": asked})
            )
            assert answer.status_code in {503, 504}
            assert least < took < most
    # Nothing of it is left.
    assert (await client.post(f"{API}/auth/register", json=ADA)).status_code == 200


async def test_a_statement_that_runs_is_ended(world: World, client: httpx.AsyncClient) -> None:
    if world.engine == "sqlite":
        pytest.skip("nothing keeps a reader of SQLite waiting")
    async with world.database.transaction() as db:
        await db.execute(text("LOCK TABLE tags IN ACCESS EXCLUSIVE MODE"))
        answers = await asyncio.gather(*(client.get(f"{API}/tags/", params={"q": str(n)}) for n in range(5)))
        # The others wait for the lane, which is at the first ones.
        assert any(is_problem(answer, 504, "DEADLINE_EXCEEDED") for answer in answers)
        assert {answer.status_code for answer in answers} <= {503, 504}
        waiting = text("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'")

        async def none_waits() -> bool:
            await db.execute(text("SELECT pg_stat_clear_snapshot()"))
            return not await db.scalar(waiting)

        await eventually(none_waits)
    assert (await client.get(f"{API}/tags/")).status_code == 200


async def test_who_waits_for_a_hash_is_told_that_nothing_was_begun(
    world: World, client: httpx.AsyncClient
) -> None:
    hasher = world.resources[PasswordHasher]
    # As many as may wait at once take more time than a request has.
    busy = [asyncio.create_task(hasher.verify(None, "x")) for _ in range(60)]
    await asyncio.sleep(0)
    answer, took = await timed(
        client.post(f"{API}/auth/register", json=ADA, headers={"Request-Timeout": "0.1"})
    )
    assert is_problem(answer, 503, "HTTP_503")
    assert took < LATE
    for one in busy:
        one.cancel()
    await asyncio.gather(*busy, return_exceptions=True)
    assert (await client.post(f"{API}/auth/register", json=ADA)).status_code == 200


@pytest.mark.parametrize(
    "value", ["", "soon", "-1", "0", "0.0", "1e", "1e999", "1,5", "٣", "1s", "0x10", "nan", "inf"]
)
async def test_a_malformed_time_is_refused(client: httpx.AsyncClient, value: str) -> None:
    sent = {b"Request-Timeout": value.encode()}
    answer = await client.get(f"{API}/tags/", headers=sent)
    assert is_problem(answer, 400, "HTTP_400")
    assert "Request-Timeout" in answer.json()["detail"]


@pytest.mark.parametrize(
    "value", ["1", "0.5", " 10 ", "10.300000000000000711", "999999999", "1e3", "2.5E+01"]
)
async def test_a_time_that_suffices_changes_nothing(client: httpx.AsyncClient, value: str) -> None:
    answer = await client.get(f"{API}/tags/", headers={"Request-Timeout": value})
    assert answer.status_code == 200


async def test_long_work_has_no_end_as_a_whole(alice: Person) -> None:
    async def lines() -> AsyncIterator[bytes]:
        for number in range(6):
            await asyncio.sleep(TIMEOUT / 3)
            yield f'{{"title": "Lamp {number}", "price": 1}}\n'.encode()

    headers = {"Content-Type": "application/x-ndjson"}
    answer, took = await timed(alice.api.post(f"{API}/items/bulk", content=lines(), headers=headers))
    assert took > TIMEOUT * 1.5
    assert answer.status_code == 200
    assert answer.text.splitlines()[-1] == '{"created":6,"failed":0}'


async def test_a_body_that_does_not_come_is_not_waited_for(world: World) -> None:
    async def never() -> AsyncIterator[bytes]:
        yield b'{"email":'
        await asyncio.sleep(3600)

    async with world.caller() as client:
        answer, took = await timed(
            client.post(f"{API}/auth/register", content=never(), headers={"Content-Type": "application/json"})
        )
    assert is_problem(answer, 503, "HTTP_503")
    assert answer.headers["Connection"] == "close"
    assert took < LATE
