from collections.abc import AsyncIterator

import httpx
import pytest
import pytest_asyncio

from tests.web.apps import caller, new_app, new_router
from tradepost.core.wire.pagination import Page
from tradepost.core.wire.schemas import MAX_ID
from tradepost.web.routing.lists import MAX_SKIP, PlainWindow
from tradepost.web.routing.parameters import PathId

router = new_router()


@router.get("/things/{thing_id}")
async def read_thing(thing_id: PathId) -> int:
    return thing_id


@router.get("/pages")
async def read_page(window: PlainWindow) -> int:
    page: int = Page([], None, window).info["page"]
    return page


@pytest_asyncio.fixture(scope="module")
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with caller(new_app(router)) as client:
        yield client


@pytest.mark.parametrize("number", [1, 10, MAX_ID])
async def test_an_id_is_read(client: httpx.AsyncClient, number: int) -> None:
    assert (await client.get(f"/api/v1/things/{number}")).json() == number


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        *(
            (text, "int_parsing")
            for text in ("1_0", "1.0", "1e1", "+1", "%201", "1%20", "1%0A", "x", "-", "%D9%A1")
        ),
        *(("0", "greater_than_equal"), ("-1", "greater_than_equal"), (str(2**63), "less_than_equal")),
        ("9" * 5000, "int_parsing_size"),
    ],
)
async def test_an_id_is_digits_in_its_bounds(client: httpx.AsyncClient, text: str, kind: str) -> None:
    response = await client.get(f"/api/v1/things/{text}")
    assert response.status_code == 422
    (error,) = response.json()["errors"]
    assert (error["location"], error["type"]) == (["path", "thing_id"], kind)


def test_an_id_is_documented_as_an_integer() -> None:
    parameters = new_app(router).openapi()["paths"]["/api/v1/things/{thing_id}"]["get"]["parameters"]
    (parameter,) = (one for one in parameters if one["in"] == "path")
    schema = parameter["schema"]
    assert (schema["type"], schema["minimum"], schema["maximum"]) == ("integer", 1, MAX_ID)


async def test_a_page_has_a_number_of_64_bits(client: httpx.AsyncClient) -> None:
    response = await client.get("/api/v1/pages", params={"skip": MAX_SKIP, "limit": 1})
    assert response.json() == MAX_SKIP + 1 <= MAX_ID
    for skip in (MAX_SKIP + 1, MAX_ID):
        response = await client.get("/api/v1/pages", params={"skip": skip})
        assert [error["location"] for error in response.json()["errors"]] == [["query", "skip"]]
