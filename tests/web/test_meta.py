import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest

from tests.web.apps import caller
from tradepost.core.clock import SystemClock
from tradepost.core.observability.metrics import Metrics
from tradepost.core.settings.settings import Settings
from tradepost.web import meta
from tradepost.web.readiness import Probe, Readiness

from fastapi import FastAPI  # isort: skip


@pytest.fixture
def readiness() -> Readiness:
    return Readiness(SystemClock(), timeout=0.5)


@pytest.fixture
def app(readiness: Readiness) -> FastAPI:
    app = FastAPI(openapi_url=None)
    settings = Settings()
    routes = meta.build_router(settings=settings, readiness=readiness, metrics=Metrics(clock=SystemClock()))
    routes.add_to(app)
    return app


@asynccontextmanager
async def answers(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    async with caller(app) as client:
        yield client


async def well() -> None:
    """Return: the part is well."""


async def ill() -> None:
    raise ConnectionRefusedError("postgresql://user:secret@host")


async def stuck() -> None:
    await asyncio.sleep(60)


async def test_the_root_says_where_to_go(app: FastAPI) -> None:
    async with answers(app) as client:
        assert (await client.get("/")).json() == {
            "message": "Welcome to Tradepost",
            "service": "Tradepost",
            "environment": "local",
            "version": Settings().VERSION,
            "documentation": "/docs",
            "openapi": "/api/v1/openapi.json",
            "health": "/health",
            "metrics": "/metrics",
        }


async def test_alive_and_healthy_whatever_happens(app: FastAPI, readiness: Readiness) -> None:
    readiness.add("database", ill)
    readiness.draining = True
    async with answers(app) as client:
        assert (await client.get("/health")).json() == {"status": "healthy"}
        assert (await client.get("/livez")).json() == {"status": "alive"}


async def test_ready_when_all_is_well(app: FastAPI, readiness: Readiness) -> None:
    readiness.add("database", well)
    async with answers(app) as client:
        response = await client.get("/readyz")
    assert response.status_code == 200
    assert response.headers["cache-control"] == "no-store"
    latency = response.json()["checks"]["database"].pop("latency_ms")
    assert 0 <= latency < 1000
    assert response.json()["status"] == "ready"


@pytest.mark.parametrize("probe", [ill, stuck])
async def test_not_ready_when_a_required_part_is_not_well(
    app: FastAPI, readiness: Readiness, probe: Probe
) -> None:
    readiness.add("database", probe)
    readiness.add("storage", well)
    async with answers(app) as client:
        response = await client.get("/readyz")
    assert response.status_code == 503
    assert response.headers["retry-after"] == "1"
    report = response.json()
    assert report["status"] == "not ready"
    assert {name: check["status"] for name, check in report["checks"].items()} == {
        "database": "failed",
        "storage": "ok",
    }
    assert "secret" not in response.text


async def test_a_part_that_is_not_required_only_slows(app: FastAPI, readiness: Readiness) -> None:
    readiness.add("redis", ill, required=False)
    async with answers(app) as client:
        response = await client.get("/readyz")
    assert response.status_code == 200
    assert response.json()["checks"]["redis"]["status"] == "failed"


async def test_a_part_that_hangs_and_is_not_required_holds_up_no_probe() -> None:
    patient = Readiness(SystemClock(), timeout=3600)
    patient.add("database", well)
    patient.add("redis", stuck, required=False)
    async with asyncio.timeout(30):
        report = await patient.report()
    assert (report.status, report.checks["redis"].status) == ("ready", "failed")


async def test_nothing_new_while_draining(app: FastAPI, readiness: Readiness) -> None:
    readiness.add("database", well)
    readiness.draining = True
    async with answers(app) as client:
        response = await client.get("/readyz")
    assert (response.status_code, response.json()["status"]) == (503, "draining")


async def test_many_who_ask_at_once_share_the_answer(readiness: Readiness) -> None:
    asked = 0

    async def count() -> None:
        nonlocal asked
        asked += 1
        await asyncio.sleep(0.01)

    readiness.add("database", count)
    first = asyncio.create_task(readiness.report())
    rest = [asyncio.create_task(readiness.report()) for _ in range(20)]
    await asyncio.sleep(0)
    first.cancel()
    reports = await asyncio.gather(*rest)
    assert asked == 1
    assert {report.status for report in reports} == {"ready"}
    await readiness.report()
    assert asked == 2


async def test_metrics_are_prometheus_text(app: FastAPI) -> None:
    async with answers(app) as client:
        plain = await client.get("/metrics")
        assert plain.headers["content-type"].startswith("text/plain; version=")
        assert "tradepost_event_loop_lag_seconds" in plain.text
        assert "process_resident_memory_bytes" in plain.text
        opened = await client.get(
            "/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"}
        )
        assert opened.headers["content-type"].startswith("application/openmetrics-text")
        assert opened.text.endswith("# EOF\n")
