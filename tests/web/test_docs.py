import re
from importlib.resources import files
from typing import Annotated

import httpx
import pytest
from fastapi import FastAPI, Security
from fastapi.security import OAuth2PasswordBearer

from tests.web.apps import caller, new_app, new_router
from tradepost.core.settings.settings import Settings
from tradepost.web import docs


def documented_app() -> FastAPI:
    settings = Settings(PROJECT_NAME="Shop <&>")
    things = new_router(prefix="/things", tags=["items"])
    secured = Security(OAuth2PasswordBearer("auth/login"))

    @things.get("/")
    async def list_things(_token: Annotated[str, secured]) -> list[str]:
        return []

    return new_app(
        things,
        extend=lambda app: docs.build_router(app, settings).add_to(app),
        PROJECT_NAME="Shop <&>",
    )


async def test_the_page_works_without_internet_under_its_own_policy() -> None:
    async with caller(documented_app()) as client:
        page = await client.get("/docs")
        assert page.status_code == 200
        assert "<title>Shop &lt;&amp;&gt;</title>" in page.text
        assert "http" not in page.text
        assert not re.search(r"<script(?![^>]*src=)", page.text)
        policy = page.headers["content-security-policy"]
        assert "script-src 'self';" in policy
        assert "unsafe-eval" not in policy
        for address in re.findall(r'(?:href|src)="([^"]+)"', page.text):
            answer = await client.get(address)
            assert answer.status_code == 200, address
            assert answer.content
        assert (await client.get("/docs/")).text == page.text


@pytest.mark.parametrize("root", ["", "/shop"])
async def test_addresses_follow_the_proxy(root: str) -> None:
    transport = httpx.ASGITransport(documented_app(), root_path=root)
    async with httpx.AsyncClient(transport=transport, base_url="http://testserver") as client:
        page = await client.get(f"{root}/docs")
        assert f'data-openapi="{root}/api/v1/openapi.json"' in page.text
        found = (await client.get(f"{root}/api/v1/openapi.json")).json()
        assert [server["url"] for server in found["servers"]] == [root or "/"]
        flows = found["components"]["securitySchemes"]["OAuth2PasswordBearer"]["flows"]
        assert flows["password"]["tokenUrl"] == f"{root}/api/v1/auth/login"


async def test_files_are_kept_by_clients_for_ever() -> None:
    async with caller(documented_app()) as client:
        address = f"/docs/{docs.VERSION}/swagger-ui-bundle.js"
        packed = await client.get(address)
        assert packed.headers["cache-control"] == "public, max-age=31536000, immutable"
        assert packed.headers["content-encoding"] == "br"
        assert int(packed.headers["content-length"]) < 600_000
        plain = await client.get(address, headers={"Accept-Encoding": "identity"})
        assert "content-encoding" not in plain.headers
        assert plain.content == packed.content
        assert plain.headers["etag"] != packed.headers["etag"]
        assert plain.headers["content-type"] == "text/javascript; charset=utf-8"


@pytest.mark.parametrize("name", ["README", "LICENSE", "..%2Fdocs.py", "nothing.js"])
async def test_nothing_else_is_handed_out(name: str) -> None:
    async with caller(documented_app()) as client:
        assert (await client.get(f"/docs/{docs.VERSION}/{name}")).status_code == 404


async def test_the_document_is_put_together_once_and_named_by_its_content() -> None:
    async with caller(documented_app()) as client:
        first = await client.get("/api/v1/openapi.json")
        assert first.headers["content-type"] == "application/json"
        assert first.headers["cache-control"] == "no-cache"
        again = await client.get("/api/v1/openapi.json", headers={"If-None-Match": first.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
        assert (
            await client.get("/api/v1/openapi.json", headers={"If-None-Match": '"other"'})
        ).status_code == 200


async def test_frameworks_own_pages_are_off() -> None:
    async with caller(documented_app()) as client:
        for path in ("/redoc", "/openapi.json", "/docs/oauth2-redirect"):
            assert (await client.get(path)).status_code == 404


def test_the_files_are_of_the_version_that_is_written_down() -> None:
    directory = files("tradepost.web") / "static" / "swagger-ui"
    assert docs.VERSION in (directory / "README").read_text()
    assert docs.VERSION in (directory / "swagger-ui-bundle.js").read_text()
    assert (directory / "LICENSE").is_file()
