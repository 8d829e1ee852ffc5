"""The list of events: windows of time, filters, words, orders and pages."""

from typing import Any

import httpx
import pytest

from tests.conftest import Person, World
from tests.events.gatherings import EVENTS, fault, join, listed, moment, path_of, plan


async def three(world: World, alice: Person) -> list[dict[str, Any]]:
    """Return events of the next hours: from the first to the third, each right after the one before."""
    return [
        await plan(
            world,
            alice,
            start_date=moment(world, hours=at),
            end_date=moment(world, hours=at + 1),
            title=title,
        )
        for at, title in enumerate(("First of all", "Second in a row", "Third and last"), 1)
    ]


async def test_a_window_is_half_open(world: World, client: httpx.AsyncClient, alice: Person) -> None:
    with world.clock.stopped():
        a, b, c = await three(world, alice)
        ids = [event["id"] for event in (a, b, c)]
        for window, found in (
            ({}, ids),
            ({"from": b["start_date"]}, ids[1:]),
            ({"to": b["start_date"]}, ids[:1]),
            ({"from": b["start_date"], "to": b["end_date"]}, ids[1:2]),
            ({"from": moment(world, hours=2, minutes=30), "to": moment(world, hours=3, minutes=30)}, ids[1:]),
            ({"from": b["start_date"], "to": b["start_date"]}, []),
            ({"from": c["end_date"]}, []),
            ({"from": "0001-01-01T00:00:00Z", "to": "9999-12-31T23:59:59Z"}, ids),
        ):
            assert await listed(client, **window) == found, window


async def test_what_is_over_is_left_out_unless_it_is_asked_for(
    world: World, client: httpx.AsyncClient, alice: Person
) -> None:
    long = await plan(world, alice, start_date=moment(world, minutes=1), end_date=moment(world, days=400))
    short = await plan(world, alice, start_date=moment(world, minutes=5), end_date=moment(world, minutes=10))
    begin = moment(world)
    world.clock.move(12 * 60)
    assert await listed(client) == [long["id"]]
    assert await listed(client, **{"from": begin}) == [long["id"], short["id"]]
    assert (await client.get(EVENTS)).json()["total"] == 1


async def test_filters_and_orders(
    world: World, client: httpx.AsyncClient, alice: Person, bob: Person
) -> None:
    a, b, c = [event["id"] for event in await three(world, alice)]
    other = await plan(world, bob, start_date=moment(world, minutes=30), end_date=moment(world, hours=9))
    await alice.api.post(path_of({"id": b}, "cancel"))
    await join(other, alice)
    assert await listed(client) == [other["id"], a, b, c]
    assert await listed(client, sort="-start_date") == [c, b, a, other["id"]]
    assert await listed(client, sort="created_at") == [a, b, c, other["id"]]
    assert await listed(client, sort="-created_at", limit=2) == [other["id"], c]
    assert await listed(client, organiser_id=alice.id, status="planned") == [a, c]
    assert await listed(client, status="cancelled") == [b]
    assert await listed(alice.api, joined="true") == [other["id"]]
    assert await listed(bob.api, joined="true") == []
    found = (await client.get(EVENTS, params={"skip": 1, "limit": 2})).json()
    assert [event["id"] for event in found["events"]] == [a, b]
    assert (found["total"], found["page"], found["pages"]) == (4, 1, 2)
    pages, cursor = [], None
    while True:
        query = {"limit": 1} | ({"cursor": cursor} if cursor else {})
        page = (await client.get(EVENTS, params=query)).json()
        pages += [event["id"] for event in page["events"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert pages == [other["id"], a, b, c]


@pytest.mark.parametrize(
    ("q", "found"),
    [
        ("cafe", {"café", "katze"}),
        ("CAFÉ", {"café", "katze"}),
        ("repair tea", {"café"}),
        ("tea repair", {"café"}),
        ("rep", {"café"}),
        ("rep tea", set()),
        ('"bring tea"', {"café"}),
        ('"tea bring"', set()),
        ("cafe -katze", {"café"}),
        ("-cafe", {"tokyo"}),
        ("京", {"tokyo"}),
        ("東京", {"tokyo"}),
        ("100%", {"tokyo"}),
        ("%", {"tokyo"}),
        ("_", set()),
        ("'", set()),
        ('"', set()),
    ],
)
async def test_words(world: World, client: httpx.AsyncClient, alice: Person, q: str, found: set[str]) -> None:
    events = {
        "café": await plan(world, alice, title="Repair Cafe\u0301"),
        "katze": await plan(world, alice, title="Café mit Katze", description="Nur für Katzenfreunde"),
        "tokyo": await plan(world, alice, title="東京の集まり", description="100% Spaß, null Regeln"),
    }
    names = {event["id"]: name for name, event in events.items()}
    assert {names[event_id] for event_id in await listed(client, q=q)} == found


async def test_words_follow_changes(world: World, client: httpx.AsyncClient, alice: Person) -> None:
    event = await plan(world, alice)
    await alice.api.patch(path_of(event), json={"title": "Chess evening"})
    assert await listed(client, q="repair") == []
    assert await listed(client, q="chess tea") == [event["id"]]


@pytest.mark.parametrize(
    ("query", "field", "kind"),
    [
        ({"from": "2026-12-05T18:00:00"}, "from", "timezone_aware"),
        ({"to": "tomorrow"}, "to", "datetime_parsing"),
        ({"from": "2999-01-02T00:00:00Z", "to": "2999-01-01T00:00:00Z"}, "from", "value_error"),
        ({"sort": "title"}, "sort", "sort"),
        ({"status": "over"}, "status", "enum"),
        ({"q": "x" * 201}, "q", "string_too_long"),
        ({"since": "2999-01-02T00:00:00Z"}, "since", "extra_forbidden"),
    ],
)
async def test_a_refusal_names_the_parameter(
    client: httpx.AsyncClient, query: dict[str, str], field: str, kind: str
) -> None:
    assert fault(await client.get(EVENTS, params=query)) == (422, ["query", field], kind)
