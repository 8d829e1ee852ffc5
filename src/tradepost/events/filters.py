"""The filter of a list of events, and the conditions that spell it."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, bindparam, select

from tradepost.core.search.question import parse
from tradepost.events.models import Event, Participant
from tradepost.events.schemas import EventStatus
from tradepost.events.texts import mentions


@dataclass(frozen=True, slots=True)
class EventFilter:
    """The filter of a list; a field that is None filters nothing.

    Events overlap the half-open window from ``since`` to ``until``; without ``since`` it begins now. ``joined_by`` is a
    person who has a seat or waits for one.
    """

    since: datetime | None = None
    until: datetime | None = None
    organiser_id: int | None = None
    joined_by: int | None = None
    status: EventStatus | None = None
    q: str | None = None

    @property
    def shape(self) -> frozenset[str]:
        """The names of the conditions: two filters with the same are spelt by one statement."""
        names = ("until", "organiser_id", "joined_by", "status")
        return frozenset(name for name in names if getattr(self, name) is not None)

    def parameters(self, *, now: datetime) -> dict[str, Any]:
        """Return the values for the parameters in the conditions."""
        return {"since": self.since or now} | {name: getattr(self, name) for name in self.shape}


def conditions(shape: frozenset[str], q: str | None) -> list[ColumnElement[bool]]:
    """Return what a row must fulfil; the values come with the execution, but for those of ``q``.

    ``earliest`` is the earliest start that an event of the window may have: without it, the index by start would be read
    from the first event that there ever was.
    """
    moment = Event.start_date.type
    wanted: list[ColumnElement[bool]] = [
        Event.end_date > bindparam("since", type_=moment),
        Event.start_date >= bindparam("earliest", type_=moment),
    ]
    if "until" in shape:
        wanted.append(Event.start_date < bindparam("until", type_=moment))
    if "organiser_id" in shape:
        wanted.append(Event.organiser_id == bindparam("organiser_id"))
    if "joined_by" in shape:
        theirs = select(Participant.event_id).where(Participant.user_id == bindparam("joined_by"))
        wanted.append(Event.id.in_(theirs))
    if "status" in shape:
        wanted.append(Event.status == bindparam("status", type_=Event.status.type))
    if q is not None:
        wanted += mentions(parse(q))
    return wanted
