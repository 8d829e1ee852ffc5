"""A router's routes are made once, in the application that it is added to, and are what FastAPI's own would be."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI

from tradepost.web.routing.route import Route
from tradepost.web.routing.router import Router


async def asker() -> str:
    return "somebody"


def declared(things: APIRouter) -> APIRouter:
    @things.get("/{thing_id}", tags=["more"], responses={404: {"description": "none"}})
    async def read_thing(thing_id: int, name: Annotated[str, Depends(asker)]) -> dict[str, int]:
        """Read one."""
        return {name: thing_id}

    @things.post("/", status_code=201, include_in_schema=False)
    async def make_thing(body: dict[str, int]) -> dict[str, int]:
        return body

    return things


OPTIONS: dict[str, Any] = {
    "prefix": "/things",
    "tags": ["things"],
    "dependencies": [Depends(asker)],
    "responses": {503: {"description": "away"}},
}


def test_what_is_added_is_what_is_included() -> None:
    added, included = FastAPI(), FastAPI()
    ours = Router(**OPTIONS)
    declared(ours)
    ours.add_to(added, prefix="/v1")
    included.include_router(declared(APIRouter(route_class=Route, **OPTIONS)), prefix="/v1")
    assert added.openapi() == included.openapi()
    assert set(added.openapi()["paths"]["/v1/things/{thing_id}"]["get"]["responses"]) == {
        "200",
        "404",
        "422",
        "503",
    }


def test_routes_are_made_once_and_for_each_application_anew() -> None:
    made: list[str] = []

    class Counted(Route):
        def __init__(self, path: str, *arguments: Any, **options: Any) -> None:
            made.append(path)
            super().__init__(path, *arguments, **options)

    things = Router(prefix="/things", route_class=Counted)
    declared(things)
    assert made == []
    first, second = FastAPI(), FastAPI()
    things.add_to(first, prefix="/v1")
    things.add_to(second, prefix="/v2")
    first.openapi()
    assert made == ["/v1/things/{thing_id}", "/v1/things/", "/v2/things/{thing_id}", "/v2/things/"]
