"""A server behind Tradepost that hangs: each request is answered by its deadline, nothing is used up, and the end comes."""

import asyncio
import signal
import socket
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio

from tests.faults.freezing import frozen
from tests.faults.stoppable import StoppablePostgres, stoppable_postgres
from tests.flows.live import Account, LiveServer, environment, join, serving
from tests.media.gallery import drawing, file_of
from tests.servers import RedisServer, S3Server

TIMEOUT = 3.0
LATE = 3.0
"""Seconds past the deadline within which a busy machine must have answered."""
BACK = 10.0
"""Seconds after which all is well when the server goes on."""
END = 30.0


@pytest.fixture(scope="module")
def postgres() -> Iterator[StoppablePostgres]:  # in place of the one that other tests depend on
    with stoppable_postgres() as server:
        server.start()
        yield server


def lifeline_of(server: StoppablePostgres | RedisServer) -> int:
    assert server._lifeline is not None
    return server._lifeline.pid


async def answered(call: Any) -> httpx.Response:
    """Await an answer, which comes by the deadline, whatever it is."""
    began = time.monotonic()
    response: httpx.Response = await call
    assert time.monotonic() - began < TIMEOUT + LATE, response.text
    return response


def refuses(response: httpx.Response) -> bool:
    return (
        response.status_code in {503, 504}
        and response.headers["Content-Type"] == "application/problem+json"
        and response.json()["error_code"] in {"HTTP_503", "DATABASE_ERROR", "DEADLINE_EXCEEDED"}
    )


async def well(client: httpx.AsyncClient, *calls: tuple[str, str, dict[str, Any]]) -> None:
    """See that all is well again in time, and stays so."""
    until = time.monotonic() + BACK
    while True:
        answers = [await client.request(method, path, **given) for method, path, given in calls]
        if all(answer.is_success for answer in answers):
            break
        assert time.monotonic() < until, [answer.text for answer in answers]
        await asyncio.sleep(0.1)
    for _ in range(5):
        for method, path, given in calls:
            answer = await client.request(method, path, **given)
            assert answer.is_success, answer.text


CALLS: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("GET", "/items/", {}),
    ("GET", "/items/", {"params": {"tag": "lamp", "q": "lamp"}}),
    ("GET", "/items/search/", {"params": {"q": "lamp"}}),
    ("GET", "/users/me", {}),
    ("GET", "/tags/", {}),
    ("POST", "/items/", {"json": {"title": "Lamp", "price": 1, "tags": ["lamp"]}}),
    ("PUT", "/users/me", {"json": {"first_name": "Grace"}}),
    ("POST", "/auth/login", {"data": {"username": "grace@example.com", "password": "Tradepost1"}}),
)


