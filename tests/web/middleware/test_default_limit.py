"""The limit that all routes share: who counts on what, and what every counted answer says."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from itertools import chain
from typing import Any

import httpx
import pytest
import pytest_asyncio

from tests.conftest import Person, World, world_on
from tests.flows.live import Worker, environment, serving, workers_of
from tests.servers import RedisServer

API = "/api/v1"
ITEMS = f"{API}/items/"


@pytest_asyncio.fixture(scope="module")
async def module_world(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    """The module's application: five requests a minute."""
    limits = {"RATE_LIMIT_ENABLED": True, "RATE_LIMIT_DEFAULT": "5/60s", "RATE_LIMIT_LOGIN": "100/60s"}
    async with world_on(database_url, tmp_path_factory.mktemp("data"), **limits) as world:
        yield world


@pytest.fixture(autouse=True)
def _time_passes(world: World) -> None:
    """Let every bucket run empty before the test, that of the address above all."""
    world.clock.move(120)


async def statuses(client: httpx.AsyncClient, path: str = ITEMS, number: int = 6) -> list[int]:
    return [(await client.get(path)).status_code for _ in range(number)]


def stands(answer: httpx.Response) -> tuple[str, str]:
    return answer.headers["ratelimit-policy"], answer.headers["ratelimit"]


async def test_a_stranger_counts_on_the_address(client: httpx.AsyncClient) -> None:
    answers = [await client.get(ITEMS) for _ in range(6)]
    assert [answer.status_code for answer in answers] == [200] * 5 + [429]
    # No Redis: each process counts for itself, and says so.
    assert {answer.headers["ratelimit-policy"] for answer in answers} == {'"default";q=5;w=60;pp'}
    assert [answer.headers["ratelimit"] for answer in answers] == [
        f'"default";r={left};t={60 - 12 * left}' for left in (4, 3, 2, 1, 0, 0)
    ]
    refused = answers[-1]
    assert refused.headers["retry-after"] == "12"
    assert refused.headers["content-type"] == "application/problem+json"
    assert (refused.json()["error_code"], refused.json()["detail"]) == ("RATE_LIMITED", "Rate limit exceeded")


async def test_every_request_to_the_api_counts(client: httpx.AsyncClient) -> None:
    """Whatever answers it: what is not there, what is malformed, and a method that is not allowed."""
    assert (await client.get(f"{API}/nowhere")).status_code == 404
    assert (await client.post(ITEMS, content=b"{")).status_code in {401, 415, 422}
    assert (await client.put(ITEMS)).status_code == 405
    assert (await client.get(f"{API}/items/x")).status_code == 422
    assert stands(await client.get(f"{API}/openapi.json"))[1].startswith('"default";r=0')
    assert (await client.get(ITEMS)).status_code == 429


@pytest.mark.parametrize("path", ["/", "/health", "/livez", "/readyz", "/metrics", "/docs"])
async def test_probes_metrics_and_pages_do_not_count(client: httpx.AsyncClient, path: str) -> None:
    answers = [await client.get(path) for _ in range(7)]
    assert {answer.status_code for answer in answers} == {200}
    assert not any("ratelimit" in answer.headers for answer in answers)


async def test_a_person_has_one_limit_however_many_tokens(
    world: World, alice: Person, bob: Person, client: httpx.AsyncClient
) -> None:
    signed_in = await client.post(
        f"{API}/auth/login", data={"username": alice.email, "password": alice.password}
    )
    again = world.caller(Authorization=f"Bearer {signed_in.json()['access_token']}")
    async with again:
        assert await statuses(alice.api, number=3) == [200] * 3
        assert await statuses(again, number=3) == [200, 200, 429]
    # Others at the same address are not in the way, nor are strangers.
    assert await statuses(bob.api) == [200] * 5 + [429]
    assert (await client.get(ITEMS)).status_code == 200


async def test_a_304_counts(alice: Person) -> None:
    made = await alice.api.post(ITEMS, json={"title": "Lamp", "price": 1})
    address = f"{ITEMS}{made.json()['id']}"
    tag = (await alice.api.get(address)).headers["etag"]
    answer = await alice.api.get(address, headers={"If-None-Match": tag})
    assert (answer.status_code, stands(answer)[1].partition(";t")[0]) == (304, '"default";r=2')


