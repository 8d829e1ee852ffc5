"""``/live`` of a real server of two workers: what it shows, and to whom."""

import json
import re
from collections.abc import AsyncIterator, Iterator
from importlib.resources import files
from typing import Any

import httpx
import pytest
import pytest_asyncio

from tests.flows.command_line import called
from tests.flows.live import LiveServer, environment, join, log_in, serving

ASSETS = files("tradepost.live") / "page"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    data = tmp_path_factory.mktemp("data")
    with serving(environment(data), "--workers", "2") as server:
        yield server


async def events(response: httpx.Response) -> AsyncIterator[tuple[str, Any]]:
    name = ""
    async for line in response.aiter_lines():
        if line.startswith("event: "):
            name = line.removeprefix("event: ")
        elif line.startswith("data: "):
            yield name, json.loads(line.removeprefix("data: "))


async def test_anybody_sees_in_local_what_both_workers_do(server: LiveServer) -> None:
    await server.ready()
    async with (
        httpx.AsyncClient(base_url=server.url, timeout=60) as client,
        client.stream("GET", "/live/stream") as response,
    ):
        assert response.status_code == 200
        assert response.headers["content-type"].startswith("text/event-stream")
        assert response.headers["cache-control"] == "no-store"
        coming = events(response)
        assert (await anext(coming))[0] == "history"
        # From here on everything is between two looks.
        assert (await anext(coming))[0] == "frame"
        for _ in range(40):
            # Each by a connection of its own: both workers have some.
            async with httpx.AsyncClient(base_url=server.url, timeout=60) as other:
                assert (await other.get("/api/v1/tags/")).status_code == 200
        answered = 0.0
        async for _, data in coming:
            answered += data["requests"].get("tags, reads", 0.0) * data["seconds"]
            # Each look tells a rate that is rounded.
            if round(answered) >= 40:
                break
        assert round(answered) == 40


async def test_the_page_and_its_files_are_there(server: LiveServer) -> None:
    async with httpx.AsyncClient(base_url=server.url, timeout=60) as client:
        page = await client.get("/live")
        assert page.status_code == 200
        policy = page.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert re.findall(r"<script[^>]*>([^<]*)</script>", page.text) == [""]
        assert not re.search(r"<style|\son\w+=|\sstyle=", page.text)
        for path in re.findall(r'(?:src|href)="(/[^"]+)"', page.text):
            assert (await client.get(path)).status_code == 200, path
        assert (await client.get("/live/files/nothing.js")).status_code == 404
        assert (await client.head("/live/stream")).status_code in {200, 405}
        assert "/live/stream" not in (await client.get("/api/v1/openapi.json")).json()["paths"]


def test_no_code_makes_html_of_text() -> None:
    text = (ASSETS / "live.js").read_text(encoding="utf-8")
    sinks = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|new Function|DOMParser|\.style\b|javascript:"
    assert not re.search(sinks, text)


@pytest_asyncio.fixture(scope="module")
async def guarded(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[LiveServer]:
    """A server that is not ``local``."""
    env = environment(
        tmp_path_factory.mktemp("guarded"),
        ENVIRONMENT="staging",
        SECRET_KEY="k" * 40,
        FIRST_SUPERUSER_PASSWORD="Another1password",
    )
    assert (await called("migrate", env=env)).status == 0
    made = await called("create-admin", "boss@example.com", "--password", "Secret123", env=env)
    assert made.status == 0
    with serving(env) as server:
        await server.ready()
        yield server


async def test_elsewhere_only_admins_watch(guarded: LiveServer) -> None:
    async with guarded.client() as client:
        person = await join(client, "ada@example.com")
        admin = await log_in(client, "boss@example.com", "Secret123")
    for token, status in ((None, 401), (person.token, 403), (admin["access_token"], 200), ("nonsense", 401)):
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        async with (
            httpx.AsyncClient(base_url=guarded.url, headers=headers, timeout=60) as client,
            client.stream("GET", "/live/stream") as response,
        ):
            assert response.status_code == status
            if status == 200:
                seen = []
                async for name, _ in events(response):
                    seen.append(name)
                    if len(seen) == 2:
                        break
                assert seen == ["history", "frame"]
