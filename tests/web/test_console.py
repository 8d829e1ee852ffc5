"""``/admin`` as a server gives it out; what it does in a browser is in ``tests/outside/test_console.py``."""

import re
from collections.abc import AsyncIterator
from importlib.resources import files

import httpx
import pytest
import pytest_asyncio

from tests.web.apps import caller, new_app, new_router
from tradepost.core.settings.settings import Settings
from tradepost.web import admin_page

ASSETS = files("tradepost.web") / "static" / "admin"
NAMES = sorted(each.name for each in ASSETS.iterdir() if each.name != "index.html")
SCRIPTS = [name for name in NAMES if name.endswith(".js")]
VALUES = {"PROJECT_NAME": "A <b> & C", "PUBLIC_URL": "https://shop.example.com/market"}


@pytest_asyncio.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    router = admin_page.build_router(Settings.model_validate(VALUES))
    app = new_app(new_router(prefix="/things"), extend=router.add_to)
    async with caller(app) as client:
        yield client


async def test_the_policy_allows_own_files_alone(client: httpx.AsyncClient) -> None:
    answer = await client.get("/admin")
    assert answer.status_code == 200
    policy = dict(part.split(" ", 1) for part in answer.headers["content-security-policy"].split("; "))
    assert policy["default-src"] == "'none'"
    assert (policy["script-src"], policy["style-src"], policy["connect-src"]) == ("'self'",) * 3
    assert policy["frame-ancestors"] == policy["form-action"] == policy["base-uri"] == "'none'"
    assert (policy["require-trusted-types-for"], policy["trusted-types"]) == ("'script'", "'none'")
    assert "unsafe" not in answer.headers["content-security-policy"]
    # What the policy would refuse is not there: all scripts and styles are files.
    assert re.findall(r"<script[^>]*>([^<]*)</script>", answer.text) == [""]
    assert not re.search(r"<style|\son\w+=|\sstyle=", answer.text)


async def test_no_cookie_is_set(client: httpx.AsyncClient) -> None:
    for path in ("/admin", "/admin/files/main.js"):
        assert "set-cookie" not in (await client.get(path)).headers
    for name in SCRIPTS:
        text = (ASSETS / name).read_text(encoding="utf-8")
        assert "document.cookie" not in text
        assert 'credentials: "include"' not in text


@pytest.mark.parametrize("name", SCRIPTS)
def test_no_code_makes_html_of_text(name: str) -> None:
    text = (ASSETS / name).read_text(encoding="utf-8")
    sinks = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|new Function|DOMParser|\.style\b|javascript:"
    assert not re.search(sinks, text)
    assert len(text.splitlines()) <= 400


@pytest.mark.parametrize("name", NAMES)
async def test_each_file_is_served_and_validated(client: httpx.AsyncClient, name: str) -> None:
    answer = await client.get(f"/admin/files/{name}")
    assert answer.status_code == 200
    assert (
        answer.headers["content-type"]
        == f"text/{'css' if name.endswith('css') else 'javascript'}; charset=utf-8"
    )
    again = await client.get(f"/admin/files/{name}", headers={"If-None-Match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_every_file_that_is_imported_is_there() -> None:
    for name in SCRIPTS:
        for wanted in re.findall(r'from "\./([^"]+)"', (ASSETS / name).read_text(encoding="utf-8")):
            assert wanted in SCRIPTS


@pytest.mark.parametrize("name", ["index.html", "nothing.js", "..%2Findex.html"])
async def test_nothing_else_is_served(client: httpx.AsyncClient, name: str) -> None:
    assert (await client.get(f"/admin/files/{name}")).status_code == 404


async def test_behind_a_prefix(client: httpx.AsyncClient) -> None:
    page = (await client.get("/admin")).text
    assert 'src="/market/admin/files/main.js"' in page
    assert 'data-api="/market/api/v1"' in page
    assert "A &lt;b&gt; &amp; C" in page
