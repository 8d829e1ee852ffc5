"""The pages that links in e-mails lead to, used in a browser as people do."""

import re
from collections.abc import AsyncIterator, Iterator

import httpx
import pytest
import pytest_asyncio

from tests.flows.live import PASSWORD, LiveServer, environment, eventually, join, log_in, serving
from tests.outside.browser import Browser, browsing, needs_browser

pytestmark = needs_browser

EMAIL = "zoë.łuczak@example.com"
LONG = "Aa1" + "x" * 117
RESET = "/account/reset-password"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    with serving(environment(tmp_path_factory.mktemp("data"))) as server:
        yield server


@pytest_asyncio.fixture
async def client(server: LiveServer) -> AsyncIterator[httpx.AsyncClient]:
    await server.ready()
    async with server.client() as client:
        yield client


@pytest_asyncio.fixture(scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with browsing(width=1000, height=800) as browser:
        yield browser


async def links(server: LiveServer, page: str, person: str) -> list[str]:
    """Return the links to a page that somebody's e-mails hold, the newest first."""
    found: list[str] = []
    async with httpx.AsyncClient(base_url=server.url) as client:
        for row in (await client.get("/dev/mails")).text.split("<tr>"):
            if mail := re.search(r'href="(/dev/mails/[^"]+)"', row if person in row else ""):
                text = (await client.get(f"{mail[1]}/html")).text
                # Each holds its link twice: as a button, and as text.
                found += dict.fromkeys(re.findall(rf'href="([^"]+{page}#token=[^"]+)"', text))
    return found


async def set_password(browser: Browser, password: str, again: str) -> None:
    await browser.write("#new_password", password)
    await browser.write("#again", again)
    await browser.click("#use button")


async def test_a_password_is_set_by_a_link_that_is_pasted_into_the_open_page(
    server: LiveServer, client: httpx.AsyncClient, browser: Browser
) -> None:
    await join(client, EMAIL)
    # As links in e-mails spell it.
    await browser.open(f"http://localhost:{server.port}{RESET}")
    await browser.write("#email", EMAIL)
    await browser.click("#ask button")
    await browser.until("return document.getElementById('note').classList.contains('good')")

    async def has_come() -> bool:
        return bool(await links(server, RESET, EMAIL))

    await eventually(has_come)
    (link,) = await links(server, RESET, EMAIL)
    # The tab stays as it is, and loads nothing.
    await browser.run("window.untouched = true")
    await browser.open(link)
    await browser.find("#new_password")
    assert await browser.run("return [window.untouched, location.hash]") == [True, ""]

    await set_password(browser, LONG, LONG)
    assert "at most 100 characters" in await browser.until(
        "return document.querySelector('#note.bad')?.innerText"
    )
    assert await browser.run("return document.getElementById('new_password').value") == LONG
    assert (await log_in(client, EMAIL))["access_token"], "the old one is the right one still"
    await set_password(browser, "Brandnew99", "Brandnew98")
    assert "differ" in await browser.until("return document.querySelector('#note.bad')?.innerText")
    await set_password(browser, "Brandnew99", "Brandnew99")
    await browser.until("return document.querySelector('#note.good')?.innerText.includes('is set')")
    assert (await log_in(client, EMAIL, "Brandnew99"))["access_token"]
    with pytest.raises(httpx.HTTPStatusError, match="401"):
        await log_in(client, EMAIL, PASSWORD)
    # Used, it is good for another one only.
    await browser.open(link)
    await set_password(browser, "Brandnew11", "Brandnew11")
    await browser.until("return document.querySelector('#note.bad')?.innerText.includes('another one')")
    await browser.find("#email")


async def test_an_address_is_confirmed_by_a_link_that_is_asked_for_again(
    server: LiveServer, client: httpx.AsyncClient, browser: Browser
) -> None:
    page = "/account/verify-email"
    await join(client, "jürgen@bücher.example")
    await browser.open(server.url + page)
    await browser.write("#email", "jürgen@bücher.example")
    await browser.click("#ask button")

    async def have_come() -> bool:
        return len(await links(server, page, "jürgen@")) >= 2

    await eventually(have_come)
    await browser.open((await links(server, page, "jürgen@"))[0])
    await browser.click("#use button")
    assert "is confirmed" in await browser.until("return document.querySelector('#note.good')?.innerText")
