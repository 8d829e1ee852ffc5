"""The live stream by a browser's own ``EventSource``: the example of docs/notifications.md as it stands."""

import re
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest_asyncio

from tests.flows.live import ROOT, environment, eventually, join, reserved_port, serving
from tests.outside.browser import Browser, browsing, needs_browser

pytestmark = needs_browser

EXAMPLE = re.search(
    r"```js\n(.*?)```", (ROOT / "docs/notifications.md").read_text(encoding="utf-8"), re.DOTALL
)
# What the example writes to the console is kept, and its stream can be asked about.
RUN = """
const [token, example] = arguments;
window.told = [];
console.log = (what) => told.push(what.data ? what.data.item_title : what);
const AsyncFunction = Object.getPrototypeOf(async () => {}).constructor;
return new AsyncFunction("token", `${example}; window.stream = stream`)(token);
"""


@pytest_asyncio.fixture
async def browser() -> AsyncIterator[Browser]:
    async with browsing(width=1000, height=800) as browser:
        yield browser


async def sell(client: httpx.AsyncClient, title: str) -> None:
    assert (await client.post("/items/", json={"title": title, "price": 1})).status_code == 201


async def welcomed(client: httpx.AsyncClient) -> bool:
    return bool((await client.get("/notifications/")).json()["notifications"])


async def told(browser: Browser, *lines: str) -> None:
    """Wait until these lines, and no others, are on the console."""
    await browser.until("return JSON.stringify(told) === JSON.stringify(arguments[0])", lines)


async def test_the_example_is_told_comes_back_and_learns_of_its_end(browser: Browser, tmp_path: Path) -> None:
    assert EXAMPLE is not None
    env = environment(tmp_path)
    with reserved_port() as port:
        with serving(env, reserved=port) as server:
            await server.ready()
            async with server.client() as client:
                account = await join(client, "ada@example.com")
            async with server.client(account.token) as client:
                # The welcome may come later than the browser's stream opens.
                await eventually(lambda: welcomed(client))
            await browser.open(f"{server.url}/docs")
            await browser.run(RUN, account.token, EXAMPLE[1])
            await browser.until("return stream.readyState === EventSource.OPEN")
            async with server.client(account.token) as client:
                await sell(client, "Lamp")
            await told(browser, "Lamp")
            server.send(signal.SIGTERM)
            assert await server.ended() == 0
        # While the page's server is away, another one has something to tell. It begins from the inbox's end by itself:
        # only the browser's Last-Event-ID brings back what was missed.
        await browser.until("return stream.readyState === EventSource.CONNECTING")
        with serving(env) as other:
            await other.ready()
            async with other.client(account.token) as client:
                await sell(client, "Chair")
        with serving(env, reserved=port) as server:
            await told(browser, "Lamp", "Chair")
            async with server.client(account.token) as client:
                await sell(client, "Table")
                await told(browser, "Lamp", "Chair", "Table")
                # The stream ends with its session, and the ticket with it.
                assert (await client.post("/auth/logout")).status_code == 200
            await told(browser, "Lamp", "Chair", "Table", "get another ticket")
            assert await browser.run("return stream.readyState === EventSource.CLOSED")