@pytest.mark.parametrize("credential", ["Bearer x.y.z", "Basic abc", ""])
async def test_a_credential_that_does_not_hold_is_a_strangers(
    world: World, credential: str, client: httpx.AsyncClient
) -> None:
    async with world.caller(Authorization=credential) as liar:
        assert await statuses(liar, f"{API}/users/me") == [401] * 5 + [429]
    assert (await client.get(ITEMS)).status_code == 429


async def new_key(person: Person, **values: Any) -> str:
    made = await person.api.post(f"{API}/auth/api-keys", json={"name": "Robot", **values})
    assert made.status_code == 201, made.text
    key: str = made.json()["key"]
    return key


async def test_a_key_has_its_own(world: World, alice: Person) -> None:
    keys = [await new_key(alice), await new_key(alice, rate_limit="2/60s")]
    async with world.caller(**{"X-API-Key": keys[0]}) as at_the_default:
        answers = [await at_the_default.get(ITEMS) for _ in range(6)]
    assert [answer.status_code for answer in answers] == [200] * 5 + [429]
    assert stands(answers[0]) == ('"key";q=5;w=60;pp', '"key";r=4;t=12')
    async with world.caller(**{"X-API-Key": keys[1]}) as narrower:
        assert await statuses(narrower, number=3) == [200, 200, 429]
    assert (await alice.api.get(ITEMS)).status_code == 200


async def test_a_load_test_lifts_the_limits_of_its_key_alone(
    world: World, admin: Person, client: httpx.AsyncClient
) -> None:
    key = await new_key(admin, load_test=True)
    async with world.caller(**{"X-API-Key": key}) as load:
        answers = [await load.get(ITEMS) for _ in range(20)]
    assert {answer.status_code for answer in answers} == {200}
    assert not any("ratelimit" in answer.headers for answer in answers)
    assert await statuses(client) == [200] * 5 + [429]


async def test_denials_are_counted(client: httpx.AsyncClient) -> None:
    def denied(text: str) -> float:
        lines = [
            line
            for line in text.splitlines()
            if line.startswith('tradepost_rate_limited_total{limit="default"}')
        ]
        return float(lines[0].rpartition(" ")[2]) if lines else 0

    before = denied((await client.get("/metrics")).text)
    await statuses(client, number=8)
    assert denied((await client.get("/metrics")).text) == before + 3


# --- several processes ------------------------------------------------------------------------------------------------


@pytest.fixture
def redis() -> Iterator[RedisServer]:
    with RedisServer.running() as server:
        yield server


async def test_two_workers_with_redis_count_together(
    redis: RedisServer, database_url: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Both the limit of all routes and that of log-ins, which else let each worker's share of wrong passwords through."""
    env = environment(
        tmp_path_factory.mktemp("served"),
        database_url,
        RATE_LIMIT_ENABLED="true",
        RATE_LIMIT_DEFAULT="50/3600s",
        RATE_LIMIT_LOGIN="10/3600s",
        REDIS_URL=redis.url,
    )
    with serving(env, "--workers", "2") as server:
        await server.ready()
        async with workers_of(server, 2) as workers:
            form = {"username": "nobody@example.com", "password": "Wrong1password"}

            async def attempted(worker: Worker) -> list[httpx.Response]:
                return [await worker.request("POST", f"{API}/auth/login", data=form) for _ in range(15)]

            async def read(worker: Worker) -> list[httpx.Response]:
                return [await worker.request("GET", ITEMS) for _ in range(20)]

            attempts = list(chain(*await asyncio.gather(*map(attempted, workers))))
            reads = list(chain(*await asyncio.gather(*map(read, workers))))
    found = [answer.status_code for answer in attempts]
    assert sorted(found) == [401] * 10 + [429] * 20
    assert [answer.status_code for answer in reads].count(200) == 20
    assert {answer.headers["ratelimit-policy"] for answer in reads} == {'"default";q=50;w=3600'}
