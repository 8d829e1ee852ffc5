"""The dependencies of the routes of events, and the builders behind them."""

from functools import partial
from typing import Annotated

from fastapi import Depends

from tradepost.accounts.dependencies import Requires, build_user_service
from tradepost.accounts.permissions import Permission
from tradepost.core.audit.trail import AuditTrail
from tradepost.core.database.sessions import WriteSession
from tradepost.core.idempotency.keys import IdempotencyKeys
from tradepost.core.messaging.outbox import Outbox
from tradepost.core.principal import Principal
from tradepost.core.resources import Resources
from tradepost.core.wire.cursors import Cursors
from tradepost.events.calendars import EventCalendars
from tradepost.events.departures import DepartureService
from tradepost.events.intake import JoinIntake, LeaveIntake
from tradepost.events.reader import EventReader
from tradepost.events.seats import SeatService
from tradepost.events.service import EventService, ParticipantReads
from tradepost.web.db import ReadDb, ResourcesDep, WriteDb, resource


def build_seat_service(db: WriteSession, resources: Resources) -> SeatService:
    """Build the service for joining and leaving."""
    return SeatService(
        db,
        users=build_user_service(db, resources),
        outbox=resources[Outbox],
        audit=resources[AuditTrail],
        clock=resources.clock,
    )


def build_event_service(db: WriteSession, resources: Resources) -> EventService:
    """Build the service for changing events."""
    return EventService(
        db,
        seats=build_seat_service(db, resources),
        users=build_user_service(db, resources),
        outbox=resources[Outbox],
        audit=resources[AuditTrail],
        clock=resources.clock,
    )


def build_departure_service(db: WriteSession, resources: Resources) -> DepartureService:
    """Build the service by which a person leaves all events."""
    return DepartureService(db, seats=build_seat_service(db, resources), outbox=resources[Outbox])


def open_events(resources: Resources) -> None:
    """Put in what events keep for the life of the process; needs the outbox."""
    database, observer = resources.database, resources.batch_observer
    resources.put(
        EventReader, EventReader(database, resources.clock, resources[Cursors], observe=observer("event"))
    )
    seats = partial(build_seat_service, resources=resources)
    keys = resources[IdempotencyKeys]
    resources.put(JoinIntake, JoinIntake(database, keys, seats=seats, observe=observer("joins")))
    resources.put(LeaveIntake, LeaveIntake(database, seats=seats, observe=observer("leaves")))
    settings = resources.settings
    resources.put(
        EventCalendars,
        EventCalendars(
            resources[EventReader],
            project=settings.PROJECT_NAME,
            public_url=settings.PUBLIC_URL,
            path=f"{settings.API_V1_STR}/events/",
        ),
    )


async def event_service(db: WriteDb, resources: ResourcesDep) -> EventService:
    """Return the service for changing events in the request's transaction."""
    return build_event_service(db, resources)


async def seat_service(db: WriteDb, resources: ResourcesDep) -> SeatService:
    """Return the service for seats in the request's transaction."""
    return build_seat_service(db, resources)


async def participant_reads(db: ReadDb) -> ParticipantReads:
    """Return the service for reading who takes part."""
    return ParticipantReads(db)


Events = Annotated[EventReader, resource(EventReader)]
Calendars = Annotated[EventCalendars, resource(EventCalendars)]
Joins = Annotated[JoinIntake, resource(JoinIntake)]
Leaves = Annotated[LeaveIntake, resource(LeaveIntake)]
EventWrites = Annotated[EventService, Depends(event_service, scope="function")]
Seats = Annotated[SeatService, Depends(seat_service, scope="function")]
Participants = Annotated[ParticipantReads, Depends(participant_reads, scope="function")]
EventWriter = Annotated[Principal, Depends(Requires(Permission.WRITE_ITEMS))]
