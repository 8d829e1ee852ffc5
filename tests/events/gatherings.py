"""What tests of events ask: planning them, joining, leaving, and what they look like then."""

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from tests.conftest import Person, World

EVENTS = "/api/v1/events/"


def moment(world: World, **ahead: float) -> str:
    """Return a moment so far ahead of the world's clock, as it is written on the wire, to the second."""
    return written((world.clock.now() + timedelta(**ahead)).replace(microsecond=0))


def written(at: datetime) -> str:
    """Return a moment as answers write it."""
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")


def body(world: World, **changes: Any) -> dict[str, Any]:
    """Return the body of a new event, in two days."""
    return {
        "title": "Repair café",
        "description": "Bring what is broken; we bring tea.",
        "start_date": moment(world, days=2),
        "end_date": moment(world, days=2, hours=3),
        "max_participants": 2,
        **changes,
    }


async def plan(world: World, organiser: Person, **changes: Any) -> dict[str, Any]:
    """Plan an event and return it."""
    answer = await organiser.api.post(EVENTS, json=body(world, **changes))
    assert answer.status_code == 201, answer.text
    event: dict[str, Any] = answer.json()
    return event


def path_of(event: dict[str, Any], *more: object) -> str:
    """Return the path of an event, or of what is below it."""
    return "/".join([f"{EVENTS}{event['id']}", *map(str, more)])


async def join(event: dict[str, Any], person: Person) -> dict[str, Any]:
    """Join an event, as one who is not in yet, and return where the person stands."""
    answer = await person.api.post(path_of(event, "participants"))
    assert answer.status_code == 201, answer.text
    standing: dict[str, Any] = answer.json()
    return standing


async def leave(event: dict[str, Any], person: Person) -> None:
    """Leave an event."""
    answer = await person.api.delete(path_of(event, "participants"))
    assert (answer.status_code, answer.json()) == (200, {"message": "Left the event"})


async def read(client: httpx.AsyncClient, event: dict[str, Any]) -> dict[str, Any]:
    """Return an event as somebody sees it."""
    answer = await client.get(path_of(event))
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def listed(client: httpx.AsyncClient, **query: Any) -> list[int]:
    """Return the ids of a list of events."""
    answer = await client.get(EVENTS, params=query)
    assert answer.status_code == 200, answer.text
    return [event["id"] for event in answer.json()["events"]]


async def standings(organiser: Person, event: dict[str, Any]) -> list[tuple[int, str, int | None]]:
    """Return who takes part: id, status and position, in the order of joining."""
    answer = await organiser.api.get(path_of(event, "participants"))
    assert answer.status_code == 200, answer.text
    return [(one["user"]["id"], one["status"], one["position"]) for one in answer.json()["participants"]]


def fault(answer: httpx.Response) -> tuple[int, list[Any], str]:
    """Return status, location and type of a refusal's first error."""
    first = answer.json()["errors"][0]
    return answer.status_code, first["location"], first["type"]
