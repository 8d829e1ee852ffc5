"""Request and response bodies of events. Moments are aware: what comes in names its offset, what goes out is UTC."""

from collections.abc import Mapping
from datetime import UTC, datetime
from enum import StrEnum
from functools import partial
from typing import Annotated, Any, Final, NamedTuple

from pydantic import AfterValidator, Field, Strict, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError, PydanticKnownError

from tradepost.accounts.schemas import PublicUser
from tradepost.core.wire.characters import SEEN_PATTERN, is_blank
from tradepost.core.wire.moments import Moment
from tradepost.core.wire.representations import Representation
from tradepost.core.wire.row_json import to_json
from tradepost.core.wire.schemas import Changes, Input, Output, PageInfo, example
from tradepost.core.wire.spelling import nearest
from tradepost.events.errors import END_BEFORE_START
from tradepost.events.zones import UTC_ZONE, zone_names

TITLE_LENGTH: Final = 100
DESCRIPTION_LENGTH: Final = 500
MOST_SEATS: Final = 1_000


def _known_zone(name: str) -> str:
    if name in zone_names():
        return name
    meant = nearest(name, zone_names())
    advice = "" if meant is None else f"; did you mean {meant}?"
    raise PydanticCustomError("time_zone", "There is no time zone of this name{advice}", {"advice": advice})


def _seen(text: str, fewest: int) -> str:
    if is_blank(text):
        raise PydanticKnownError("string_too_short", {"min_length": fewest})
    return text


_TITLE_SHORTEST: Final = 3
_DESCRIPTION_SHORTEST: Final = 10


def _at_least(fewest: int) -> dict[str, str]:
    """Return the pattern of text that has so many characters without the spaces around it."""
    return {"pattern": rf"{SEEN_PATTERN}[\s\S]{{{fewest - 2},}}{SEEN_PATTERN}"}


Title = Annotated[
    str,
    Field(min_length=_TITLE_SHORTEST, max_length=TITLE_LENGTH, json_schema_extra=_at_least(_TITLE_SHORTEST)),
    AfterValidator(lambda text: _seen(text, _TITLE_SHORTEST)),
]
Description = Annotated[
    str,
    Field(
        min_length=_DESCRIPTION_SHORTEST,
        max_length=DESCRIPTION_LENGTH,
        json_schema_extra=_at_least(_DESCRIPTION_SHORTEST),
    ),
    AfterValidator(lambda text: _seen(text, _DESCRIPTION_SHORTEST)),
]
Capacity = Annotated[int, Strict(), Field(ge=1, le=MOST_SEATS)]
TimeZone = Annotated[str, Field(min_length=1, max_length=64), AfterValidator(_known_zone)]

TITLE: Final = "What it is, in a few words"
ABOUT: Final = "What there is to know about it"
START: Final = "When it begins: in the future, with its offset from UTC"
END: Final = "When it ends: after the start, with its offset from UTC"
TIME_ZONE: Final = "Where it takes place, as a name of the IANA time zone database"
CAPACITY: Final = "How many seats there are"
_EXAMPLE: Final[dict[str, Any]] = {
    "title": "Repair café",
    "description": "Bring what is broken; we bring tools and tea.",
    "start_date": "2999-06-05T18:00:00+02:00",
    "end_date": "2999-06-05T21:00:00+02:00",
    "time_zone": "Europe/Berlin",
    "max_participants": 20,
}


class EventStatus(StrEnum):
    """Whether an event takes place."""

    PLANNED = "planned"
    CANCELLED = "cancelled"


class ParticipantStatus(StrEnum):
    """Whether a participant has a seat or waits for one."""

    JOINED = "joined"
    WAITING = "waiting"


class ReminderKind(StrEnum):
    """How long before the start a reminder goes out."""

    DAY_BEFORE = "24h"
    HOUR_BEFORE = "1h"


class EventCreate(Input):
    """A new event."""

    model_config = example(**_EXAMPLE)

    title: Title = Field(description=TITLE)
    description: Description = Field(description=ABOUT)
    start_date: Moment = Field(description=START)
    end_date: Moment = Field(description=END)
    time_zone: TimeZone = Field(default=UTC_ZONE, description=TIME_ZONE)
    max_participants: Capacity = Field(description=CAPACITY)

    @field_validator("end_date")
    @classmethod
    def _ends_after_start(cls, end_date: datetime, others: ValidationInfo) -> datetime:
        start_date = others.data.get("start_date")
        if start_date is not None and end_date <= start_date:
            raise PydanticCustomError("end_before_start", END_BEFORE_START)
        return end_date


_NEVER: Final = datetime(1, 1, 1, tzinfo=UTC)


class EventUpdate(Changes):
    """Changes to an event: only sent fields change."""

    model_config = example(**_EXAMPLE | {"title": "Repair café, with cake", "max_participants": 30})

    title: Title = Field(default="", validate_default=False, description=TITLE)
    description: Description = Field(default="", validate_default=False, description=ABOUT)
    start_date: Moment = Field(default=_NEVER, validate_default=False, description=START)
    end_date: Moment = Field(default=_NEVER, validate_default=False, description=END)
    time_zone: TimeZone = Field(default=UTC_ZONE, description=TIME_ZONE)
    max_participants: Capacity = Field(default=1, description=CAPACITY)


