"""What tests of events ask: planning them, joining, leaving, and what they look like then."""

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
from sqlalchemy import insert, select, update

from tests.conftest import Person, World
from tradepost.accounts.models import User
from tradepost.accounts.permissions import Role
from tradepost.core.messaging.dispatcher import Dispatcher
from tradepost.core.messaging.messages import Subscriptions
from tradepost.events.models import Event, Participant
from tradepost.events.schemas import ParticipantStatus
from tradepost.notifications.inbox.models import Notification

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


async def crowd(world: World, event: dict[str, Any], size: int) -> list[int]:
    """Have so many new people at an event, past the API, and return their ids in the order of joining."""
    now = world.clock.now()
    person = {"hashed_password": "x", "last_name": "Tester", "role": Role.USER, "is_active": True}
    people = [
        {
            **person,
            "email": f"crowd{event['id']}-{number}@example.com",
            "first_name": f"C{number}",
            "created_at": now,
            "updated_at": now,
        }
        for number in range(size)
    ]
    async with world.database.transaction() as db:
        made = await db.scalars(insert(User).returning(User.id, sort_by_parameter_order=True), people)
        user_ids = list(made)
        seats = event["max_participants"]
        rows = [
            {
                "event_id": event["id"],
                "user_id": user_id,
                "number": number,
                "status": ParticipantStatus.JOINED if number <= seats else ParticipantStatus.WAITING,
                "joined_at": now,
                "seated_at": now if number <= seats else None,
            }
            for number, user_id in enumerate(user_ids, 1)
        ]
        await db.execute(insert(Participant), rows)
        await db.execute(
            update(Event)
            .where(Event.id == event["id"])
            .values(participants_count=min(size, seats), waiting_count=max(0, size - seats), last_number=size)
        )
    return user_ids


async def told(world: World, kind: str) -> list[tuple[int, dict[str, Any]]]:
    """Have all messages reacted to, and return who was told something of this kind, with the values of each."""
    await world.resources[Dispatcher].drain()
    mine = select(Notification.user_id, Notification.data).where(Notification.kind == kind)
    async with world.database.read() as db:
        return [(user_id, data) for user_id, data in await db.execute(mine.order_by(Notification.id))]


async def remind(world: World) -> None:
    """Run the recurring job that sends reminders."""
    await world.resources[Subscriptions].jobs["events.remind"].run()
