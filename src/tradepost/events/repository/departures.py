"""The statements by which a person leaves all events at once, and by which seats without a person are found."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Final

from sqlalchemy import Row, case, delete, literal_column, select, union, update
from sqlalchemy.orm.attributes import set_committed_value

from tradepost.core.database.elements import AmongIds
from tradepost.core.database.repository import Repository
from tradepost.events.models import Event, Participant, Reminder
from tradepost.events.schemas import EventStatus, ParticipantStatus

_UNTRACKED: Final = {"synchronize_session": False}
_PLANNED: Final = Event.status == literal_column("'planned'")


class DepartureRepository(Repository):
    """The events and participants of one person, or of nobody."""

    async def find_events_of(self, user_id: int) -> Sequence[int]:
        """Return the ids of all events that a person takes part in, waits for or organises."""
        # Not one condition with OR, for which PostgreSQL might read the whole table.
        organised = select(Event.id).where(Event.organiser_id == user_id)
        joined = select(Participant.event_id).where(Participant.user_id == user_id)
        return (await self.db.scalars(union(organised, joined))).all()

    async def find_forsaken(self, limit: int, *, now: datetime) -> Sequence[int]:
        """Return the ids of events with a participant whose account is gone, or to come though nobody organises them."""
        seats = select(Participant.event_id).where(Participant.user_id.is_(None)).limit(limit)
        planned = (
            select(Event.id).where(Event.organiser_id.is_(None), _PLANNED, Event.end_date > now).limit(limit)
        )
        return sorted({*(await self.db.scalars(seats)).all(), *(await self.db.scalars(planned)).all()})[
            :limit
        ]

    async def remove(
        self, event_ids: Collection[int], *, user_id: int | None
    ) -> Sequence[Row[int, ParticipantStatus]]:
        """Delete a person's places at these locked events, of None those of nobody; return event and status of each."""
        whose = Participant.user_id.is_(None) if user_id is None else Participant.user_id == user_id
        gone = await self.db.execute(
            delete(Participant)
            .where(AmongIds(Participant.event_id), whose)
            .returning(Participant.event_id, Participant.status)
            .execution_options(**_UNTRACKED),
            {"ids": sorted(event_ids)},
        )
        return gone.all()

    async def count_out(self, event_ids: Collection[int], *, seats: int, places: int) -> None:
        """Count as many people out of each of these locked events; nobody waits there for the seats."""
        taken = Event.participants_count - seats
        await self.db.execute(
            update(Event)
            .where(AmongIds(Event.id))
            .values(
                participants_count=taken,
                waiting_count=Event.waiting_count - places,
                seats=case((taken > Event.max_participants, taken), else_=Event.max_participants),
            )
            .execution_options(**_UNTRACKED),
            {"ids": sorted(event_ids)},
        )

    async def cancel(self, events: Collection[Event], *, now: datetime) -> None:
        """Cancel these locked events, in the database and as objects, with their reminders."""
        ids = {"ids": sorted(event.id for event in events)}
        await self.db.execute(
            update(Event)
            .where(AmongIds(Event.id))
            .values(status=EventStatus.CANCELLED, version=Event.version + 1, updated_at=now)
            .execution_options(**_UNTRACKED),
            ids,
        )
        await self.db.execute(delete(Reminder).where(AmongIds(Reminder.event_id)), ids)
        for event in events:
            set_committed_value(event, "status", EventStatus.CANCELLED)

    async def forget_organiser(self, event_ids: Collection[int]) -> None:
        """Have these locked events be organised by nobody."""
        await self.db.execute(
            update(Event).where(AmongIds(Event.id)).values(organiser_id=None).execution_options(**_UNTRACKED),
            {"ids": sorted(event_ids)},
        )
