"""``GET /events/{id}.ics``: read back by a calendar library, and kept to the letter of RFC 5545."""

from datetime import UTC, datetime
from typing import Any

import httpx
import icalendar
import pytest

from tests.conftest import Person, World
from tests.events.gatherings import path_of, plan, written

AWKWARD = (
    "Plain words and nothing else at all",
    "a; b, c \\ d : e \\n f \\; g",
    "Zeile eins\nZeile zwei\r\nZeile drei",
    "é" * 200,
    "日本語" * 40 + " 🧑‍🔧🪛" * 20,
    "x" * 75 + ";" * 75,
    "BEGIN:VEVENT\nEND:VCALENDAR\nATTACH:https://example.com/",
)


async def calendar(client: httpx.AsyncClient, event: dict[str, Any]) -> bytes:
    answer = await client.get(f"{path_of(event)}.ics")
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "text/calendar; charset=utf-8"
    return answer.content


def only_event(content: bytes) -> Any:
    found = icalendar.Calendar.from_ical(content)
    (event,) = found.walk("VEVENT")
    assert not event.errors
    return event


@pytest.mark.parametrize("text", AWKWARD)
async def test_what_was_written_is_read_back(
    world: World, client: httpx.AsyncClient, alice: Person, text: str
) -> None:
    title = text.replace("\r", "").replace("\n", " ")[:100]
    event = await plan(
        world,
        alice,
        title=title,
        description=text,
        start_date="2999-06-05T18:00:00+02:00",
        end_date="2999-06-05T21:30:00+02:00",
        time_zone="Europe/Berlin",
    )
    content = await calendar(client, event)
    found = only_event(content)
    assert found["SUMMARY"] == event["title"]
    assert found["DESCRIPTION"] == text.replace("\r\n", "\n")
    assert found["DTSTART"].dt == datetime(2999, 6, 5, 16, tzinfo=UTC)
    assert found["DTEND"].dt == datetime(2999, 6, 5, 19, 30, tzinfo=UTC)
    assert (found["STATUS"], found["SEQUENCE"]) == ("CONFIRMED", 1)
    assert written(found["DTSTAMP"].dt) == event["updated_at"].partition(".")[0] + "Z"
    assert content.endswith(b"END:VCALENDAR\r\n")
    for line in content.removesuffix(b"\r\n").split(b"\r\n"):
        assert len(line) <= 75
        assert b"\n" not in line
        assert b"\r" not in line
        line.decode()


async def test_changes_keep_the_uid_and_count(world: World, client: httpx.AsyncClient, alice: Person) -> None:
    event = await plan(world, alice)
    first = only_event(await calendar(client, event))
    assert await calendar(client, event) == await calendar(alice.api, event)
    await alice.api.patch(path_of(event), json={"title": "Another title"})
    await alice.api.post(path_of(event, "cancel"))
    last = only_event(await calendar(client, event))
    assert last["UID"] == first["UID"]
    assert (last["SUMMARY"], last["SEQUENCE"], last["STATUS"]) == ("Another title", 3, "CANCELLED")
    other = only_event(await calendar(client, await plan(world, alice)))
    assert other["UID"] != first["UID"]


async def test_the_path_is_its_own(world: World, client: httpx.AsyncClient, alice: Person) -> None:
    event = await plan(world, alice)
    path = f"{path_of(event)}.ics"
    assert (await client.get(f"{path}/")).content == (await client.get(path)).content
    head = await client.head(path)
    assert (head.status_code, head.content) == (200, b"")
    refused = await client.post(path)
    assert (refused.status_code, refused.headers["allow"]) == (405, "GET, HEAD")
    assert (await client.get(f"{path_of(event)}.ICS")).status_code == 422
    assert (await client.get("/api/v1/events/x.ics")).status_code == 422
    assert (await client.get(f"{path}?q=1")).status_code == 422
