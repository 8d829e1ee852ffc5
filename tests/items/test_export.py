"""Exports: everything the filter finds and the visitor may see, as lines or as a table that no spreadsheet runs."""

import asyncio
import csv
import io
import json
from contextlib import aclosing
from typing import Any

import httpx
import pytest

from tests.conftest import Person, World
from tradepost.items.export import ExportFormat, ExportsBusy, ItemExport, harmless
from tradepost.items.filters import ItemFilter

EXPORT = "/api/v1/items/export"
BULK = "/api/v1/items/bulk"


async def put_up(person: Person, *items: dict[str, Any]) -> None:
    body = "\n".join(json.dumps({"title": "Lamp", "price": 5} | item) for item in items)
    answer = await person.api.post(BULK, content=body, headers={"Content-Type": "application/x-ndjson"})
    assert json.loads(answer.text.splitlines()[-1]) == {"created": len(items), "failed": 0}


async def titles(api: httpx.AsyncClient, **query: Any) -> list[str]:
    answer = await api.get(EXPORT, params=query)
    assert answer.status_code == 200
    return [json.loads(line)["title"] for line in answer.text.splitlines()]


async def test_every_item_as_it_is_read_alone(client: httpx.AsyncClient, alice: Person) -> None:
    await put_up(alice, *({"title": f"Lamp {at}", "tags": ["b", "a"], "tax": 19} for at in range(230)))
    answer = await client.get(EXPORT)
    assert answer.headers["content-disposition"] == 'attachment; filename="items.ndjson"'
    found = [json.loads(line) for line in answer.text.splitlines()]
    assert [item["title"] for item in found] == [f"Lamp {at}" for at in range(230)]
    assert found[7] == (await client.get(f"/api/v1/items/{found[7]['id']}")).json()
    assert (await client.head(EXPORT)).text == ""


async def test_filters_and_who_sees_what(
    client: httpx.AsyncClient, alice: Person, bob: Person, moderator: Person
) -> None:
    await put_up(
        alice, {"title": "A", "tags": ["x"]}, {"title": "B", "price": 50}, {"title": "C", "status": "draft"}
    )
    await put_up(bob, {"title": "D"})
    assert await titles(client) == ["A", "B", "D"]
    assert await titles(alice.api) == ["A", "B", "C", "D"]
    assert await titles(moderator.api) == ["A", "B", "C", "D"]
    assert await titles(client, owner_id=alice.id) == ["A", "B"]
    assert await titles(client, tag="x") == ["A"]
    assert await titles(client, min_price=10) == ["B"]
    assert await titles(client, q="d") == ["D"]
    assert await titles(alice.api, status_filter="draft") == ["C"]
    assert await titles(client, category="none") == []
    refused = await client.get(EXPORT, params={"min_price": 2, "max_price": 1})
    assert refused.status_code == 422


async def test_a_table(alice: Person) -> None:
    await put_up(
        alice, {"title": '=HYPERLINK("x")', "description": 'two\nlines, "quoted"', "tags": ["a", "b, c"]}
    )
    answer = await alice.api.get(EXPORT, params={"format": "csv"})
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    head, row = csv.reader(io.StringIO(answer.text, newline=""))
    cells = dict(zip(head, row, strict=True))
    assert cells["title"] == '\'=HYPERLINK("x")'
    assert cells["description"] == 'two\nlines, "quoted"'
    assert cells["tags"] == '["a","b, c"]'
    assert cells["price"] == "5.00"
    assert cells["discount_price"] == ""
    assert answer.text.endswith("\r\n")


@pytest.mark.parametrize("begin", ["=", "+", "-", "@", "\t", "\r", "＝", "＠"])
def test_what_a_spreadsheet_would_run_is_text(begin: str) -> None:
    assert harmless(f"{begin}1") == f"'{begin}1"
    assert harmless(f"1{begin}") == f"1{begin}"


async def test_two_at_once(world: World, client: httpx.AsyncClient, alice: Person) -> None:
    await put_up(alice, *[{}] * 3)
    exports = world.resources[ItemExport]

    async def held(begun: asyncio.Event, over: asyncio.Event) -> None:
        async with aclosing(exports.chunks(ItemFilter(), None, ExportFormat.NDJSON)) as chunks:
            assert await anext(chunks)
            begun.set()
            await over.wait()

    over = asyncio.Event()
    begun = [asyncio.Event(), asyncio.Event()]
    running = [asyncio.create_task(held(one, over)) for one in begun]
    for one in begun:
        await one.wait()
    busy = await client.get(EXPORT)
    assert busy.status_code == 503
    assert busy.json()["error_code"] == ExportsBusy.code
    assert busy.headers["retry-after"] == "10"
    assert exports.running == 2
    over.set()
    await asyncio.gather(*running)
    assert exports.running == 0
    assert len(await titles(client)) == 3


async def test_it_is_of_one_moment(world: World, alice: Person) -> None:
    await put_up(alice, *[{}] * 150)
    chunks = world.resources[ItemExport].chunks(ItemFilter(), None, ExportFormat.NDJSON)

    async def first_then_rest() -> int:
        async with aclosing(chunks):
            found = (await anext(chunks)).count(b"\n")
            await asyncio.create_task(put_up(alice, *[{}] * 20))
            async for chunk in chunks:
                found += chunk.count(b"\n")
        return found

    assert await first_then_rest() == 150