class EventRead(Output):
    """An event, the same for everybody but for ``my_status``."""

    id: int = Field(description="The event's number, never given to another", examples=[1])
    title: str = Field(description=TITLE, examples=["Repair café"])
    description: str = Field(description=ABOUT, examples=["Bring what is broken; we bring tools and tea."])
    start_date: datetime = Field(description="When it begins, in UTC")
    end_date: datetime = Field(description="When it ends, in UTC")
    time_zone: str = Field(description=TIME_ZONE, examples=["Europe/Berlin"])
    max_participants: int = Field(description=CAPACITY, examples=[20])
    participants_count: int = Field(description="How many have a seat", examples=[3])
    waiting_count: int = Field(description="How many wait for a seat", examples=[0])
    my_status: ParticipantStatus | None = Field(
        description="Whether one has a seat, waits for one, or neither"
    )
    status: EventStatus = Field(description="Whether it takes place")
    organiser: PublicUser | None = Field(
        description="What everybody may know about the organiser; `null` once the account is gone"
    )
    version: int = Field(description="Counts its changes, from 1", examples=[1])
    created_at: datetime = Field(description="When it was planned")
    updated_at: datetime = Field(description="When it was last changed")


class EventPage(PageInfo):
    """A part of a list of events."""

    events: list[EventRead] = Field(description="The events of this part")


class Participation(Output):
    """Where one stands after joining."""

    status: ParticipantStatus = Field(description="Whether one has a seat or waits for one")
    position: int | None = Field(description="One's place on the waiting list, from 1; `null` with a seat")
    participants_count: int = Field(description="How many have a seat", examples=[3])
    waiting_count: int = Field(description="How many wait for a seat", examples=[0])


class ParticipantRead(Output):
    """Somebody who takes part, or waits for a seat."""

    user: PublicUser = Field(description="What everybody may know about the person")
    status: ParticipantStatus = Field(description="Whether the person has a seat or waits for one")
    position: int | None = Field(description="The place on the waiting list, from 1; `null` with a seat")
    joined_at: datetime = Field(description="When the person joined")


class ParticipantPage(PageInfo):
    """A part of the participants of an event."""

    participants: list[ParticipantRead] = Field(description="Who joined, in the order of joining")


class EventRow(NamedTuple):
    """An event with its organiser's public view: the columns that the repository reads, in this order."""

    id: int
    title: str
    description: str
    start_date: datetime
    end_date: datetime
    time_zone: str
    max_participants: int
    participants_count: int
    waiting_count: int
    status: str
    organiser_id: int | None
    version: int
    created_at: datetime
    updated_at: datetime
    organiser_first_name: str | None
    organiser_last_name: str | None
    organiser_avatar_url: str | None


def event_shown(row: EventRow, my_status: str | None) -> Representation:
    """Return an event with its entity tag, as one sees it who has this ``my_status``: the JSON of ``EventRead``.

    Besides the version the tag is made of what changes without it: who joined, and who the organiser is.
    """
    made_of = (
        f"{row.updated_at}\0{row.participants_count}\0{row.waiting_count}\0{my_status}\0{row.organiser_id}"
        f"\0{row.organiser_first_name}\0{row.organiser_last_name}\0{row.organiser_avatar_url}"
    )
    return Representation(row.version, made_of, partial(event_json, row, my_status))


def event_json(row: EventRow, my_status: str | None) -> bytes:
    """Return the JSON of ``EventRead``, written down once more: a list spends most of its time on this."""
    return to_json(
        {
            "id": row.id,
            "title": row.title,
            "description": row.description,
            "start_date": row.start_date,
            "end_date": row.end_date,
            "time_zone": row.time_zone,
            "max_participants": row.max_participants,
            "participants_count": row.participants_count,
            "waiting_count": row.waiting_count,
            "my_status": my_status,
            "status": row.status,
            "organiser": None
            if row.organiser_id is None
            else {
                "id": row.organiser_id,
                "first_name": row.organiser_first_name,
                "last_name": row.organiser_last_name,
                "full_name": f"{row.organiser_first_name} {row.organiser_last_name}",
                "avatar_url": row.organiser_avatar_url,
            },
            "version": row.version,
            "created_at": row.created_at,
            "updated_at": row.updated_at,
        }
    )


class ParticipantRow(NamedTuple):
    """A participant with their public view: the columns that the repository reads, in this order."""

    user_id: int
    first_name: str
    last_name: str
    avatar_url: str | None
    status: str
    number: int
    joined_at: datetime


def participant_json(row: ParticipantRow, position: int | None) -> bytes:
    """Return the JSON of ``ParticipantRead``."""
    return to_json(
        {
            "user": {
                "id": row.user_id,
                "first_name": row.first_name,
                "last_name": row.last_name,
                "full_name": f"{row.first_name} {row.last_name}",
                "avatar_url": row.avatar_url,
            },
            "status": row.status,
            "position": position,
            "joined_at": row.joined_at,
        }
    )


def participation_json(values: Mapping[str, Any]) -> bytes:
    """Return the JSON of ``Participation``."""
    return to_json({name: values[name] for name in Participation.model_fields})
