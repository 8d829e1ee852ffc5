"""Where the time of a request went: each part is added up where it passes."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence

import httpx
import pytest
import pytest_asyncio
from sqlalchemy import text

from tests.conftest import Person
from tradepost.core.batching.coalescer import Coalescer
from tradepost.core.clock import SystemClock
from tradepost.core.database.engines import Database
from tradepost.core.observability.server_timing import Timing, timing
from tradepost.web.middleware.exchange import SAMPLED


def parts_of(asked: Timing, total: float = 1.0) -> dict[str, float]:
    shown = asked.header(total).decode().split(", ")
    return {name: float(value) for name, _, value in (part.partition(";dur=") for part in shown)}


@pytest_asyncio.fixture
async def asked() -> AsyncIterator[Timing]:
    asked = Timing(SystemClock().monotonic)
    token = timing.set(asked)
    yield asked
    timing.reset(token)


async def test_the_rest_is_for_rendering() -> None:
    asked = Timing(SystemClock().monotonic)
    asked.add("wait", 0.25)
    asked.add("db", 0.5)
    assert parts_of(asked) == {"auth": 0, "wait": 250, "db": 500, "render": 250, "total": 1000}
    # Parts that overlap may be longer than the whole.
    assert parts_of(asked, 0.5)["render"] == 0


async def test_what_is_within_a_part_counts_once() -> None:
    asked = Timing(SystemClock().monotonic)
    with asked.spent_on("auth"):
        asked.add("db", 10)
        with asked.spent_on("wait"):
            pass
        asked.statement_began()
        asked.statement_ended("SELECT 1", "sqlite")
    found = parts_of(asked)
    assert found["wait"] == found["db"] == 0
    assert found["auth"] > 0


async def test_a_phase_is_without_the_parts_within() -> None:
    now = [0.0]
    asked = Timing(lambda: now[0])
    with asked.in_phase("limits"):
        now[0] += 1
        with asked.spent_on("auth"):
            now[0] += 10
        now[0] += 2
    with asked.in_phase("parse"):
        now[0] += 4
    assert asked.phases(20) == {
        "auth": 10,
        "wait": 0,
        "db": 0,
        "limits": 3,
        "parse": 4,
        "write": 0,
        "render": 3,
    }
    # A client is told of the parts alone.
    assert parts_of(asked, 20) == {"auth": 10_000, "wait": 0, "db": 0, "render": 10_000, "total": 20_000}


@pytest.mark.usefixtures("asked")
async def test_a_lane_is_in_nobodys_time(asked: Timing) -> None:
    seen: list[Timing | None] = []
    began, go_on = asyncio.Event(), asyncio.Event()

    async def load(keys: Sequence[int]) -> Mapping[int, int]:
        seen.append(timing.get())
        began.set()
        await go_on.wait()
        return {key: key for key in keys}

    coalescer = Coalescer(load)
    first = asyncio.create_task(coalescer.find(1))
    await began.wait()
    second = asyncio.create_task(coalescer.find(2))
    await asyncio.sleep(0.01)
    go_on.set()
    assert [await first, await second] == [1, 2]
    assert seen == [None, None]
    found = parts_of(asked)
    assert found["wait"] >= 9
    assert found["db"] > 0


async def test_a_caller_that_leaves_leaves_nothing(asked: Timing) -> None:
    async def load(_: Sequence[int]) -> Mapping[int, int]:
        await asyncio.sleep(3600)
        return {}

    coalescer = Coalescer(load)
    leaving = asyncio.create_task(coalescer.find(1))
    await asyncio.sleep(0)
    leaving.cancel()
    await asyncio.gather(leaving, return_exceptions=True)
    assert not coalescer._taken_at
    assert parts_of(asked)["auth"] == 0


async def test_statements_and_commits_are_time_of_the_database(database: Database, asked: Timing) -> None:
    async with database.read() as db:
        await db.execute(text("SELECT 1"))
    read = parts_of(asked)["db"]
    assert read > 0
    async with database.transaction() as db:
        await db.execute(text("SELECT 1"))
    assert parts_of(asked)["db"] > read


async def test_waiting_for_a_connection(database: Database, asked: Timing) -> None:
    async with database.transaction():
        gate = database.write_gate
        others = [asyncio.create_task(hold(database)) for _ in range(gate.size)]
        await asyncio.sleep(0.01)
    await asyncio.gather(*others)
    assert parts_of(asked)["wait"] > 0


async def hold(database: Database) -> None:
    async with database.write_gate.place():
        await asyncio.sleep(0)


async def test_what_the_check_of_credentials_waits_for_is_its_own(
    alice: Person, client: httpx.AsyncClient
) -> None:
    header = {"Server-Timing": "1"}
    shown = {
        name: float(value)
        for answer in [await alice.api.get("/api/v1/users/me", headers=header)]
        for name, _, value in (
            part.partition(";dur=") for part in answer.headers["server-timing"].split(", ")
        )
    }
    assert shown["auth"] > 0
    assert sum(shown.values()) == pytest.approx(2 * shown["total"], abs=0.01)
    stranger = await client.get("/api/v1/items/", headers=header)
    assert "db;dur=0.000" not in stranger.headers["server-timing"]


async def test_one_in_sixty_four_requests_is_in_the_metrics_by_phase(alice: Person) -> None:
    async def counts() -> dict[str, float]:
        text = (await alice.api.get("/metrics")).text.splitlines()
        lines = [
            line.split() for line in text if line.startswith("tradepost_http_request_phase_seconds_count")
        ]
        return {name.partition('phase="')[2].partition('"')[0]: float(value) for name, value in lines}

    before = await counts()
    for _ in range(SAMPLED):
        answer = await alice.api.post("/api/v1/items/", json={"title": "Lamp", "price": 1})
        assert "server-timing" not in answer.headers
    after = await counts()
    assert after.keys() == {"auth", "wait", "db", "parse", "limits", "write", "render"}
    # One of these, and perhaps the first look at the metrics, which came after it had looked.
    assert {after[phase] - before.get(phase, 0) for phase in after} in ({1}, {2})
