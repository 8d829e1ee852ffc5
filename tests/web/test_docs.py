import json
import re
from importlib.resources import files
from typing import Annotated, Any

import httpx
import pytest
from fastapi import FastAPI, Form, Query
from pydantic import BaseModel, Field

from tests.web.apps import caller, new_app, new_router
from tradepost.core.errors import NotFound, TooManyRequests
from tradepost.core.settings.settings import Settings
from tradepost.web import docs, openapi
from tradepost.web.openapi import CREDENTIALS_OPTIONAL, UntrueDocumentError
from tradepost.web.problems.documentation import problem_responses
from tradepost.web.routing.parameters import MAX_SKIP, Limit, Skip


class Thing(BaseModel):
    name: str
    maker_id: int = Field(default=1, ge=1, le=2**63 - 1)
    weight: float = Field(default=1, le=2.5)


def things() -> Any:
    router = new_router(prefix="/things", tags=["items"])

    @router.get("/{thing_id}", responses=problem_responses(NotFound), openapi_extra=CREDENTIALS_OPTIONAL)
    async def read_thing(thing_id: int) -> Thing:
        """Read a thing."""
        return Thing(name=str(thing_id))

    @router.get("/", openapi_extra=CREDENTIALS_OPTIONAL)
    async def list_things(q: Annotated[str, Query()] = "") -> list[Thing]:
        return []

    @router.post("/")
    async def create_thing(thing: Thing) -> Thing:
        return thing

    @router.put("/{thing_id}")
    @router.patch("/{thing_id}")
    async def update_thing(thing_id: int, thing: Thing) -> Thing:
        return thing

    @router.get("/mine")
    async def list_my_things(skip: Skip = 0, limit: Limit = 100) -> list[Thing]:
        return []

    @router.post("/login", responses=problem_responses(TooManyRequests))
    async def log_in(name: Annotated[str, Form()]) -> str:
        return name

    return router


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    document: dict[str, Any] = json.loads(json.dumps(new_app(things()).openapi()))
    return document


def operations(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {
        operation["operationId"]: operation
        for methods in document["paths"].values()
        for operation in methods.values()
    }


def test_operations_are_called_after_their_functions(document: dict[str, Any]) -> None:
    assert document["openapi"].startswith("3.1")
    assert set(operations(document)) == {
        "read_thing", "list_things", "list_my_things", "create_thing", "update_thing", "patch_thing", "log_in",
    }  # fmt: skip
    assert document["tags"] == [{"name": "items", "description": "Things for sale"}]


def test_every_error_is_a_problem(document: dict[str, Any]) -> None:
    assert "HTTPValidationError" not in json.dumps(document)
    for operation in operations(document).values():
        assert "default" in operation["responses"]
        for status, response in operation["responses"].items():
            if status == "default" or int(status) >= 400:
                assert list(response["content"]) == ["application/problem+json"]
                assert response["content"]["application/problem+json"]["schema"] == {
                    "$ref": "#/components/schemas/Problem"
                }
    found = operations(document)
    assert set(found["read_thing"]["responses"]) == {"200", "404", "422", "default"}
    assert set(found["create_thing"]["responses"]) == {"200", "413", "415", "422", "default"}


def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    references = set(re.findall(r'"#/components/schemas/([^"]+)"', json.dumps(document)))
    assert {"Problem", "FieldProblem", "Thing"} <= references
    assert references <= set(document["components"]["schemas"])


def test_bounds_of_integers_are_exact(document: dict[str, Any]) -> None:
    properties = document["components"]["schemas"]["Thing"]["properties"]
    assert json.dumps(properties["maker_id"]["maximum"]) == "9223372036854775807"
    assert json.dumps(properties["maker_id"]["minimum"]) == "1"
    assert properties["weight"]["maximum"] == 2.5


def test_the_largest_skip_is_exact(document: dict[str, Any]) -> None:
    skip = operations(document)["list_my_things"]["parameters"][0]["schema"]
    assert json.dumps(skip["maximum"]) == str(MAX_SKIP)


def test_a_form_may_come_in_either_encoding(document: dict[str, Any]) -> None:
    content = operations(document)["log_in"]["requestBody"]["content"]
    assert set(content) == {"application/x-www-form-urlencoded", "multipart/form-data"}


def test_headers_of_what_succeeds_are_named(document: dict[str, Any]) -> None:
    headers = {
        name: set(operation["responses"]["200"].get("headers", ()))
        for name, operation in operations(document).items()
    }
    assert headers.pop("list_my_things") == {"X-Total-Count", "Link"}
    assert headers.pop("log_in") == {"RateLimit", "RateLimit-Policy"}
    assert not any(headers.values())


def test_a_route_may_be_for_strangers_too(document: dict[str, Any]) -> None:
    assert operations(document)["list_things"]["security"] == [{}]
    assert "x-credentials-optional" not in json.dumps(document)


def test_two_functions_of_one_name_are_refused() -> None:
    other = new_router(prefix="/other")

    @other.get("/")
    async def create_thing() -> None:
        return None

    app = new_app(things(), other)
    with (
        pytest.warns(UserWarning, match="Duplicate"),
        pytest.raises(UntrueDocumentError, match="create_thing"),
    ):
        app.openapi()


# --- the pages --------------------------------------------------------------------------------------------------------


def documented_app() -> FastAPI:
    settings = Settings(PROJECT_NAME="Shop <&>")
    return new_app(
        things(),
        extend=lambda app: app.include_router(docs.build_router(app, settings)),
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
        assert found.get("servers") == ([{"url": "/shop"}] if root else None)


async def test_files_are_kept_by_clients_for_ever() -> None:
    async with caller(documented_app()) as client:
        address = f"/docs/{docs.VERSION}/swagger-ui-bundle.js"
        packed = await client.get(address)
        assert packed.headers["cache-control"] == "public, max-age=31536000, immutable"
        assert packed.headers["content-encoding"] == "gzip"
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


def test_options_leave_nothing_to_the_framework() -> None:
    assert openapi.options(Settings())["openapi_url"] is None
