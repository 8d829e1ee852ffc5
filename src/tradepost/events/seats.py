"""Seats and the waiting list: claimed under the event's lock, given up, and handed on in the same transaction.

Whoever changes who is in has the event's row locked first, so that the counters there and the participants agree. The
claim is a guarded statement, and the CHECKs of the table stand behind it.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from tradepost.accounts.service import UserService
from tradepost.core.audit.trail import AuditTrail, Target
from tradepost.core.clock import Clock
from tradepost.core.database.sessions import WriteSession
from tradepost.core.errors import TradepostError, Unauthenticated
from tradepost.core.messaging.messages import Message, Traced
from tradepost.core.messaging.outbox import Outbox
from tradepost.core.observability.trace_context import traceparent
from tradepost.core.principal import Principal
from tradepost.events.errors import EventCancelled, EventNotFound, EventOver, ParticipantNotFound
from tradepost.events.messages import MOST_TOLD, EventJoined, EventLeft, ParticipantRemoved, SeatsGiven
from tradepost.events.models import Event
from tradepost.events.repository.events import EventRepository
from tradepost.events.repository.participants import ParticipantRepository, Place
from tradepost.events.schemas import EventStatus, ParticipantStatus, participation_json


@dataclass(frozen=True, slots=True)
class Joining:
    """A person who wants to join an event."""

    event_id: int
    user_id: int
    traceparent: str | None = field(default_factory=traceparent.get)


@dataclass(frozen=True, slots=True)
class Leaving(Joining):
    """A person who wants to leave an event."""


@dataclass(frozen=True, slots=True)
class Joined:
    """Where a person stands: the JSON of ``Participation``, and whether it is new."""

    body: bytes
    is_new: bool


class CountersDisagree(RuntimeError):
    """The counters of a locked event do not fit its participants: a fault of ours, which must not sell a seat."""


def is_over(event: Event, now: datetime) -> bool:
    """Tell whether an event has ended."""
    return event.end_date <= now


class SeatService:
    """Joins people to events and takes them out, in the caller's transaction."""

    def __init__(
        self, db: WriteSession, *, users: UserService, outbox: Outbox, audit: AuditTrail, clock: Clock
    ) -> None:
        self._db = db
        self._events = EventRepository(db)
        self._participants = ParticipantRepository(db)
        self._users = users
        self._outbox = outbox
        self._audit = audit
        self._clock = clock

    async def join_many(self, wanted: Sequence[Joining]) -> list[Joined | TradepostError]:
        """Join people to events, and return for each, in order, where they stand or the error that refuses them alone.

        Who is in already stays where they are. The statements are as many for one as for a hundred who join one event.
        """
        # Locks are taken in the order of every transaction: users, then events.
        people = await self._users.lock_key_share({one.user_id for one in wanted})
        events = await self._events.lock_several_for_update({one.event_id for one in wanted})
        places = await self._participants.find_places({(one.event_id, one.user_id) for one in wanted})
        now = self._clock.now()
        new: dict[int, dict[int, str | None]] = {}
        refusals: list[TradepostError | None] = []
        for one in wanted:
            event = events.get(one.event_id)
            is_in = (one.event_id, one.user_id) in places
            refusal = None if is_in else _refusal(event, now, knows=one.user_id in people)
            refusals.append(refusal)
            if refusal is None and not is_in:
                new.setdefault(one.event_id, {}).setdefault(one.user_id, one.traceparent)
        standings: dict[tuple[int, int], bytes] = {}
        for event_id in sorted(new):
            taken = await self._take(events[event_id], new[event_id], now)
            standings |= {(event_id, user_id): body for user_id, body in taken}
        outcomes: list[Joined | TradepostError] = []
        told: set[tuple[int, int]] = set()
        for one, refusal in zip(wanted, refusals, strict=True):
            pair = (one.event_id, one.user_id)
            if refusal is not None:
                outcomes.append(refusal)
                continue
            if pair not in standings:
                standings[pair] = await self._standing(events[one.event_id], places[pair])
            outcomes.append(Joined(standings[pair], is_new=pair not in places and pair not in told))
            told.add(pair)
        return outcomes

    async def _take(
        self, event: Event, people: Mapping[int, str | None], now: datetime
    ) -> list[tuple[int, bytes]]:
        """Give people seats as far as there are free ones, and the others places on the waiting list.

        ``people`` has the trace context of each by their id.
        """
        free = 0 if event.waiting_count else max(0, event.max_participants - event.participants_count)
        seats = min(free, len(people))
        places = len(people) - seats
        before = await self._events.claim(event.id, seats=seats, places=places)
        if before is None:
            raise CountersDisagree(f"event {event.id}")
        rows, bodies, facts = [], [], []
        for at, (user_id, cause) in enumerate(people.items()):
            is_seated = at < seats
            status = ParticipantStatus.JOINED if is_seated else ParticipantStatus.WAITING
            rows.append(
                {
                    "event_id": event.id,
                    "user_id": user_id,
                    "number": before + at + 1,
                    "status": status,
                    "joined_at": now,
                    "seated_at": now if is_seated else None,
                }
            )
            waiting = event.waiting_count + max(0, at + 1 - seats)
            standing = {
                "status": status,
                "position": None if is_seated else waiting,
                "participants_count": event.participants_count + min(at + 1, seats),
                "waiting_count": waiting,
            }
            bodies.append((user_id, participation_json(standing)))
            facts.append(Traced(EventJoined(event.id, event.organiser_id, user_id, status), cause))
        await self._participants.add(rows)
        await self._outbox.add(self._db, *facts)
        return bodies

    async def _standing(self, event: Event, place: Place) -> bytes:
        waits = place.status == ParticipantStatus.WAITING
        return participation_json(
            {
                "status": place.status,
                "position": await self._participants.position(event.id, place.number) if waits else None,
                "participants_count": event.participants_count,
                "waiting_count": event.waiting_count,
            }
        )

    async def leave_many(self, wanted: Sequence[Leaving]) -> list[TradepostError | None]:
        """Take people out of events who want to leave them; return for each, in order, the error that refuses them alone.

        Seats that are free then go to the first who wait and stay. The statements are as many for one as for a hundred who
        leave one event.
        """
        events = await self._events.lock_several_for_update({one.event_id for one in wanted})
        leaving: dict[int, dict[int, str | None]] = {}
        for one in wanted:
            leaving.setdefault(one.event_id, {}).setdefault(one.user_id, one.traceparent)
        gone: set[tuple[int, int]] = set()
        for event_id in sorted(leaving.keys() & events.keys()):
            event, people = events[event_id], leaving[event_id]
            statuses = await self._participants.remove_several(event_id, user_ids=people.keys())
            if not statuses:
                continue
            facts = (
                Traced(EventLeft(event_id, event.organiser_id, user_id), people[user_id])
                for user_id in people
                if user_id in statuses
            )
            await self._outbox.add(self._db, *facts)
            await self.vacate(event, statuses.values())
            gone |= {(event_id, user_id) for user_id in statuses}
        outcomes: list[TradepostError | None] = []
        for one in wanted:
            pair = (one.event_id, one.user_id)
            refusal = ParticipantNotFound() if one.event_id in events else EventNotFound()
            outcomes.append(None if pair in gone else refusal)
            # Who asks twice at once has left by the first.
            gone.discard(pair)
        return outcomes

    async def remove(
        self, event_id: int, user_id: int, *, check: Callable[[Event], None], by: Principal
    ) -> None:
        """Take somebody out of an event and tell them, and give a seat that is free then to the first who waits.

        ``check`` raises for an event that the asker may not take anybody out of. What staff do is recorded.
        """
        event = await self._events.lock_for_update(event_id)
        if event is None:
            raise EventNotFound
        check(event)
        status = await self._participants.remove(event_id, user_id=user_id)
        if status is None:
            raise ParticipantNotFound
        await self._outbox.add(self._db, EventLeft(event_id, event.organiser_id, user_id))
        await self.vacate(event, [status])
        if by.user_id != user_id and _is_to_come(event, self._clock.now()):
            await self._outbox.add(
                self._db,
                ParticipantRemoved(
                    event_id, event.organiser_id, event.title, event.start_date, event.time_zone, user_id
                ),
            )
        if by.user_id not in {user_id, event.organiser_id}:
            on = Target("event", event_id, user_id)
            await self._audit.add(
                self._db, "event.participant_removed", by=by, on=on, details={"user_id": user_id}
            )

    async def vacate(self, event: Event, statuses: Collection[ParticipantStatus]) -> None:
        """Count people out of a locked event, whose rows are gone, and give their seats to those who wait."""
        left = sum(status is ParticipantStatus.JOINED for status in statuses)
        counts = await self._settled(
            event,
            capacity=event.max_participants,
            taken=event.participants_count - left,
            waiting=event.waiting_count - (len(statuses) - left),
        )
        await self._events.change(event.id, counts)

    async def resized(self, event: Event, *, capacity: int) -> Mapping[str, int]:
        """Return the counters of a locked event that gets another capacity, after moving up whom there is room for now."""
        return await self._settled(
            event, capacity=capacity, taken=event.participants_count, waiting=event.waiting_count
        )

    async def _settled(self, event: Event, *, capacity: int, taken: int, waiting: int) -> Mapping[str, int]:
        """Move up whom there is room for, and return the counters as they are then, to be written by one statement."""
        free = min(max(0, capacity - taken), waiting)
        if free:
            now = self._clock.now()
            moved = await self._participants.move_up(event.id, free, now=now)
            if len(moved) != free:
                raise CountersDisagree(f"event {event.id}")
            # Nobody is told of a seat at what has ended or does not take place.
            if _is_to_come(event, now):
                people = [user_id for user_id in moved if user_id is not None]
                await self._outbox.add(self._db, *_seats_given(event, people))
        return {
            "max_participants": capacity,
            "seats": max(capacity, taken + free),
            "participants_count": taken + free,
            "waiting_count": waiting - free,
        }


def _is_to_come(event: Event, now: datetime) -> bool:
    return event.status is EventStatus.PLANNED and not is_over(event, now)


def _refusal(event: Event | None, now: datetime, *, knows: bool) -> TradepostError | None:
    if not knows:
        # Deleted at this very moment: the token is worth nothing any more.
        return Unauthenticated()
    if event is None:
        return EventNotFound()
    if event.status is EventStatus.CANCELLED:
        return EventCancelled()
    return EventOver() if is_over(event, now) else None


def _seats_given(event: Event, user_ids: Sequence[int]) -> Iterator[Message]:
    for at in range(0, len(user_ids), MOST_TOLD):
        yield SeatsGiven(
            event.id,
            event.organiser_id,
            event.title,
            event.start_date,
            event.time_zone,
            tuple(user_ids[at : at + MOST_TOLD]),
        )
