"""``/admin`` in a browser, at the width of a desk and of a phone: logging in, finding, acting, and what the API says then."""

import json
import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, Final

import httpx
import pyotp
import pytest
import pytest_asyncio

from tests.flows.live import PASSWORD, ROOT, Account, LiveServer, environment, join, log_in, serving
from tests.outside.browser import Browser, browsing, needs_browser
from tests.outside.test_generated_clients import AWAY, needs_node, run
from tests.uploading import pdf, png

pytestmark = needs_browser

DESK: dict[str, Any] = {"width": 1440, "height": 900}
PHONE: dict[str, Any] = {"width": 390, "height": 844, "phone": True}
ADMIN: Final = ("admin@example.com", "changethis")
HERE: Final = Path(__file__).parent / "axe"
BUILD: Final = ROOT / "build" / "axe"
SECTIONS: Final = (
    "people",
    "items",
    "tags",
    "categories",
    "events",
    "files",
    "messages",
    "webhooks",
    "audit",
)
JUDGE: Final = """
const found = await axe.run(document, {runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]});
return found.violations.filter((one) => ["serious", "critical"].includes(one.impact))
  .map((one) => `${one.id}: ${one.nodes.map((node) => node.target.join(" ")).slice(0, 3)}`);
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    with serving(environment(tmp_path_factory.mktemp("data")), "--host", "127.0.0.1") as server:
        yield server


@pytest_asyncio.fixture(scope="module", params=[DESK, PHONE], ids=["desk", "phone"])
async def window(request: pytest.FixtureRequest, server: LiveServer) -> AsyncIterator[Browser]:
    await server.ready()
    async with browsing(**request.param) as browser:
        yield browser


@pytest_asyncio.fixture
async def api(server: LiveServer) -> AsyncIterator[httpx.AsyncClient]:
    async with server.client() as client:
        token = (await log_in(client, *ADMIN))["access_token"]
    async with server.client(token) as client:
        yield client


@pytest_asyncio.fixture
async def browser(window: Browser, server: LiveServer) -> AsyncIterator[Browser]:
    """A window of somebody who was never here; whatever the page did, the browser has nothing to say against it."""
    await window.open(f"{server.url}/admin")
    await window.run("sessionStorage.clear(); location.hash = ''")
    await window.reload()
    await window.find("#log-in")
    await window.console()
    yield window
    assert await window.console() == []


async def enter(browser: Browser, email: str = ADMIN[0], password: str = ADMIN[1]) -> None:
    await browser.write("[name=username]", email)
    await browser.write("[name=password]", password)
    await browser.click("#log-in button[type=submit]")


async def go(browser: Browser, path: str, title: str) -> None:
    """Go to a page of the console and wait until it is there."""
    await browser.run("location.hash = arguments[0]", f"#/{path}")
    shown = (
        "const heading = document.querySelector('h1');"
        "return heading?.textContent === arguments[0] && !document.querySelector('[aria-busy=true]')"
    )
    await browser.until(shown, title)


async def act(browser: Browser, name: str) -> None:
    """Press the button of an act, and confirm it."""
    await browser.click(f"[data-act='{name}']")
    await browser.click("dialog button[type=submit]")
    await browser.until("return !document.querySelector('dialog')")


async def applied(server: LiveServer, email: str) -> Account:
    async with server.client() as client:
        return await join(client, email)


@pytest.fixture
def person(request: pytest.FixtureRequest) -> str:
    """The address of somebody whom this test, at this width, has for itself."""
    return f"{''.join(filter(str.isalnum, request.node.name))[-40:].lower()}@example.com"


async def test_find_somebody_act_and_see_what_the_api_says(
    browser: Browser, server: LiveServer, api: httpx.AsyncClient, person: str
) -> None:
    account = await applied(server, person)
    await enter(browser)
    await browser.find("table")
    await browser.write("[name=q]", person[:20].upper())
    await browser.click(".filters button[type=submit]")
    await browser.until("return document.querySelectorAll('tbody tr').length === 1")
    await browser.click("tbody a")
    await browser.find("[data-act='switch off']")
    await act(browser, "switch off")
    await browser.find("[data-act='switch on']")
    user = (await api.get(f"/users/{account.id}")).json()
    assert user["is_active"] is False
    lines = (await api.get("/audit", params={"target_id": account.id})).json()["lines"]
    assert "user.deactivated" in {line["action"] for line in lines}
    await act(browser, "switch on")
    await browser.find("[data-act='switch off']")
    await browser.click("[data-act='change role']")
    await browser.run("document.querySelector('dialog select').value = 'moderator'")
    await browser.click("dialog button[type=submit]")
    await browser.until("return document.querySelector('.facts')?.textContent.includes('moderator')")
    assert (await api.get(f"/users/{account.id}")).json()["role"] == "moderator"


async def test_log_ins_and_keys_of_somebody_are_ended(
    browser: Browser, server: LiveServer, api: httpx.AsyncClient, person: str
) -> None:
    account = await applied(server, person)
    async with server.client(account.token) as client:
        await client.post("/auth/api-keys", json={"name": "Robot"})
    await enter(browser)
    await browser.find("table")
    await browser.run("location.hash = arguments[0]", f"#/people/{account.id}")
    await act(browser, "revoke-key")
    await browser.until("return !document.querySelector(\"[data-act='revoke-key']\")")
    assert (await api.get(f"/users/{account.id}/api-keys")).json()["total"] == 0
    await act(browser, "end-session")
    await browser.until("return !document.querySelector(\"[data-act='end-session']\")")
    async with server.client(account.token) as client:
        assert (await client.get("/users/me")).status_code == 401


async def test_a_second_factor_is_asked_for(browser: Browser, server: LiveServer, person: str) -> None:
    account = await applied(server, person)
    async with server.client() as client:
        admin = (await log_in(client, *ADMIN))["access_token"]
    async with server.client(admin) as client:
        await client.put(f"/users/{account.id}", json={"role": "moderator"})
    async with server.client(account.token) as client:
        secret = (await client.post("/auth/totp")).json()["secret"]
        first = {"code": pyotp.TOTP(secret).now()}
        codes = (await client.post("/auth/totp/confirm", json=first)).json()["recovery_codes"]
    await enter(browser, person, PASSWORD)
    await browser.write("[name=otp]", codes[0])
    await browser.click("#log-in button[type=submit]")
    await browser.find("table")
    sections = await browser.text("#sections")
    assert "People" in sections
    assert "Audit" not in sections, "that is for admins"


async def test_a_moderator_sees_what_moderators_may(
    browser: Browser, server: LiveServer, api: httpx.AsyncClient, person: str
) -> None:
    account = await applied(server, person)
    await api.put(f"/users/{account.id}", json={"role": "moderator"})
    item = (await api.post("/items/", json={"title": "Lamp", "price": 5})).json()["id"]
    await enter(browser, person, PASSWORD)
    await browser.find("table")
    for section in ("items", "tags", "categories", "events", "files", "people"):
        await go(browser, section, section.title())
    await browser.run("location.hash = arguments[0]", f"#/people/{account.id}")
    await browser.find(".facts")
    assert await browser.run("return document.querySelectorAll('[data-act]').length") == 0
    await go(browser, f"items/{item}", "Lamp")
    await act(browser, "delete")
    assert (await api.get(f"/items/{item}")).status_code == 404
    await browser.run("location.hash = '#/audit'")
    await browser.until("return location.hash === '#/people'")


async def test_no_list_is_counted(browser: Browser) -> None:
    """A million rows are shown a page at a time; to count them would take longer."""
    await enter(browser)
    await browser.find("table")
    for section in SECTIONS:
        await go(browser, section, section.title())
    asked = await browser.run("return performance.getEntriesByType('resource').map((each) => each.name)")
    lists = [url for url in asked if "limit=" in url]
    assert len(lists) >= len(SECTIONS) - 1  # the categories are one tree
    assert [url for url in lists if "total=estimated" not in url] == []


async def test_staff_who_need_a_second_factor_set_one_up(tmp_path: Path) -> None:
    variables = environment(tmp_path, REQUIRE_STAFF_TOTP=True)
    with serving(variables, "--host", "127.0.0.1") as server:
        await server.ready()
        async with browsing(**DESK) as browser:
            await browser.open(f"{server.url}/admin")
            await enter(browser)
            secret = await browser.text("#enrol .secret")
            await browser.write("[name=code]", "000000")
            await browser.click("#enrol button[type=submit]")
            await browser.until(
                "return document.querySelector('.problem')?.textContent.includes('Incorrect')"
            )
            await browser.write("[name=code]", pyotp.TOTP(secret).now())
            await browser.click("#enrol button[type=submit]")
            await browser.until("return document.querySelectorAll('.codes li').length === 10")
            await browser.click("main .do")
            await browser.find("table")
            assert await browser.console() == []


async def test_a_lost_second_factor_is_removed(
    browser: Browser, server: LiveServer, api: httpx.AsyncClient, person: str
) -> None:
    account = await applied(server, person)
    async with server.client(account.token) as client:
        secret = (await client.post("/auth/totp")).json()["secret"]
        await client.post("/auth/totp/confirm", json={"code": pyotp.TOTP(secret).now()})
    await enter(browser)
    await browser.find("table")
    await browser.run("location.hash = arguments[0]", f"#/people/{account.id}")
    assert "10 recovery codes left" in await browser.text(".facts")
    await act(browser, "totp")
    await browser.until(
        "return document.querySelector('.facts') && !document.querySelector('[data-act=totp]')"
    )
    assert (await api.get(f"/users/{account.id}/totp")).json()["enabled"] is False


async def test_what_is_wrong_is_said(browser: Browser, server: LiveServer, person: str) -> None:
    await enter(browser, ADMIN[0], "Wrong1234")
    await browser.until(
        "return document.querySelector('.problem')?.textContent.includes('Incorrect email or password')"
    )
    await applied(server, person)
    await enter(browser, person, PASSWORD)
    await browser.until("return document.querySelector('main')?.textContent.includes('not one of staff')")
    assert await browser.run("return sessionStorage.length") == 0
    await enter(browser)
    await browser.find("table")
    await go(browser, "tags", "Tags")
    await browser.click("[data-act='new tag']")
    await browser.click("dialog button[type=submit]")
    await browser.find("dialog [name=name][aria-invalid]")
    error = await browser.text("dialog .field .error")
    assert "at least 1 character" in error
    focus = (
        "return document.activeElement.name + document.activeElement.getAttribute('aria-describedby').length"
    )
    assert str(await browser.run(focus)).startswith("name")
    await browser.press("Escape")
    await browser.until("return !document.querySelector('dialog')")
    assert await browser.run("return document.activeElement.dataset.act") == "new tag"


async def test_without_a_mouse(browser: Browser, api: httpx.AsyncClient, person: str) -> None:
    await browser.press(*ADMIN[0], "Tab", *ADMIN[1], "Enter")
    await browser.find("table")
    await go(browser, "tags", "Tags")
    await browser.until("return document.activeElement.tagName === 'H1'")
    name = f"tag {person[:30]}"
    await browser.press("Tab", "Enter", *name, "Tab", *"Found by keys", "Tab", "Tab", "Enter")
    await browser.until("return !document.querySelector('dialog')")
    await browser.until("return document.getElementById('outcome').textContent === 'The tag was made'")
    (tag,) = (await api.get("/tags/", params={"q": name})).json()["tags"]
    assert tag["description"] == "Found by keys"


async def test_a_category_is_made_and_moved(browser: Browser, api: httpx.AsyncClient, person: str) -> None:
    name = f"Rooms {person.partition('@')[0][-20:]}"
    above = (await api.post("/categories/", json={"name": f"Above {name}", "description": "Old"})).json()[
        "id"
    ]
    await enter(browser)
    await browser.find("table")
    await go(browser, "categories", "Categories")
    await browser.click("[data-act='new category']")
    await browser.write("dialog [name=name]", name)
    await browser.write("dialog [name=parent_id]", "no number")
    await browser.click("dialog button[type=submit]")
    await browser.find("dialog [name=parent_id][aria-invalid]")
    await browser.write("dialog [name=parent_id]", str(above))
    await browser.click("dialog button[type=submit]")
    await browser.until("return !document.querySelector('dialog')")
    below = "return document.querySelector(`li[data-id='${arguments[0]}'] li`)?.dataset.id"
    made = int(await browser.until(below, above))
    # What a colleague changes while the dialog is open stays: only what is changed in it is sent.
    await browser.click(f"li[data-id='{above}'] > .acts [data-act='change or move']")
    await api.patch(f"/categories/{above}", json={"description": "New"})
    await browser.click("dialog [name=is_active]")
    await browser.click("dialog button[type=submit]")
    await browser.until("return !document.querySelector('dialog')")
    now = (await api.get(f"/categories/{above}")).json()
    assert (now["description"], now["is_active"]) == ("New", False)
    assert (await api.get(f"/categories/{made}")).json()["parent_id"] == above


async def test_pages_and_orders_are_in_the_address(
    browser: Browser, server: LiveServer, api: httpx.AsyncClient
) -> None:
    lines = "\n".join(json.dumps({"title": f"Lamp {number:02}", "price": number + 1}) for number in range(60))
    sent = await api.post("/items/bulk", content=lines, headers={"Content-Type": "application/x-ndjson"})
    assert sent.status_code == 200
    await enter(browser)
    await browser.find("table")
    await go(browser, "items?sort=-price", "Items")
    first = await browser.text("tbody a")
    await browser.click("[rel=next]")
    await browser.until("return document.querySelector('tbody a')?.textContent !== arguments[0]", first)
    await browser.until("return location.hash.includes('cursor=')")
    await browser.run("history.back()")
    await browser.until("return document.querySelector('tbody a')?.textContent === arguments[0]", first)
    await browser.write("[name=q]", "lamp 07")
    await browser.click(".filters button[type=submit]")
    await browser.until(
        "return [...document.querySelectorAll('tbody a')].some((one) => one.textContent === 'Lamp 07')"
    )
    # A reload keeps the log-in and the place; a log-out forgets the token and tells the server.
    await browser.reload()
    await browser.find("tbody a")
    token = json.loads(await browser.run("return sessionStorage.getItem('tradepost console')"))["text"]
    await browser.click("#log-out")
    await browser.find("#log-in")
    assert await browser.run("return sessionStorage.length") == 0
    async with server.client(token) as client:
        assert (await client.get("/users/me")).status_code == 401


async def test_a_log_in_that_ended_elsewhere_is_noticed(browser: Browser, server: LiveServer) -> None:
    await enter(browser)
    await browser.find("table")
    token = json.loads(await browser.run("return sessionStorage.getItem('tradepost console')"))["text"]
    async with server.client(token) as client:
        assert (await client.post("/auth/logout")).status_code == 200
    await browser.run("location.hash = '#/events'")
    await browser.until(
        "return document.querySelector('main')?.textContent.includes('Your log-in has ended')"
    )


async def test_files_of_a_draft_are_seen_and_deleted(
    browser: Browser, api: httpx.AsyncClient, person: str
) -> None:
    draft: dict[str, Any] = {"title": f"Lamp {person[:20]}", "price": 5, "status": "draft"}
    item = (await api.post("/items/", json=draft)).json()["id"]
    for kind, file in (("images", ("lamp.png", png())), ("documents", ("lamp.pdf", pdf()))):
        sent = await api.post(f"/upload/items/{item}/{kind}/", files=[("files", file)])
        assert sent.status_code == 200
    await enter(browser)
    await browser.find("table")
    await go(browser, f"items/{item}", draft["title"])
    await browser.until("return document.querySelector('main img')?.naturalWidth > 0")
    await go(browser, "files", "Files")
    await browser.until("return document.querySelectorAll('tbody tr').length > 1")
    await browser.click("tbody tr:nth-child(1) [data-act=look]")
    assert "lamp.pdf" in await browser.text("dialog a[download]")
    await browser.click("dialog .cancel")
    await browser.click("tbody tr:nth-child(2) [data-act=look]")
    await browser.until("return document.querySelector('dialog img')?.naturalWidth > 0")
    await browser.click("dialog .cancel")
    rows = await browser.run("return document.querySelectorAll('tbody tr').length")
    await browser.click("tbody tr:nth-child(1) [data-act=delete]")
    await browser.click("dialog button[type=submit]")
    await browser.until("return document.querySelectorAll('tbody tr').length === arguments[0] - 1", rows)
    newest = (await api.get("/upload/files/")).json()["files"][0]
    assert newest["original_name"] == "lamp.png"


async def test_messages_that_were_given_up_are_retried(
    browser: Browser, api: httpx.AsyncClient, person: str
) -> None:
    await api.post("/items/", json={"title": f"Lamp {person[:20]}", "price": 5})
    await enter(browser)
    await browser.find("table")
    await go(browser, "messages?type=items.created.v1", "Messages")
    await browser.click("tbody a")
    await browser.until("return document.querySelector('h1')?.textContent === 'items.created.v1'")
    assert "item_id" in await browser.text("main pre")
    await go(browser, "messages", "Messages")
    await browser.click("[data-act='retry dead ones']")
    await browser.write("dialog [name=channel]", "nowhere")
    await browser.click("dialog button[type=submit]")
    await browser.until("return document.getElementById('outcome').textContent.includes('0 messages')")


async def test_a_message_is_sent_to_a_webhook_again(
    browser: Browser, api: httpx.AsyncClient, person: str
) -> None:
    body: dict[str, Any] = {"url": f"https://example.com/{person}", "event_types": ["items.created"]}
    hook = (await api.post("/webhooks/", json=body)).json()["id"]
    await api.post(f"/webhooks/{hook}/test")
    await enter(browser)
    await browser.find("table")
    await go(browser, f"webhooks/{hook}", body["url"])
    await browser.click("[data-act=look]")
    assert str(hook) in await browser.text("dialog pre")
    await browser.click("dialog .cancel")
    await act(browser, "send again")
    await browser.until("return document.querySelectorAll('tbody tr').length === 2")
    assert (await api.get(f"/webhooks/{hook}/deliveries/")).json()["total"] == 2
    lines = (await api.get("/audit", params={"action": "webhook.redelivered", "target_id": hook})).json()[
        "lines"
    ]
    assert len(lines) == 1


async def test_what_people_wrote_stays_text(browser: Browser, api: httpx.AsyncClient, person: str) -> None:
    nasty = f"<img src=x onerror=alert(1)> {person[:20]}"
    item = (await api.post("/items/", json={"title": nasty, "price": 1, "description": nasty})).json()
    await enter(browser)
    await browser.find("table")
    await go(browser, f"items/{item['id']}", nasty)
    assert await browser.run("return document.querySelectorAll('main img').length") == 0


@pytest.fixture(scope="module")
def axe() -> str:
    """The source of axe, of the version and the bytes that the lock names."""
    BUILD.mkdir(parents=True, exist_ok=True)
    for name in ("package.json", "package-lock.json"):
        shutil.copy(HERE / name, BUILD)
    try:
        run("npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts", cwd=BUILD)
    except AssertionError as error:
        if away := AWAY.search(str(error)):
            pytest.skip(f"npm cannot reach its registry to fetch axe: {away[0]}")
        raise
    return (BUILD / "node_modules" / "axe-core" / "axe.min.js").read_text(encoding="utf-8")


@needs_node
async def test_axe_and_the_width_find_no_fault(
    browser: Browser, api: httpx.AsyncClient, axe: str, person: str
) -> None:
    tag = (await api.post("/tags/", json={"name": f"axe {person.partition('@')[0][-20:]}"})).json()["name"]
    item = {"title": "Lamp", "price": 5, "tags": [tag]}
    await api.post("/items/", json=item)
    await api.post("/categories/", json={"name": f"Lamps {person.partition('@')[0][-20:]}"})
    faults: dict[str, list[str]] = {}

    async def look(where: str) -> None:
        await browser.run(axe + "; window.axe = axe")
        found = await browser.run(JUDGE)
        await browser.prefer("dark")
        found += [f"in the dark, {fault}" for fault in await browser.run(JUDGE)]
        await browser.prefer("light")
        if not await browser.run("return document.documentElement.scrollWidth <= innerWidth"):
            found.append("wider than the window")
        if found:
            faults[where] = found

    await look("log-in")
    await enter(browser)
    await browser.find("table")
    for section in SECTIONS:
        await go(browser, section, section.title())
        await look(section)
    await browser.run("location.hash = '#/people/1'")
    await browser.find(".facts")
    await look("a person")
    await browser.click("[data-act='change role']")
    await browser.find("dialog[open]")
    await look("a dialog")
    await browser.press("Escape")
    assert faults == {}
