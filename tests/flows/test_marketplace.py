"""A day at the market, on a server of two processes and a database that was empty when they started."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
from prometheus_client.parser import text_string_to_metric_families

from tests.conftest import ENGINES
from tests.flows.live import (
    Account,
    LiveServer,
    Worker,
    environment,
    eventually,
    join,
    log_in,
    serving,
    tradepost,
    workers_of,
)
from tests.servers import PostgresServer

ADMIN = "admin@example.com"
ADMIN_PASSWORD = "changethis"
LAG = 1.0
"""Seconds by which another process's total of the public list may be behind."""


@dataclass
class Market:
    """A server and the two processes of it."""

    server: LiveServer
    workers: list[Worker]


@pytest_asyncio.fixture(scope="module", params=ENGINES)
async def market(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, postgres: PostgresServer
) -> AsyncIterator[Market]:
    """A server of two processes, on each engine."""
    directory = tmp_path_factory.mktemp("market")
    url = None if request.param == "sqlite" else await postgres.create_database("market")
    with serving(environment(directory, url), "--workers", "2") as server:
        await server.ready()
        async with workers_of(server, 2) as workers:
            yield Market(server, workers)


@pytest_asyncio.fixture
async def stranger(market: Market) -> AsyncIterator[httpx.AsyncClient]:
    async with market.server.client() as client:
        yield client


def thing(title: str, **values: Any) -> dict[str, Any]:
    return {"title": title, "price": 10} | values


async def test_a_day_at_the_market(market: Market, stranger: httpx.AsyncClient) -> None:
    ada, eve = await join(stranger, "ada@example.com"), await join(stranger, "eve@example.com")
    root = await log_in(stranger, ADMIN, ADMIN_PASSWORD)
    async with AsyncExitStack() as stack:
        as_ada, as_eve, as_admin = [
            await stack.enter_async_context(market.server.client(token))
            for token in (ada.token, eve.token, root["access_token"])
        ]

        # Ada puts seven things up for sale, one of them only half done yet.
        made = []
        for number in range(1, 7):
            new = thing(f"Cog {number}", price=number * 10, tax=20, tags=["brass", f"size {number % 2}"])
            response = await as_ada.post("/items/", json=new)
            assert response.status_code == 201
            made.append(response.json())
        assert [item["total_price"] for item in made] == [12, 24, 36, 48, 60, 72]
        draft = (await as_ada.post("/items/", json=thing("Sketch", status="draft"))).json()

        # Everybody finds them, by filters that combine, page by page; nobody else finds the draft.
        first = (await stranger.get("/items/", params={"tag": "brass", "sort": "-price", "limit": 4})).json()
        assert [item["title"] for item in first["items"]] == ["Cog 6", "Cog 5", "Cog 4", "Cog 3"]
        assert (first["total"], first["page"], first["size"], first["pages"]) == (6, 1, 4, 2)
        second = (await stranger.get("/items/?tag=brass&sort=-price&limit=4&skip=4")).json()
        assert [item["title"] for item in second["items"]] == ["Cog 2", "Cog 1"]
        wanted = "tag=brass&tag=Size+1&min_price=20&max_price=50&q=cOG"
        found = (await stranger.get(f"/items/?{wanted}")).json()
        assert {item["title"] for item in found["items"]} == {"Cog 3", "Cog 5"}
        assert found["items"][0]["owner"]["full_name"] == "Ada Tester"
        assert (await stranger.get("/items/search/", params={"q": "sketch"})).json() == []
        for client, status in ((stranger, 404), (as_eve, 404), (as_ada, 200), (as_admin, 200)):
            assert (await client.get(f"/items/{draft['id']}")).status_code == status

        # She marks one down; the change is there for the next who looks.
        cog = made[0]
        changed = await as_ada.patch(f"/items/{cog['id']}", json={"discount_price": 5})
        assert (changed.status_code, changed.json()["total_price"], changed.json()["version"]) == (200, 6, 2)
        assert (await stranger.get(f"/items/{cog['id']}")).json()["discount_price"] == 5

        # What is hers stays hers.
        for attempt in (
            await as_eve.patch(f"/items/{cog['id']}", json={"price": 1}),
            await as_eve.put(f"/items/{cog['id']}", json={"title": "Mine"}),
            await as_eve.delete(f"/items/{cog['id']}"),
        ):
            assert (attempt.status_code, attempt.json()["detail"]) == (403, "Not enough permissions")
        refused = await as_eve.get("/users/")
        assert (refused.status_code, refused.json()["detail"]) == (403, "Insufficient permissions")
        assert (await stranger.post("/items/", json=thing("Nobody's"))).status_code == 401

        # Admins may change and delete what is others', and make a moderator, who from then on may delete too.
        assert (await as_admin.patch(f"/items/{cog['id']}", json={"price": 11})).status_code == 200
        assert (await as_admin.put(f"/users/{eve.id}", json={"role": "moderator"})).status_code == 200
        deleted = await as_eve.delete(f"/items/{cog['id']}")
        assert (deleted.status_code, deleted.json()) == (200, {"message": "Item deleted successfully"})
        assert (await as_eve.patch(f"/items/{made[1]['id']}", json={"price": 1})).status_code == 403

        # What is deleted is gone, in every way to look for it.
        gone = await stranger.get(f"/items/{cog['id']}")
        assert (gone.status_code, gone.json()["error_code"]) == (404, "ITEM_NOT_FOUND")
        left = (await stranger.get("/items/", params={"tag": "brass"})).json()
        assert (left["total"], cog["id"] in [item["id"] for item in left["items"]]) == (5, False)
        mine = await as_ada.get("/items/user/me", params={"limit": 3})
        assert (mine.headers["X-Total-Count"], len(mine.json())) == ("6", 3)
        assert 'rel="next"' in mine.headers["Link"]

        # And with a person goes everything of theirs.
        assert (await as_admin.delete(f"/users/{ada.id}")).status_code == 200
        assert (await as_ada.get("/users/me")).status_code == 401
        assert (await stranger.get("/items/", params={"tag": "brass"})).json()["total"] == 0
        assert (await stranger.get(f"/items/{made[1]['id']}")).status_code == 404
        again = await join(stranger, ada.email)
        assert again.id > ada.id


