"""A person leaves all events: seats go to those who wait, and what the person organised is cancelled.

It happens in the transaction of the deletion, through the port ``accounts.departures``. What a program deleted that knows
no events is made good by a recurring job.
"""

from collections import defaultdict
from collections.abc import Callable, Collection
from datetime import datetime
from itertools import chain
from typing import Final

from tradepost.core.clock import Clock
from tradepost.core.database.engines import Database
from tradepost.core.database.sessions import WriteSession
from tradepost.core.messaging.outbox import Outbox
from tradepost.events.messages import EventLeft
from tradepost.events.models import Event
from tradepost.events.repository.departures import DepartureRepository
from tradepost.events.repository.events import EventRepository
from tradepost.events.schemas import EventStatus, ParticipantStatus
from tradepost.events.seats import SeatService, is_over
from tradepost.events.service import cancellation

FORSAKEN: Final = 100
"""Events that one transaction of the recurring job puts in order."""


class DepartureService:
    """Takes one person out of everything, in the caller's transaction, with few statements for any number of events."""

    def __init__(self, db: WriteSession, *, seats: SeatService, outbox: Outbox) -> None:
        self._db = db
        self._events = EventRepository(db)
        self._departures = DepartureRepository(db)
        self._seats = seats
        self._outbox = outbox

    async def leave_all(self, user_id: int, *, now: datetime) -> None:
        """Have a person, whose row is locked, leave every event, and cancel those that they organise."""
        events = await self._events.lock_several_for_update(await self._departures.find_events_of(user_id))
        organised = [event for event in events.values() if event.organiser_id == user_id]
        await self._cancel(organised, user_id, now)
        await self._departures.forget_organiser([event.id for event in organised])
        await self._vacate(events, user_id)

    async def put_in_order(self, event_ids: Collection[int], *, now: datetime) -> None:
        """Give the seats of accounts that are gone to others, and cancel what nobody organises."""
        events = await self._events.lock_several_for_update(event_ids)
        await self._cancel([event for event in events.values() if event.organiser_id is None], None, now)
        await self._vacate(events, None)

    async def _cancel(self, events: Collection[Event], organiser_id: int | None, now: datetime) -> None:
        planned = [
            event for event in events if event.status is EventStatus.PLANNED and not is_over(event, now)
        ]
        if planned:
            await self._departures.cancel(planned, now=now)
            facts = [cancellation(event, organiser_id=organiser_id, now=now) for event in planned]
            await self._outbox.add(self._db, *chain.from_iterable(facts))

    async def _vacate(self, events: dict[int, Event], user_id: int | None) -> None:
        left: dict[int, list[ParticipantStatus]] = defaultdict(list)
        for event_id, status in await self._departures.remove(events, user_id=user_id):
            left[event_id].append(status)
        if user_id is not None:
            facts = [EventLeft(event_id, events[event_id].organiser_id, user_id) for event_id in sorted(left)]
            await self._outbox.add(self._db, *facts)
        # Where nobody waits for the seat, or what was left is a place among those who wait, counting is all there is to do.
        alike: dict[ParticipantStatus, list[int]] = defaultdict(list)
        for event_id, statuses in sorted(left.items()):
            waits = events[event_id].waiting_count > 0
            if len(statuses) == 1 and not (waits and statuses[0] is ParticipantStatus.JOINED):
                alike[statuses[0]].append(event_id)
            else:
                await self._seats.vacate(events[event_id], statuses)
        for status, event_ids in alike.items():
            seats = int(status is ParticipantStatus.JOINED)
            await self._departures.count_out(event_ids, seats=seats, places=1 - seats)


class EventDepartures:
    """Supplies ``accounts.departures.Departures``."""

    def __init__(self, service: Callable[[WriteSession], DepartureService]) -> None:
        self._service = service

    async def leave_all(self, db: WriteSession, *, user_id: int, now: datetime) -> None:
        """Have a person leave every event, and cancel those that they organise."""
        await self._service(db).leave_all(user_id, now=now)


class ForsakenEvents:
    """Puts in order what an account left behind that was deleted by a program which knows no events."""

    def __init__(
        self, database: Database, *, service: Callable[[WriteSession], DepartureService], clock: Clock
    ) -> None:
        self._database = database
        self._service = service
        self._clock = clock

    async def put_in_order(self) -> None:
        """Put all such events in order, in short transactions."""
        while True:
            now = self._clock.now()
            async with self._database.read() as reading:
                found = await DepartureRepository(reading).find_forsaken(FORSAKEN, now=now)
            if not found:
                return
            async with self._database.transaction() as db:
                await self._service(db).put_in_order(found, now=now)
