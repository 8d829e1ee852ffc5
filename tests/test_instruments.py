"""What is shown of a process: what it depends on, what it counted, what it is, and that its end is no fault."""

import asyncio
import re
from typing import Any

import httpx
import pytest

from tests.conftest import Person, World
from tests.flows.live import eventually
from tests.uploading import png, show
from tradepost.core.database import revisions
from tradepost.core.messaging.dispatcher import Dispatcher
from tradepost.core.observability.tallies import TALLIES
from tradepost.core.settings.settings import Settings
from tradepost.items.popular import PopularItems


async def shown(client: httpx.AsyncClient) -> dict[str, float]:
    text = (await client.get("/metrics")).text
    return {name: float(value) for name, value in re.findall(r"^(tradepost_\S+) (\S+)$", text, re.MULTILINE)}


async def test_what_it_is_and_what_it_stands_on(client: httpx.AsyncClient) -> None:
    assert (await client.get("/readyz")).status_code == 200
    numbers = await shown(client)
    revision = int(revisions.head() or 0)
    assert numbers["tradepost_schema_revision"] == revision == numbers["tradepost_schema_revision_wanted"]
    assert numbers['tradepost_dependency_up{dependency="database"}'] == 1
    assert numbers['tradepost_dependency_up{dependency="storage"}'] == 1
    assert numbers["tradepost_draining"] == 0
    (build,) = [name for name in numbers if name.startswith("tradepost_build_info")]
    assert f'version="{Settings.load().VERSION}"' in build
    assert f'schema="{revisions.head()}"' in build


async def test_a_schema_that_does_not_suit_is_told_with_what_helps(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def detail(status: int) -> str:
        answer = await client.get("/readyz")
        assert answer.status_code == status
        return str(answer.json()["checks"]["database"]["detail"])

    async def at(revision: str) -> None:
        async def current(_database: Any) -> str:
            return revision

        monkeypatch.setattr(revisions, "current", current)

    await at("0001")
    assert "tradepost migrate" in await detail(503)
    await at("9999")
    assert "a newer version has migrated" in await detail(200)


async def test_caches_and_uploads(client: httpx.AsyncClient, world: World, alice: Person) -> None:
    world.resources[PopularItems].forget_all()
    before = await shown(client)
    for _ in range(3):
        await client.get("/api/v1/items/popular")
    picture = png()
    await show(alice, picture)
    after = await shown(client)

    def more(name: str) -> float:
        return after[name] - before.get(name, 0)

    assert more('tradepost_cache_reads_total{cache="popular",outcome="miss"}') == 1
    assert more('tradepost_cache_reads_total{cache="popular",outcome="hit"}') == 2
    assert more("tradepost_uploaded_bytes_total") == len(picture)


async def test_runs_of_recurring_jobs(client: httpx.AsyncClient, world: World) -> None:
    # Whichever is due first.
    def done(numbers: dict[str, float]) -> float:
        runs = (name for name in numbers if name.startswith("tradepost_job_runs_total"))
        return sum(numbers[name] for name in runs if 'outcome="done"' in name)

    before = await shown(client)
    dispatching = asyncio.create_task(world.resources[Dispatcher].run())

    async def one_more() -> bool:
        return done(await shown(client)) > done(before)

    await eventually(one_more)
    dispatching.cancel()
    await asyncio.gather(dispatching, return_exceptions=True)
    assert any(name.startswith("tradepost_job_seconds_total{job=") for name in await shown(client))


async def test_counts_are_never_named_twice() -> None:
    assert len({tally.name for tally in TALLIES}) == len(TALLIES)