async def test_processes_that_start_on_an_empty_database_make_one_admin(market: Market) -> None:
    async with market.server.client() as client:
        tokens = await log_in(client, ADMIN, ADMIN_PASSWORD)
    people = await everybody(market.server, tokens["access_token"])
    assert [user["email"] for user in people if user["role"] == "admin"] == [ADMIN]


async def everybody(server: LiveServer, token: str) -> list[dict[str, Any]]:
    async with server.client(token) as client:
        page = (await client.get("/users/")).json()
    assert page["total"] == len(page["users"])
    users: list[dict[str, Any]] = page["users"]
    return users


async def test_a_session_is_the_same_to_every_process(market: Market, stranger: httpx.AsyncClient) -> None:
    one, other = market.workers
    person = await join(stranger, "wanderer@example.com")

    # Nobody set a SECRET_KEY: the processes found one and the same.
    for worker in market.workers:
        assert (await worker.request("GET", "users/me", token=person.token)).status_code == 200
    rotated = await one.request("POST", "auth/refresh-token", json={"refresh_token": person.refresh_token})
    assert rotated.status_code == 200
    onwards = await other.request(
        "POST", "auth/refresh-token", json={"refresh_token": rotated.json()["refresh_token"]}
    )
    assert onwards.status_code == 200

    second = Account(person.id, person.email, **await tokens_of(stranger, person))
    assert (await one.request("POST", "auth/logout", token=person.token)).status_code == 200
    for worker in market.workers:
        assert (await worker.request("GET", "users/me", token=person.token)).status_code == 401
        assert (await worker.request("GET", "users/me", token=second.token)).status_code == 200
    copied = {"refresh_token": onwards.json()["refresh_token"]}
    assert (await other.request("POST", "auth/refresh-token", json=copied)).status_code == 401

    assert (await other.request("POST", "auth/logout-all", token=second.token)).status_code == 200
    assert (await one.request("GET", "users/me", token=second.token)).status_code == 401


