"""``QUERY /items/``: the list's parameters as a JSON body."""

from typing import Any

import httpx
import pytest

from tests.conftest import Person
from tests.items.market import ITEMS, faults, page, sell


async def query(caller: httpx.AsyncClient, body: Any) -> httpx.Response:
    return await caller.request("QUERY", ITEMS, json=body)


async def test_a_body_is_read_as_a_query_string_is(client: httpx.AsyncClient, alice: Person) -> None:
    for number in range(5):
        await sell(alice, str(number), price=number + 1, tags=["a", "b"][: number % 3])
    asked: dict[str, Any]
    for asked in (
        {},
        {"limit": 2, "skip": 1},
        {"tag": ["a", "b"], "sort": "price,-views", "total": False},
        {"tag": "a", "min_price": 2.5, "max_price": "5", "total": "estimated"},
        {"owner_id": alice.id, "q": "3", "fields": "id,title", "expand": "category"},
    ):
        answer = await query(client, asked)
        assert answer.status_code == 200, answer.text
        sent = {
            name: str(value).lower() if isinstance(value, bool) else value for name, value in asked.items()
        }
        assert answer.json() == await page(client, ITEMS, **sent)
        assert "link" not in answer.headers
        assert answer.headers["cache-control"] == "no-cache", "it changes nothing"
    listed = await query(client, {"fields": ["title"], "sort": ["-price", "title"], "limit": None, "q": ""})
    assert listed.json()["items"][0] == {"title": "4"}


async def test_cursors_are_those_of_the_list(client: httpx.AsyncClient, alice: Person) -> None:
    for number in range(3):
        await sell(alice, str(number))
    first = (await query(client, {"limit": 2})).json()
    assert (await query(client, {"cursor": first["next_cursor"]})).json()["items"][0]["title"] == "0"
    assert (await page(client, cursor=first["next_cursor"]))["items"][0]["title"] == "0"


@pytest.mark.parametrize(
    ("body", "field", "kind"),
    [
        ({"limit": 0}, "limit", "greater_than_equal"),
        ({"sort": "id"}, "sort", "sort"),
        ({"fields": ["titel"]}, "fields", "field"),
        ({"cursor": "x"}, "cursor", "cursor"),
        ({"cursor": "x", "skip": 0}, "skip", "skip_with_cursor"),
        ({"min_price": 2, "max_price": 1}, "min_price", "value_error"),
        ({"status": "draft"}, "status", "extra_forbidden"),
        ({"limit": [1]}, "limit", "one_value"),
        ({"tag": [{}]}, "tag", "text_or_number"),
    ],
)
async def test_what_is_wrong_is_named_in_the_body(
    client: httpx.AsyncClient, body: dict[str, Any], field: str, kind: str
) -> None:
    assert faults(await query(client, body)) == [(["body", field], kind)]


async def test_nothing_but_json_in_the_body(client: httpx.AsyncClient) -> None:
    assert (await client.request("QUERY", ITEMS, content="{}")).status_code == 415
    assert (await query(client, [1])).status_code == 422
    assert (await client.request("QUERY", f"{ITEMS}?limit=1", json={})).status_code == 422


async def test_options_say_what_is_taken(client: httpx.AsyncClient) -> None:
    answer = await client.options(ITEMS)
    assert answer.headers["accept-query"] == "application/json"
    assert "QUERY" in answer.headers["allow"].split(", ")
    assert "accept-query" not in (await client.options("/api/v1/tags/")).headers
