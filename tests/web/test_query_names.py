"""Query strings: unknown names are refused with the likely one, empty optional values count as not sent."""

from typing import Annotated, Any

import pytest
from fastapi import Depends, Query, Request

from tests.conftest import Person
from tests.web.apps import caller, new_app, new_router
from tradepost.web.routing.query_names import any_query, no_parameters


async def window(skip: int = 0, limit: int = 10) -> tuple[int, int]:
    return skip, limit


def app() -> Any:
    router = new_router()

    @router.get("/things")
    async def things(
        q: Annotated[str, Query(min_length=1)],
        part: Annotated[tuple[int, int], Depends(window)],
        tag: Annotated[list[str] | None, Query()] = None,
        status_filter: str | None = None,
        min_price: float | None = None,
    ) -> Any:
        return {"q": q, "part": part, "tag": tag, "status": status_filter, "min": min_price}

    @router.get("/bare")
    async def bare() -> Any:
        return {}

    @router.get("/open")
    @any_query
    async def opened(request: Request, w: int = 1) -> Any:
        return {"w": w, "query": str(request.query_params)}

    return new_app(router)


async def test_unknown_names_are_refused_with_the_likely_one() -> None:
    async with caller(app()) as client:
        answer = await client.get("/api/v1/things?q=a&status=draft&Limit=3&zzz=1&tag=x")
        assert answer.status_code == 422
        assert answer.json()["errors"] == [
            {
                "location": ["query", "status"],
                "message": "There is no such parameter; did you mean status_filter?",
                "type": "extra_forbidden",
            },
            {
                "location": ["query", "Limit"],
                "message": "There is no such parameter; did you mean limit?",
                "type": "extra_forbidden",
            },
            {
                "location": ["query", "zzz"],
                "message": "There is no such parameter",
                "type": "extra_forbidden",
            },
        ]
        assert (await client.get("/api/v1/bare?x=1")).status_code == 422
        assert (await client.get("/api/v1/bare?")).status_code == 200
        assert (await client.get("/api/v1/bare?=1")).status_code == 422


def test_of_thousands_the_first_are_looked_at() -> None:
    names = (f"limit{number}" for number in range(5000))
    refusal = no_parameters("query", names, ["limit", "skip"])
    assert [error["location"][1] for error in refusal.errors] == [f"limit{number}" for number in range(20)]
    assert next(names) == "limit20"


async def test_empty_values_are_not_set_where_they_may_be_left_out() -> None:
    async with caller(app()) as client:
        answer = await client.get("/api/v1/things?q=a&min_price=&status_filter=&skip=&tag=&tag=x&limit=")
        assert answer.json() == {"q": "a", "part": [0, 10], "tag": ["x"], "status": None, "min": None}
        required = await client.get("/api/v1/things?q=&limit=")
        assert [error["location"] for error in required.json()["errors"]] == [["query", "q"]]


async def test_an_open_endpoint_ignores_what_it_does_not_know() -> None:
    async with caller(app()) as client:
        assert (await client.get("/api/v1/open?w=2&utm_source=x")).json() == {
            "w": 2,
            "query": "w=2&utm_source=x",
        }


@pytest.mark.parametrize(
    ("path", "meant"),
    [
        ("items/?status=draft", "status_filter"),
        ("items/?category_id=31", "category"),
        ("items/user/me?limits=1", "limit"),
        ("items/search/?q=a&totals=true", "total"),
        ("users/me?fields=id", None),
        ("items/1?x=1", None),
        ("tags/?search=a", None),
        ("notifications/?cursors=a", "cursor"),
    ],
)
async def test_no_list_answers_another_question(alice: Person, path: str, meant: str | None) -> None:
    answer = await alice.api.get(f"/api/v1/{path}")
    assert answer.status_code == 422, answer.text
    (error,) = answer.json()["errors"]
    assert error["type"] == "extra_forbidden"
    if meant:
        assert error["message"].endswith(f"did you mean {meant}?")


async def test_empty_filters_filter_nothing(alice: Person) -> None:
    await alice.api.post("/api/v1/items/", json={"title": "Lamp", "price": 5})
    for path in ("items/?q=&min_price=&max_price=&category=&tag=&sort=&limit=", "items/?q="):
        answer = await alice.api.get(f"/api/v1/{path}")
        assert answer.status_code == 200, answer.text
        assert [item["title"] for item in answer.json()["items"]] == ["Lamp"]


async def test_probes_take_any_query(alice: Person) -> None:
    for path in ("/livez?x=1", "/?utm_source=mail", "/docs?theme=dark"):
        assert (await alice.api.get(path)).status_code == 200
