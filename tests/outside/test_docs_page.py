"""``/docs`` in a browser, at the width of a desk and of a phone: logging in, finding, and sending what it shows."""

import os
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.conformance.test_document import document
from tests.conformance.test_examples import AS_ADA, FIRST, operations
from tests.flows.live import LiveServer, environment, serving
from tests.outside.browser import Browser, browsing, needs_browser

pytestmark = needs_browser

DESK: dict[str, Any] = {"width": 1440, "height": 900}
PHONE: dict[str, Any] = {"width": 390, "height": 844, "phone": True}
EVERY = "SOAK_ROUNDS" in os.environ
"""Whether every operation is sent from the page, which works for a second on each."""

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


@contextmanager
def fresh_server(directory: Path) -> Iterator[LiveServer]:
    with serving(environment(directory / "data"), "--host", "127.0.0.1") as server:
        yield server


async def show(browser: Browser, server: LiveServer) -> None:
    """Open the page as somebody who was never here."""
    await server.ready()
    await browser.open(f"{server.url}/docs")
    await browser.run("localStorage.clear()")
    await browser.reload()
    await browser.find("#operations-items-create_item")


@pytest_asyncio.fixture(scope="module", params=[DESK, PHONE], ids=["desk", "phone"])
async def window(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[tuple[Browser, LiveServer]]:
    """A browser of each width with a server of its own."""
    with fresh_server(tmp_path_factory.mktemp("docs")) as server:
        async with browsing(**request.param) as browser:
            yield browser, server


@pytest_asyncio.fixture
async def browser(window: tuple[Browser, LiveServer]) -> Browser:
    await show(*window)
    return window[0]


async def log_in(browser: Browser, email: str, password: str) -> None:
    await browser.click(".auth-wrapper .authorize")
    await browser.write("#oauth_username", email)
    await browser.write("#oauth_password", password)
    await browser.click(".auth-container:has(#oauth_username) .btn.authorize")
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


def form(operation: dict[str, Any]) -> tuple[Any, ...]:
    """Return what the page has to fill in for an operation: the kinds of its body and of its parameters."""
    parameters = {
        (
            parameter["in"],
            parameter["schema"].get("type"),
            "default" in parameter["schema"],
            "example" in parameter,
        )
        for parameter in operation.get("parameters", ())
    }
    return (
        *operation.get("requestBody", {}).get("content", {}),
        bool(operation["security"]),
        *sorted(parameters, key=str),
    )


def walked() -> Iterator[dict[str, Any]]:
    """Yield the operations to send: one of each form, and those that make what others ask for; in the long form, all.

    ``tests/conformance/test_examples.py`` sends every one, as the page does, on each run.
    """
    met = set()
    for _, _, operation in operations(document()):
        name, kind = operation["operationId"], form(operation)
        # What is sent before them has taken away what they ask for.
        if name in AS_ADA or name in {"merge_tag", "remove_participant"}:
            continue
        if EVERY or kind not in met or name in FIRST:
            yield operation
        met.add(kind)


async def test_untouched_examples_succeed(tmp_path: Path) -> None:
    refused = {}
    with fresh_server(tmp_path) as server:
        async with browsing(**DESK) as browser:
            await show(browser, server)
            await log_in(browser, "admin@example.com", "changethis")
            for operation in walked():
                status, body = await send(browser, operation["tags"][0], operation["operationId"])
                if not 200 <= status < 300:
                    refused[operation["operationId"]] = f"{status} {body}"
    assert refused == {}