@pytest_asyncio.fixture(scope="module")
async def server(
    postgres: StoppablePostgres, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[LiveServer]:
    url = await postgres.create_database("frozen")
    with serving(environment(tmp_path_factory.mktemp("frozen"), url, REQUEST_TIMEOUT=TIMEOUT)) as server:
        await server.ready()
        yield server
        assert "INTERNAL_ERROR" not in server.output


@pytest_asyncio.fixture(scope="module")
async def person(server: LiveServer) -> Account:
    async with server.client() as client:
        return await join(client, "grace@example.com")


async def test_a_database_that_hangs(
    postgres: StoppablePostgres, server: LiveServer, person: Account
) -> None:
    async with server.client(person.token) as client:
        await well(client, *CALLS)
        with frozen(lifeline_of(postgres)) as freezer:
            for _ in range(3):
                answers = await asyncio.gather(
                    *(answered(client.request(method, path, **given)) for method, path, given in CALLS * 4)
                )
                assert all(map(refuses, answers)), [answer.text for answer in answers if not refuses(answer)]
                # What needs no database is as it always is.
                assert (await client.get(f"{server.url}/livez")).status_code == 200
                assert (await client.get(f"{server.url}/metrics")).status_code == 200
            freezer.thaw()
            await well(client, *CALLS)
            metrics = (await client.get(f"{server.url}/metrics")).text
            assert "tradepost_database_pool_waiting 0.0" in metrics


async def test_the_end_comes_while_the_database_hangs(postgres: StoppablePostgres, tmp_path: Path) -> None:
    url = await postgres.create_database("ending")
    with serving(environment(tmp_path, url, REQUEST_TIMEOUT=TIMEOUT)) as server:
        await server.ready()
        async with server.client() as stranger:
            person = await join(stranger, "grace@example.com")
        async with server.client(person.token) as client:
            await well(client, *CALLS)
            with frozen(lifeline_of(postgres)):
                under_way = [
                    asyncio.create_task(client.request(method, path, **given))
                    for method, path, given in CALLS * 2
                ]
                await asyncio.sleep(0.5)
                server.send(signal.SIGTERM)
                assert await server.ended(END) == 0
                for answer in await asyncio.gather(*under_way, return_exceptions=True):
                    # The last were perhaps not taken in any more.
                    assert isinstance(answer, httpx.TransportError) or refuses(answer)  # type: ignore[arg-type]


async def test_redis_that_hangs(tmp_path: Path) -> None:
    with RedisServer.running() as redis:
        env = environment(
            tmp_path,
            REQUEST_TIMEOUT=TIMEOUT,
            REDIS_URL=redis.url,
            RATE_LIMIT_ENABLED="true",
            RATE_LIMIT_DEFAULT="10000/60s",
        )
        with serving(env) as server:
            await server.ready()
            async with server.client() as stranger:
                person = await join(stranger, "grace@example.com")
            async with server.client(person.token) as client:
                calls = CALLS[:-1]
                await well(client, *calls)
                with frozen(lifeline_of(redis)) as freezer:
                    for _ in range(2):
                        answers = await asyncio.gather(
                            *(
                                answered(client.request(method, path, **given))
                                for method, path, given in calls
                            )
                        )
                        # Slower, and never wrong.
                        assert all(answer.is_success for answer in answers)
                    freezer.thaw()
                    await well(client, *calls)
                with frozen(lifeline_of(redis)):
                    server.send(signal.SIGTERM)
                    assert await server.ended(END) == 0


async def test_storage_that_hangs(tmp_path: Path, s3: S3Server) -> None:
    lifeline = s3.lifeline
    env = environment(tmp_path, REQUEST_TIMEOUT=TIMEOUT, **s3.create_bucket("frozen"))
    with serving(env) as server:
        await server.ready()
        async with server.client() as stranger:
            person = await join(stranger, "grace@example.com")
        async with server.client(person.token) as client:
            item = (await client.post("/items/", json={"title": "Lamp", "price": 1})).json()["id"]
            upload = {"files": {"files": ("lamp.jpg", file_of(drawing(), "JPEG"), "image/jpeg")}}
            sent = await client.post(f"/upload/items/{item}/images/", **upload)  # type: ignore[arg-type]
            assert sent.status_code == 200, sent.text
            url = sent.json()["uploaded_files"][0]["url"]
            assert (await client.get(server.url + url)).status_code == 200
            with frozen(lifeline) as freezer:
                reads = [answered(client.get(server.url + url)) for _ in range(10)]
                variants = [answered(client.get(f"{server.url}{url}?w={width}")) for width in (64, 128)]
                others = [answered(client.get("/items/")) for _ in range(5)]
                answers = await asyncio.gather(*reads, *variants, *others)
                assert all(map(refuses, answers[:12])), [answer.status_code for answer in answers]
                assert all(answer.status_code == 200 for answer in answers[12:])
                freezer.thaw()
                await well(client, ("GET", server.url + url, {}), ("GET", f"{server.url}{url}?w=64", {}))
            with frozen(lifeline):
                storing = asyncio.create_task(client.post(f"/upload/items/{item}/images/", **upload))  # type: ignore[arg-type]
                await asyncio.sleep(1)
                server.send(signal.SIGTERM)
                assert await server.ended(END) == 0
                with suppress(httpx.TransportError):
                    assert refuses(await storing)


async def test_mail_that_hangs(tmp_path: Path) -> None:
    # As of a process that is stopped: the system takes connections, and nobody says a word.
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        env = environment(
            tmp_path,
            REQUEST_TIMEOUT=TIMEOUT,
            SMTP_HOST="127.0.0.1",
            SMTP_PORT=port,
            SMTP_TLS="false",
            EMAILS_FROM_EMAIL="shop@example.com",
        )
        with serving(env) as server:
            await server.ready()
            async with server.client() as client:
                for number in range(5):
                    await join(client, f"grace{number}@example.com")
                sent = {"email": "grace0@example.com"}
                answers = [await answered(client.post("/auth/password/forgot", json=sent)) for _ in range(3)]
                assert {answer.status_code for answer in answers} == {202}
                await asyncio.sleep(1)
                await well(client, *CALLS[:3])
            server.send(signal.SIGTERM)
            assert await server.ended(END) == 0
