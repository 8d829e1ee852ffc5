"""The rules of events: planning, changing, cancelling and deleting them, each change announced by a message."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from itertools import count
from typing import Any, Final

from tradepost.accounts.permissions import STAFF
from tradepost.accounts.service import UserService
from tradepost.core.audit.trail import AuditTrail, Target
from tradepost.core.clock import Clock
from tradepost.core.database.sessions import ReadSession, WriteSession
from tradepost.core.errors import NotOwner, Unauthenticated
from tradepost.core.messaging.messages import Message
from tradepost.core.messaging.outbox import Outbox
from tradepost.core.principal import Principal
from tradepost.core.wire.pagination import Page, Window
from tradepost.core.wire.representations import ANY_VERSION, Expected, Representation
from tradepost.events.errors import (
    EventCancelled,
    EventNotFound,
    EventOver,
    HasParticipants,
    end_before_start,
    start_in_the_past,
)
from tradepost.events.messages import (
    Announcement,
    AnnouncementDue,
    EventCreated,
    EventDeleted,
    EventUpdated,
)
from tradepost.events.messages import EventCancelled as CancelledEvent
from tradepost.events.models import Event
from tradepost.events.reminders import due_moments
from tradepost.events.repository.events import EventRepository
from tradepost.events.repository.participants import ParticipantRepository
from tradepost.events.repository.reminders import ReminderRepository
from tradepost.events.schemas import (
    EventCreate,
    EventRow,
    EventStatus,
    EventUpdate,
    ParticipantStatus,
    event_shown,
    participant_json,
)
from tradepost.events.seats import SeatService, is_over
from tradepost.events.texts import words_of

SECOND: Final = timedelta(seconds=1)


def may_manage(event: Event | EventRow, principal: Principal) -> bool:
    """Tell whether a person may change an event: its organiser, and staff."""
    return STAFF in principal.permissions or event.organiser_id == principal.user_id


def check_manager(event: Event | EventRow, principal: Principal) -> None:
    """Raise ``NotOwner`` for whom ``may_manage`` refuses."""
    if not may_manage(event, principal):
        raise NotOwner


def cancellation(event: Event, *, organiser_id: int | None, now: datetime) -> Sequence[Message]:
    """Return what is announced of an event that is cancelled."""
    return [
        CancelledEvent(event.id, organiser_id, event.title),
        AnnouncementDue(event.id, Announcement.CANCELLED, now, event.start_date),
    ]


class EventService:
    """Changes events, in the caller's transaction, and returns them as reads do: the JSON of ``EventRead``."""

    def __init__(
        self,
        db: WriteSession,
        *,
        seats: SeatService,
        users: UserService,
        outbox: Outbox,
        audit: AuditTrail,
        clock: Clock,
    ) -> None:
        self._db = db
        self._events = EventRepository(db)
        self._participants = ParticipantRepository(db)
        self._reminders = ReminderRepository(db)
        self._seats = seats
        self._users = users
        self._outbox = outbox
        self._audit = audit
        self._clock = clock

    async def create(self, new: EventCreate, principal: Principal) -> Representation:
        """Plan an event."""
        now = self._clock.now()
        if new.start_date <= now:
            raise start_in_the_past()
        people = await self._users.lock_key_share({principal.user_id})
        if principal.user_id not in people:
            # Deleted at this very moment: the token is worth nothing any more.
            raise Unauthenticated
        organiser = people[principal.user_id]
        shown: dict[str, Any] = {
            **new.model_dump(),
            "participants_count": 0,
            "waiting_count": 0,
            "status": EventStatus.PLANNED,
            "organiser_id": principal.user_id,
            "version": 1,
            "created_at": now,
            "updated_at": now,
        }
        kept = {
            "words": words_of(new.title, new.description),
            "seats": new.max_participants,
            "last_number": 0,
            "duration": _seconds(new.start_date, new.end_date),
        }
        event_id = await self._events.add(shown | kept)
        await self._reminders.put(event_id, due_moments(new.start_date, now=now))
        await self._outbox.add(self._db, EventCreated(event_id, principal.user_id, new.title))
        row = EventRow(
            **shown,
            id=event_id,
            organiser_first_name=organiser.first_name,
            organiser_last_name=organiser.last_name,
            organiser_avatar_url=organiser.avatar_url,
        )
        return event_shown(row, None)

    async def update(
        self, event_id: int, changes: EventUpdate, principal: Principal, expected: Expected = ANY_VERSION
    ) -> Representation:
        """Change the fields that were sent, of an expected version; people are moved up into further seats, and told of another time."""
        event = await self._managed(event_id, principal, expected)
        if event.status is EventStatus.CANCELLED:
            raise EventCancelled
        sent = changes.model_dump(exclude_unset=True)
        changed = {name: value for name, value in sent.items() if getattr(event, name) != value}
        if not changed:
            return await self._shown(event_id, principal)
        now = self._clock.now()
        moves = self._check_times(event, changed, now)
        if "max_participants" in changed:
            changed |= await self._seats.resized(event, capacity=changed["max_participants"])
        if "title" in changed or "description" in changed:
            texts = (changed.get("title", event.title), changed.get("description", event.description))
            changed["words"] = words_of(*texts)
        version = event.version + 1
        await self._events.change(
            event_id, changed | {"version": version, "updated_at": now}, version=event.version
        )
        facts: list[Message] = [
            EventUpdated(event_id, event.organiser_id, changed.get("title", event.title), version)
        ]
        if "start_date" in changed:
            await self._reminders.put(event_id, due_moments(changed["start_date"], now=now))
        if moves or "time_zone" in changed:
            start_date = changed.get("start_date", event.start_date)
            facts.append(AnnouncementDue(event_id, Announcement.CHANGED, now, start_date))
        await self._outbox.add(self._db, *facts)
        fields = sorted(changed.keys() & EventUpdate.model_fields.keys())
        await self._note(event, "event.updated", principal, {"fields": fields})
        return await self._shown(event_id, principal)

    def _check_times(self, event: Event, changed: dict[str, Any], now: datetime) -> bool:
        """Check start and end as they will be, and tell whether either changes."""
        if "start_date" not in changed and "end_date" not in changed:
            return False
        if "start_date" in changed and changed["start_date"] <= now:
            raise start_in_the_past()
        start_date, end_date = (
            changed.get("start_date", event.start_date),
            changed.get("end_date", event.end_date),
        )
        if end_date <= start_date:
            raise end_before_start("end_date" if "end_date" in changed else "start_date")
        changed["duration"] = _seconds(start_date, end_date)
        return True

    async def cancel(self, event_id: int, principal: Principal) -> Representation:
        """Cancel an event and tell everybody; once more changes nothing."""
        event = await self._managed(event_id, principal)
        now = self._clock.now()
        if event.status is EventStatus.PLANNED:
            if is_over(event, now):
                raise EventOver
            await self._events.change(
                event_id,
                {"status": EventStatus.CANCELLED, "version": event.version + 1, "updated_at": now},
            )
            await self._reminders.put(event_id, {})
            await self._outbox.add(self._db, *cancellation(event, organiser_id=event.organiser_id, now=now))
            await self._note(event, "event.cancelled", principal, {})
        return await self._shown(event_id, principal)

    async def delete(self, event_id: int, principal: Principal, expected: Expected = ANY_VERSION) -> None:
        """Delete an event of an expected version that nobody joined."""
        event = await self._managed(event_id, principal, expected)
        if not await self._events.delete(event_id, version=event.version):
            raise HasParticipants
        await self._outbox.add(self._db, EventDeleted(event_id, event.organiser_id))
        await self._note(event, "event.deleted", principal, {})

    async def _note(
        self, event: Event, action: str, principal: Principal, details: Mapping[str, Any]
    ) -> None:
        """Record what staff do to somebody else's event."""
        if principal.user_id != event.organiser_id:
            on = Target("event", event.id, event.organiser_id)
            await self._audit.add(self._db, action, by=principal, on=on, details=details)

    async def _managed(self, event_id: int, principal: Principal, expected: Expected = ANY_VERSION) -> Event:
        """Return an event for writing, locked."""
        event = await self._events.lock_for_update(event_id)
        if event is None:
            raise EventNotFound
        check_manager(event, principal)
        await expected.check(event.version, partial(self._shown, event_id, principal))
        return event

    async def _shown(self, event_id: int, principal: Principal) -> Representation:
        row = await self._events.get_row(event_id)
        if row is None:
            raise EventNotFound
        pair = (event_id, principal.user_id)
        place = (await self._participants.find_places([pair])).get(pair)
        return event_shown(row, place.status if place else None)


def _seconds(start_date: datetime, end_date: datetime) -> int:
    return -((start_date - end_date) // SECOND)


class ParticipantReads:
    """Reads who takes part in events, in the caller's session."""

    def __init__(self, db: ReadSession) -> None:
        self._events = EventRepository(db)
        self._participants = ParticipantRepository(db)

    async def page(self, event_id: int, window: Window, principal: Principal) -> Page[bytes]:
        """Return a part of the participants, each as the JSON of ``ParticipantRead``; for the organiser and staff."""
        event = await self._events.get_row(event_id)
        if event is None:
            raise EventNotFound
        check_manager(event, principal)
        page = await self._participants.page(event_id, window)
        # Those who wait are in the order of their numbers, so the first one's place tells the others'.
        first = next((row.number for row in page.rows if row.status == ParticipantStatus.WAITING), None)
        places = count(1 if first is None else await self._participants.position(event_id, first))
        rows = [
            participant_json(row, next(places) if row.status == ParticipantStatus.WAITING else None)
            for row in page.rows
        ]
        return Page(rows, page.total, window, page.end)