async def tokens_of(client: httpx.AsyncClient, account: Account) -> dict[str, str]:
    tokens = await log_in(client, account.email)
    return {"token": tokens["access_token"], "refresh_token": tokens["refresh_token"]}


async def test_what_one_process_writes_the_other_shows(market: Market, stranger: httpx.AsyncClient) -> None:
    one, other = market.workers
    person = await join(stranger, "maker@example.com")
    before = [(await worker.request("GET", "items/")).json()["total"] for worker in market.workers]
    made = await one.request("POST", "items/", token=person.token, json=thing("Lamp", tags=["light"]))
    address = f"items/{made.json()['id']}"

    # At once, but for the one number that may lag.
    assert (await other.request("GET", address)).json()["title"] == "Lamp"
    assert (await other.request("GET", "items/?tag=light")).json()["total"] == 1
    await asyncio.sleep(LAG)
    assert [(await worker.request("GET", "items/")).json()["total"] for worker in market.workers] == [
        total + 1 for total in before
    ]

    # Two processes count views of the same item; the one above counts too.
    for worker, times in ((one, 3), (other, 4)):
        for _ in range(times):
            await worker.request("GET", address)

    async def all_counted() -> bool:
        mine = await other.request("GET", "items/user/me", token=person.token)
        return bool(mine.json()[0]["views"] == 8)

    await eventually(all_counted)
    assert (await other.request("DELETE", address, token=person.token)).status_code == 200
    assert (await one.request("GET", address)).status_code == 404


async def counted(worker: Worker, name: str, **labels: str) -> float:
    """Return a number from the metrics, as this worker tells it."""
    text = (await worker.request("GET", "/metrics")).text
    return sum(
        sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    )


async def test_metrics_add_up_over_the_processes(market: Market) -> None:
    one, other = market.workers
    name, labels = "tradepost_http_requests_total", {"route": "/api/v1/items/{item_id}", "status": "404"}
    before = await counted(one, name, **labels)
    for worker, times in ((one, 3), (other, 4)):
        for _ in range(times):
            assert (await worker.request("GET", "items/987654321")).status_code == 404

    async def all_told() -> bool:
        return all([await counted(worker, name, **labels) == before + 7 for worker in market.workers])

    # What the other one has answered is there within a moment.
    await eventually(all_told)
    # Both processes are in the gauges as well.
    for worker in market.workers:
        assert await counted(worker, "tradepost_worker_resident_memory_bytes") > 2 * 20e6


@pytest.mark.parametrize("engine", ENGINES)
async def test_replicas_that_start_at_once_migrate_once_and_make_one_admin(
    engine: str, tmp_path: Path, postgres: PostgresServer
) -> None:
    url = None if engine == "sqlite" else await postgres.create_database("replicas")
    env = environment(tmp_path, url)
    with serving(env) as one, serving(env) as other:
        migration = await tradepost("migrate", env=env)
        await asyncio.gather(one.ready(), other.ready())
        assert migration.status == 0, migration.output
        assert migration.output.startswith(("Migrated to ", "At ")), migration.output
        async with one.client() as client:
            root = await log_in(client, ADMIN, ADMIN_PASSWORD)
        # The other replica takes the token: the key is one as well.
        people = await everybody(other, root["access_token"])
        assert [(user["email"], user["role"], user["full_name"]) for user in people] == [
            (ADMIN, "admin", "Admin User")
        ]
        assert "Traceback" not in one.output + other.output
