"""A standby that answers strangers: a little late at most, and the primary in its place as soon as it is too late or away."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest_asyncio
from prometheus_client.parser import text_string_to_metric_families

from tests.faults.stoppable import StoppablePostgres, stoppable_postgres
from tests.flows.live import LiveServer, environment, eventually, join, serving
from tradepost.core.database.replica import MOST_LAG

DETAIL = "the primary answers instead"


@dataclass
class Pair:
    """A primary, its standby, and a server on both; ``seller`` is logged in."""

    primary: StoppablePostgres
    standby: StoppablePostgres
    server: LiveServer
    seller: httpx.AsyncClient
    stranger: httpx.AsyncClient

    async def replica(self) -> tuple[str, str | None]:
        """Return how the standby is, as ``/readyz`` has it, which says that requests are welcome all the time."""
        report = (await self.server.answers("/readyz")).json()
        check = report["checks"]["replica"]
        return check["status"], check["detail"]

    async def becomes(self, status: str) -> None:
        async def it_is() -> bool:
            return (await self.replica())[0] == status

        await eventually(it_is)

    async def reads(self, outcome: str) -> float:
        metrics = (await self.stranger.get(f"{self.server.url}/metrics")).text
        for family in text_string_to_metric_families(metrics):
            if family.name == "tradepost_replica_reads":
                return sum(one.value for one in family.samples if one.labels.get("outcome") == outcome)
        return 0

    async def sell(self, title: str) -> int:
        made = await self.seller.post("/items/", json={"title": title, "price": 1})
        assert made.status_code == 201, made.text
        return int(made.json()["id"])

    async def seen_by(self, client: httpx.AsyncClient, title: str) -> list[bool]:
        """Tell whether list, list by words, search and export show an item."""
        answers = (
            await client.get("/items/", params={"limit": 100}),
            await client.get("/items/", params={"q": title, "limit": 100}),
            await client.get("/items/search/", params={"q": title}),
            await client.get("/items/export"),
        )
        assert [answer.status_code for answer in answers] == [200] * 4
        return [f'"title":"{title}"' in answer.text for answer in answers]


@pytest_asyncio.fixture
async def pair(tmp_path: Path) -> AsyncIterator[Pair]:
    with stoppable_postgres() as primary, stoppable_postgres(initialised=False) as standby:
        await asyncio.to_thread(primary.start)
        await primary.create_database("shop")
        await asyncio.to_thread(primary.copy_to, standby)
        await asyncio.to_thread(standby.start)
        env = environment(tmp_path, primary.url("shop"), DATABASE_REPLICA_URL=standby.url("shop"))
        with serving(env) as server:
            await server.ready()
            async with people(server) as (seller, stranger):
                yield Pair(primary, standby, server, seller, stranger)
            assert "INTERNAL_ERROR" not in server.output


@asynccontextmanager
async def people(server: LiveServer) -> AsyncIterator[tuple[httpx.AsyncClient, httpx.AsyncClient]]:
    async with server.client() as stranger:
        account = await join(stranger, "ada@example.com")
        async with server.client(account.token) as seller:
            yield seller, stranger


async def test_strangers_are_answered_by_the_standby_and_never_much_too_late(pair: Pair) -> None:
    await pair.sell("Lamp")
    await pair.becomes("ok")

    async def shown() -> bool:
        return await pair.seen_by(pair.stranger, "Lamp") == [True] * 4

    await eventually(shown)
    before = await pair.reads("answered")
    await pair.seen_by(pair.stranger, "Lamp")
    assert await pair.reads("answered") == before + 4

    # What somebody has just written they see themselves, however far behind the standby is.
    await pair.standby.ask("SELECT pg_wal_replay_pause()")
    item = await pair.sell("Vase")
    assert await pair.seen_by(pair.seller, "Vase") == [True] * 4
    assert (await pair.stranger.get(f"/items/{item}")).status_code == 200
    asked = await pair.reads("answered")
    seen = await pair.seen_by(pair.stranger, "Vase")
    if await pair.reads("answered") == asked + 4:  # on a very slow machine it is too far behind by now
        assert seen == [False] * 4

    # Too far behind, it is not asked any more: the primary answers, and the server is as ready as ever.
    await pair.becomes("failed")
    status, detail = await pair.replica()
    assert (status, detail) == ("failed", f"{DETAIL}: it is more than {MOST_LAG:.0f} seconds behind")
    assert await pair.seen_by(pair.stranger, "Vase") == [True] * 4
    await pair.standby.ask("SELECT pg_wal_replay_resume()")
    await pair.becomes("ok")


async def test_a_standby_that_goes_away_costs_nobody_an_answer(pair: Pair) -> None:
    await pair.sell("Lamp")
    await pair.becomes("ok")
    await asyncio.to_thread(pair.standby.stop)
    for _ in range(10):
        assert await pair.seen_by(pair.stranger, "Lamp") == [True] * 4
    await pair.becomes("failed")
    # Promoted, it is another database: what it says is nobody's truth here.
    await asyncio.to_thread(pair.standby.start)
    await pair.becomes("ok")
    await pair.standby.ask("SELECT pg_promote()")
    await pair.becomes("failed")
    assert (await pair.replica())[1] == f"{DETAIL}: it is no standby"
    await pair.sell("Vase")
    assert await pair.seen_by(pair.stranger, "Vase") == [True] * 4
