"""A server that has served for long is no larger than one that has served for a while.

``SOAK_SECONDS=600`` loads it for ten minutes on each engine; a test run does it for a few seconds.
"""

import asyncio
import json
import os
import sys
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

import pytest

from tests.conftest import ENGINES
from tests.flows.live import LiveServer, environment, join, serving
from tests.load.generator import Job, Result
from tests.servers import PostgresServer

SECONDS = float(os.environ.get("SOAK_SECONDS", "4"))
LAP = max(0.4, SECONDS / 60)
"""Seconds of one kind of request, before the next kind has its turn."""
CONNECTIONS = 32
MOST_GROWTH = 12 * 2**20
"""Bytes by which the second half may exceed the first: caches that fill up to their bounds, and the allocator's play.

A leak of 100 bytes a request shows in ten minutes, of 2 kB in the few seconds of a test run.
"""
PAGE = os.sysconf("SC_PAGE_SIZE")

pytestmark = pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads Linux's /proc")


def request(method: str, path: str, token: str | None = None, body: object = None) -> str:
    lines = [f"{method} /api/v1{path} HTTP/1.1", "Host: 127.0.0.1"]
    if token:
        lines.append(f"Authorization: Bearer {token}")
    content = "" if body is None else json.dumps(body)
    if content:
        lines += ["Content-Type: application/json", f"Content-Length: {len(content)}"]
    return "\r\n".join([*lines, "", content])


def kinds_of_requests(token: str) -> Iterable[tuple[int, list[str]]]:
    """Yield statuses, and requests that are answered with them; most are of a kind that no cache has seen."""
    yield (
        201,
        [
            request("POST", "/items/", token, {"title": f"Thing {n}", "price": 1, "tags": [f"tag{n % 500}"]})
            for n in range(1000)
        ],
    )
    yield (
        200,
        [
            each
            for n in range(400)
            for each in (
                request("GET", "/users/me", token),
                request("GET", f"/items/?limit=5&skip={n}&total=false"),
                request("GET", f"/items/?limit=5&min_price=0.{n % 100:02}"),
                request("GET", f"/tags/?limit=5&skip={n}"),
                request("GET", f"/items/{n + 1}"),
                request("GET", "/notifications/", token),
            )
        ],
    )
    yield (
        404,
        [request("GET", f"/items/{10**9 + n}") for n in range(500)]
        + [request("GET", f"/x{n}") for n in range(500)],
    )
    yield 422, [request("GET", f"/items/?limit=x{n}") for n in range(500)]
    yield 401, [request("GET", "/users/me", f"wrong{n}") for n in range(500)]


async def load(server: LiveServer, status: int, requests: list[str]) -> int:
    """Send the requests over and over for a lap; return how many were answered."""
    job = Job(server.port, requests, status, CONNECTIONS, LAP, settling=0.1)
    generator = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.load.generator"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    )
    output, _ = await generator.communicate(json.dumps(asdict(job)).encode())
    result = Result(**json.loads(output))
    assert set(result.statuses) == {str(status)}, result.faults
    assert not result.lost
    return result.answers


def resident(pid: int) -> int:
    """Bytes of memory that a process occupies."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE


@pytest.mark.parametrize("engine", ENGINES)
async def test_memory_does_not_grow(engine: str, tmp_path: Path, postgres: PostgresServer) -> None:
    url = None if engine == "sqlite" else await postgres.create_database("memory")
    sizes: list[int] = []
    answers = 0
    loop = asyncio.get_running_loop()
    with serving(environment(tmp_path, url)) as server:
        await server.ready()
        async with server.client() as client:
            token = (await join(client, "soak@example.com")).token
        kinds = list(kinds_of_requests(token))
        # Once around, so that every code path was taken and every pool is full.
        for kind in kinds:
            await load(server, *kind)
        end = loop.time() + SECONDS
        while loop.time() < end:
            for kind in kinds:
                answers += await load(server, *kind)
            sizes.append(resident(server.pid))
    half = len(sizes) // 2
    growth = max(sizes[half:]) - max(sizes[: half or 1])
    assert growth < MOST_GROWTH, [size // 2**10 for size in sizes]
    print(f"{engine}: {answers} answers, {sizes[0] >> 20} MiB at first, {sizes[-1] >> 20} MiB in the end")  # noqa: T201
