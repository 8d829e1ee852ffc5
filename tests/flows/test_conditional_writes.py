"""Writers that start from one version, over two processes: exactly one of them gets through.

``SOAK_ROUNDS=5`` plays as many rounds of 1,000 writers each; a test run plays one of 100.
"""

import asyncio
import os
from collections import Counter
from pathlib import Path

import httpx
import pytest

from tests.conftest import ENGINES
from tests.flows.live import environment, join, serving, worker_of
from tests.servers import PostgresServer

ROUNDS = int(os.environ.get("SOAK_ROUNDS", "1"))
WRITERS = 100 if ROUNDS == 1 else 1_000
CONNECTIONS = 40


@pytest.mark.parametrize("engine", ENGINES)
async def test_of_those_who_change_one_version_one_succeeds(
    engine: str, tmp_path: Path, postgres: PostgresServer
) -> None:
    url = None if engine == "sqlite" else await postgres.create_database("conditional")
    with serving(environment(tmp_path, url), "--workers", "2") as server:
        await server.ready()
        limits = httpx.Limits(max_connections=CONNECTIONS, max_keepalive_connections=CONNECTIONS)
        async with server.client() as stranger:
            person = await join(stranger, "owner@example.com")
            async with server.client(person.token, limits=limits) as owner:
                made = await owner.post("/items/", json={"title": "Lamp", "price": 1})
                path, tag = f"/items/{made.json()['id']}", made.headers["etag"]
                for version in range(1, ROUNDS + 1):
                    # Never the price of now: who changes nothing gets through, and leaves the version to the next.
                    first = version * WRITERS + 1
                    answers = await asyncio.gather(
                        *(
                            owner.patch(path, json={"price": first + number}, headers={"If-Match": tag})
                            for number in range(WRITERS)
                        )
                    )
                    statuses = Counter(answer.status_code for answer in answers)
                    assert statuses == {200: 1, 412: WRITERS - 1}
                    assert len({worker_of(answer) for answer in answers}) == 2
                    (changed,) = (answer for answer in answers if answer.is_success)
                    assert changed.json()["version"] == version + 1
                    assert {answer.headers["etag"] for answer in answers} == {changed.headers["etag"]}
                    now = await stranger.get(path)
                    assert (now.json()["price"], now.json()["version"]) == (
                        changed.json()["price"],
                        version + 1,
                    )
                    tag = now.headers["etag"]
                gone = await asyncio.gather(
                    *(owner.delete(path, headers={"If-Match": tag}) for _ in range(WRITERS // 10))
                )
                assert Counter(answer.status_code for answer in gone) == {200: 1, 404: WRITERS // 10 - 1}
