from collections.abc import AsyncIterator

import httpx
import pytest
import pytest_asyncio
from fastapi import FastAPI
from starlette.responses import StreamingResponse

from tests.web.apps import Lines, caller, new_app, new_router
from tradepost.core.settings.settings import Settings
from tradepost.main import create_app
from tradepost.web.routing.path_table import PathTable
from tradepost.web.routing.router import Router


def item_routes() -> Router:
    items = new_router(prefix="/items", tags=["items"])

    # Before /search/: the table must not depend on the order.
    @items.get("/{item_id}")
    async def read_item(item_id: str) -> dict[str, str]:
        return {"item": item_id}

    @items.put("/{item_id}")
    async def replace_item(item_id: str) -> dict[str, str]:
        return {"replaced": item_id}

    @items.delete("/{item_id}")
    async def delete_item(item_id: str) -> dict[str, str]:
        return {"deleted": item_id}

    @items.get("/")
    async def list_items() -> list[str]:
        return []

    @items.post("/", status_code=201)
    async def create_item() -> dict[str, str]:
        return {"created": "yes"}

    @items.get("/search/")
    async def search_items() -> dict[str, str]:
        return {"search": "yes"}

    @items.get("/popular")
    async def popular_items() -> dict[str, str]:
        return {"popular": "yes"}

    @items.post("/{item_id}/images/")
    async def add_images(item_id: str) -> dict[str, str]:
        return {"images of": item_id}

    return items


def file_routes() -> Router:
    files = new_router(prefix="/upload/files")

    @files.get("/{category}/{name:path}")
    async def read_file(category: str, name: str) -> dict[str, str]:
        return {"category": category, "name": name}

    @files.get("/stream/")
    async def stream() -> StreamingResponse:
        async def chunks() -> AsyncIterator[bytes]:
            yield b"a"
            yield b"b"

        return StreamingResponse(chunks(), headers={"X-Stream": "yes"})

    return files


def routers() -> list[Router]:
    return [item_routes(), file_routes()]


@pytest.fixture
def lines() -> Lines:
    return Lines()


@pytest.fixture
def app(lines: Lines) -> FastAPI:
    return new_app(*routers(), lines=lines)


@pytest_asyncio.fixture
async def client(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    async with caller(app) as client:
        yield client


@pytest.mark.parametrize(
    ("path", "answer", "template"),
    [
        ("/items/", [], "/items/"),
        ("/items", [], "/items/"),
        ("/items/7", {"item": "7"}, "/items/{item_id}"),
        ("/items/7/", {"item": "7"}, "/items/{item_id}"),
        ("/items/search/", {"search": "yes"}, "/items/search/"),
        ("/items/search", {"search": "yes"}, "/items/search/"),
        ("/items/popular", {"popular": "yes"}, "/items/popular"),
        ("/items/popular/", {"popular": "yes"}, "/items/popular"),
        ("/upload/files/a/b/c.png", {"category": "a", "name": "b/c.png"}, "/upload/files/{category}/{name}"),
    ],
)
async def test_both_forms_of_a_path_are_served(
    client: httpx.AsyncClient, lines: Lines, path: str, answer: object, template: str
) -> None:
    response = await client.get(f"/api/v1{path}")
    assert (response.status_code, response.json()) == (200, answer)
    assert lines[-1]["template"] == f"/api/v1{template}"


@pytest.mark.parametrize(
    ("path", "allow"),
    [
        ("/items/7", "DELETE, GET, HEAD, PUT"),
        ("/items/7/", "DELETE, GET, HEAD, PUT"),
        ("/items", "GET, HEAD, POST"),
        ("/items/", "GET, HEAD, POST"),
        ("/items/search", "GET, HEAD"),
        ("/items/7/images", "POST"),
        ("/items/7/images/", "POST"),
    ],
)
@pytest.mark.parametrize("method", ["PATCH", "TRACE", "BREW"])
async def test_another_method_is_told_all_that_are(
    client: httpx.AsyncClient, method: str, path: str, allow: str
) -> None:
    response = await client.request(method, f"/api/v1{path}")
    assert response.status_code == 405
    assert response.headers["allow"] == allow
    assert response.json()["error_code"] == "HTTP_405"
    asked = await client.options(f"/api/v1{path}")
    assert (asked.status_code, asked.headers["allow"], asked.content) == (204, f"{allow}, OPTIONS", b"")


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/api",
        "/api/v1",
        "/api/v1/item",
        "/api/v1/items//",
        "/api/v1/items/7/8/9",
        "//",
        "/api/v1//items/",
    ],
)
async def test_nobody_lives_at_other_paths(client: httpx.AsyncClient, lines: Lines, path: str) -> None:
    response = await client.get(f"http://testserver{path}")
    assert response.status_code == 404
    assert response.json()["error_code"] == "HTTP_404"
    assert lines[-1]["template"] == "unmatched"


