"""``/docs`` in a browser, at the width of a desk and of a phone: logging in, finding, and sending what it shows."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.conformance.test_document import document
from tests.conformance.test_examples import AS_ADA, operations
from tests.flows.live import LiveServer, environment, serving
from tests.outside.browser import Browser, browsing, needs_browser

pytestmark = needs_browser

DESK = {"width": 1440, "height": 900}
PHONE = {"width": 390, "height": 844, "phone": True}

# What a person does with an operation: opens it, presses "Execute", and reads the status. The page fills in the examples.
SEND = """
return (async ([id]) => {
  const block = () => document.getElementById(id);
  const shown = async (selector) => {
    const end = Date.now() + 60000;
    while (Date.now() < end) {
      const found = block() && block().querySelector(selector);
      if (found) return found;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    throw new Error(`${id} never showed ${selector}`);
  };
  const values = () => [...block().querySelectorAll("input, textarea")].map((field) => field.value).join("/") + "!";
  (await shown(".opblock-summary-control")).click();
  await shown(".btn.execute");
  // What it fills in comes a moment later, and people look before they press.
  for (let before = ""; before !== (before = values()); ) await new Promise((resolve) => setTimeout(resolve, 300));
  block().querySelector(".btn-clear")?.click();
  while (block().querySelector(".live-responses-table")) await new Promise((resolve) => setTimeout(resolve, 20));
  (await shown(".btn.execute")).click();
  const answer = await shown(".live-responses-table .response");
  const [status, body] = [".response-col_status", ".response-col_description"].map(
    (part) => answer.querySelector(part).textContent
  );
  block().querySelector(".opblock-summary-control").click();
  return [parseInt(status), body.slice(0, 600)];
})(arguments);
"""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[LiveServer]:
    with serving(environment(tmp_path / "data"), "--host", "127.0.0.1") as server:
        yield server


@pytest_asyncio.fixture(params=[DESK, PHONE], ids=["desk", "phone"])
async def browser(request: pytest.FixtureRequest, server: LiveServer) -> AsyncIterator[Browser]:
    await server.ready()
    async with browsing(**request.param) as browser:
        await browser.open(f"{server.url}/docs")
        await browser.find("#operations-items-create_item")
        yield browser


async def log_in(browser: Browser, email: str, password: str) -> None:
    await browser.click(".auth-wrapper .authorize")
    await browser.write("#oauth_username", email)
    await browser.write("#oauth_password", password)
    await browser.click(".modal-ux .btn.authorize")
    await browser.until("return document.querySelector('.modal-ux').innerText.includes('Authorized')")
    await browser.click(".modal-ux .btn-done")


async def send(browser: Browser, tag: str, name: str) -> tuple[int, str]:
    """Open an operation, press Execute, and return the status and the beginning of the body."""
    status, body = await browser.run(SEND, f"operations-{tag}-{name}")
    return status, body


async def test_fits_the_window(browser: Browser) -> None:
    assert await browser.run("return document.documentElement.scrollWidth <= innerWidth")


async def test_a_log_in_outlives_a_reload(browser: Browser) -> None:
    status, _ = await send(browser, "users", "read_me")
    assert status == 401
    await log_in(browser, "admin@example.com", "changethis")
    status, body = await send(browser, "users", "read_me")
    assert (status, "admin@example.com" in body) == (200, True)
    await browser.reload()
    await browser.find("#operations-users-read_me")
    status, body = await send(browser, "users", "read_me")
    assert (status, "admin@example.com" in body) == (200, True)


async def test_the_filter_finds_an_operation(browser: Browser) -> None:
    for words, found in (
        ("rotate secret", ["operations-webhooks-rotate_webhook_secret"]),
        ("GET /items/popular", ["operations-items-list_popular_items"]),
        ("no such thing", []),
    ):
        await browser.write(".operation-filter-input", words)
        # The requests that receivers of webhooks get are listed below the operations, and stay.
        script = (
            "return [...document.querySelectorAll('.opblock')].map((it) => it.id)"
            ".filter((id) => !id.includes('receive_')).join() === arguments[0]"
        )
        assert await browser.until(script, ",".join(found))


async def test_a_stranger_registers_and_logs_in_with_what_the_page_shows(browser: Browser) -> None:
    assert (await send(browser, "auth", "register"))[0] == 200
    status, body = await send(browser, "auth", "login")
    assert (status, "refresh_token" in body) == (200, True)


@pytest.mark.parametrize("browser", [DESK], ids=["desk"], indirect=True)
async def test_untouched_examples_succeed(browser: Browser) -> None:
    await log_in(browser, "admin@example.com", "changethis")
    refused = {}
    for _, _, operation in operations(document()):
        name = operation["operationId"]
        if name in AS_ADA or name == "merge_tag":
            continue
        status, body = await send(browser, operation["tags"][0], name)
        if not 200 <= status < 300:
            refused[name] = f"{status} {body}"
    assert refused == {}
