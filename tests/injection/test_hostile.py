"""What is sent to break the faults and their log: nothing of it is a 500, and the log goes on."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, Final

import httpx
import pytest
import pytest_asyncio

from tests.flows.live import LiveServer, environment, serving

FAULTS: Final = "/admin/faults"


@pytest_asyncio.fixture(scope="module")
async def server(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[LiveServer]:
    """A server on each engine, on which faults are on."""
    with serving(
        environment(tmp_path_factory.mktemp("data"), database_url, FAULTS_ENABLED="true")
    ) as started:
        await started.ready()
        yield started


@pytest.mark.parametrize(
    ("method", "path", "noted"),
    [
        ("GET", "/items/%00", "/api/v1/items/%00"),
        ("GET", "/items/%ff%ed%a0%80", None),
        ("UNSUBSCRIBE", "/items/", "/api/v1/items/"),
        ("GET", "/items/" + "%C3%A9" * 900, ("/api/v1/items/" + "é" * 200)[:200]),
    ],
    ids=["nul", "no UTF-8", "a long method", "a long path"],
)
async def test_the_log_takes_every_request_that_was_struck(
    api: httpx.AsyncClient, method: str, path: str, noted: str | None
) -> None:
    answer = await api.request(method, path, headers={"X-Fault": "status=418"})
    assert answer.status_code == 418
    log = await api.get(f"{FAULTS}/log", params={"limit": 1})
    assert log.status_code == 200, log.text
    (line,) = log.json()["faults"]
    assert line["request_id"] == answer.headers["X-Request-ID"]
    assert line["method"] == method[:10]
    assert line["path"] == noted or noted is None


@pytest.mark.parametrize(
    ("said", "status"),
    [
        ({"starts_at": "9999-12-31T23:59:59Z"}, 422),
        ({"starts_at": "0001-01-01T00:00:00Z"}, 422),
        ({"starts_at": "2999-12-31T23:59:59Z"}, 200),
        ({"path": "/\0"}, 422),
        ({"replica": "\0"}, 422),
        ({"faults": "delay=1s\0"}, 422),
        ({"faults": "\x1cdelay=1s\u2003"}, 200),
        ({"share": 5e-324, "seconds": 5e-324}, 200),
    ],
    ids=str,
)
async def test_bodies_that_are_hard_to_keep(
    api: httpx.AsyncClient, said: dict[str, Any], status: int
) -> None:
    answer = await api.put(FAULTS, json={"name": "one", "faults": "status=418", **said})
    assert answer.status_code == status, answer.text
    # What is kept can be read, too: else no named fault would be in force any more.
    assert (await api.get(FAULTS)).status_code == 200


async def test_one_name_put_and_deleted_by_many_at_once(api: httpx.AsyncClient) -> None:
    body = {"name": "same", "faults": "delay=1ms", "path": "/nowhere"}
    for _ in range(5):
        answers = await asyncio.gather(
            *(api.put(FAULTS, json=body) if n % 3 else api.delete(f"{FAULTS}/same") for n in range(30))
        )
        assert {answer.status_code for answer in answers} <= {200, 404}