@pytest.mark.parametrize("path", ["/items", "/items/7", "/items/7/", "/upload/files/stream"])
async def test_head_is_get_without_the_body(client: httpx.AsyncClient, path: str) -> None:
    got, headed = await client.get(f"/api/v1{path}"), await client.head(f"/api/v1{path}")
    assert headed.status_code == got.status_code == 200
    assert headed.content == b""
    different = {"x-request-id", "x-process-time"}
    assert {name: value for name, value in headed.headers.items() if name not in different} == {
        name: value for name, value in got.headers.items() if name not in different
    }


async def test_head_of_what_only_takes_posts_is_refused(client: httpx.AsyncClient) -> None:
    assert (await client.head("/api/v1/items/7/images/")).status_code == 405


def test_only_canonical_paths_are_documented(app: FastAPI) -> None:
    assert set(app.openapi()["paths"]) == {
        "/api/v1/items/",
        "/api/v1/items/{item_id}",
        "/api/v1/items/search/",
        "/api/v1/items/popular",
        "/api/v1/items/{item_id}/images/",
        "/api/v1/upload/files/{category}/{name}",
        "/api/v1/upload/files/stream/",
    }


async def test_a_prefix_that_a_proxy_takes_off_is_no_part_of_the_path(app: FastAPI) -> None:
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app, root_path="/shop"), base_url="http://testserver"
    ) as client:
        assert (await client.get("/shop/api/v1/items/7")).json() == {"item": "7"}


async def test_what_is_mounted_is_still_reached() -> None:
    inner = FastAPI()

    @inner.get("/hello")
    async def hello() -> str:
        return "hello"

    outer = new_app(*routers(), extend=lambda app: app.mount("/other", inner))
    async with caller(outer) as client:
        assert (await client.get("/other/hello")).json() == "hello"
        assert (await client.get("/api/v1/items/7")).json() == {"item": "7"}
        assert (await client.get("/nowhere")).status_code == 404


def test_two_names_for_one_parameter_are_refused_at_the_start() -> None:
    router = new_router()

    @router.get("/a/{one}")
    async def first(one: str) -> str:
        return one

    @router.delete("/a/{two}")
    async def second(two: str) -> str:
        return two

    with pytest.raises(ValueError, match="one path"):
        new_app(router)


NUMBERS = ("1", "007", "42.ics", "42", "", "\u00b2", "1/", "-1", "1e3", "popular", "5\n")


def test_a_path_that_ends_in_a_number_is_found_as_the_search_finds_it() -> None:
    app = create_app(Settings())
    table = next(route for route in app.router.routes if isinstance(route, PathTable))
    ends = {entry.template.rpartition("/")[0] for entries in table._by_depth.values() for entry in entries}
    assert table._numbered.keys() <= ends
    assert "/api/v1/items" in table._numbered
    for before in ends:
        for last in NUMBERS:
            path = f"{before}/{last}"
            if path not in table._fixed:
                assert table.find(path) == table._search(path), path
