"""``/live`` in a browser, at the width of a desk and of a phone: it draws what is asked of the server, and asks for a log-in."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest
import pytest_asyncio

from tests.flows.live import LiveServer, environment, serving
from tests.outside.browser import Browser, browsing, needs_browser

pytestmark = needs_browser

DESK: dict[str, Any] = {"width": 1440, "height": 900}
PHONE: dict[str, Any] = {"width": 390, "height": 844, "phone": True}
LEGEND = "return [...document.querySelectorAll('.charts li')].some((one) => one.textContent.startsWith(arguments[0]))"
DRAWN = """
return [...document.querySelectorAll("canvas")].every((canvas) =>
  canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data.some((value) => value > 0))
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    with serving(environment(tmp_path_factory.mktemp("data")), "--host", "127.0.0.1") as server:
        yield server


@pytest_asyncio.fixture(params=[DESK, PHONE], ids=["desk", "phone"])
async def browser(request: pytest.FixtureRequest, server: LiveServer) -> AsyncIterator[Browser]:
    await server.ready()
    async with browsing(**request.param) as browser:
        yield browser


async def test_it_draws_what_happens(browser: Browser, server: LiveServer) -> None:
    await browser.open(f"{server.url}/live")

    async def ask() -> None:
        async with httpx.AsyncClient(base_url=server.url, timeout=60) as client:
            while True:
                await client.get("/api/v1/tags/")
                await asyncio.sleep(0.05)

    asking = asyncio.create_task(ask())
    try:
        await browser.until(LEGEND, "tags, reads")
        await browser.until(LEGEND, "p99")
    finally:
        asking.cancel()
    assert await browser.run(DRAWN)
    assert await browser.run("return document.querySelector('#state').textContent") == "One frame a second"
    assert await browser.run(
        "return [...document.querySelectorAll('canvas')].every((one) => one.getAttribute('aria-label').length > 8)"
    )
    # Nothing is wider than the window.
    assert await browser.run("return document.documentElement.scrollWidth <= window.innerWidth")
    await browser.click("#hold")
    assert await browser.run("return document.querySelector('#hold').getAttribute('aria-pressed')") == "true"
    assert await browser.console() == []


async def test_a_token_that_holds_no_more_leads_to_a_log_in(browser: Browser, server: LiveServer) -> None:
    await browser.open(f"{server.url}/live")
    await browser.find(".charts canvas")
    # A token that holds no more, as of yesterday's tab.
    kept = '{"text": "old", "until": 9999999999999}'
    await browser.run("sessionStorage.setItem('tradepost console', arguments[0])", kept)
    await browser.reload()
    await browser.write("[name=username]", "admin@example.com")
    await browser.write("[name=password]", "changethis")
    await browser.click("#log-in button[type=submit]")
    await browser.find(".charts canvas")
    await browser.until("return document.querySelector('#state').textContent === 'One frame a second'")
