"""Announcements: the participants of an event are told something, however many they are, in short transactions.

A message says what is to be told, and from which number on. The reaction to it tells the next of the participants, and
adds the message once more for those after them. Reactions happen exactly once, so nobody is told twice and nobody is left
out, whatever dies in between; and a crowd holds up other messages for no longer than a group of it takes.
"""

from collections.abc import Sequence
from typing import Any, Final

from tradepost.core.clock import Clock
from tradepost.core.database.engines import Database
from tradepost.core.database.sessions import WriteSession
from tradepost.core.messaging.messages import Envelope, Message
from tradepost.core.messaging.outbox import Outbox
from tradepost.events.messages import (
    MOST_TOLD,
    Announcement,
    AnnouncementDue,
    CancellationDue,
    ChangeDue,
    ReminderDue,
)
from tradepost.events.reminders import is_too_late
from tradepost.events.repository.events import EventRepository
from tradepost.events.repository.participants import ParticipantRepository
from tradepost.events.repository.reminders import ReminderRepository
from tradepost.events.schemas import EventRow, EventStatus, ReminderKind

REMINDERS: Final = 100
"""Reminders that one transaction takes."""

_REMINDERS: Final = {
    Announcement.DAY_BEFORE: (ReminderKind.DAY_BEFORE, 24),
    Announcement.HOUR_BEFORE: (ReminderKind.HOUR_BEFORE, 1),
}


class Announcer:
    """Tells the participants of events, as the reaction to ``AnnouncementDue``."""

    def __init__(self, outbox: Outbox, clock: Clock) -> None:
        self._outbox = outbox
        self._clock = clock

    async def react(self, db: WriteSession, envelopes: Sequence[Envelope[AnnouncementDue]]) -> None:
        """Tell the next participants of each of these events."""
        rows = {
            row.id: row
            for row in await EventRepository(db).find_rows(
                list({envelope.message.event_id for envelope in envelopes})
            )
        }
        for envelope in envelopes:
            row = rows.get(envelope.message.event_id)
            if row is not None and self._still_holds(envelope.message, row):
                await self._outbox.add(db, *await self._step(db, envelope.message, row))

    async def _step(self, db: WriteSession, due: AnnouncementDue, row: EventRow) -> list[Message]:
        audience = await ParticipantRepository(db).find_audience(
            row.id,
            after=due.after,
            limit=MOST_TOLD,
            joined_by=due.moment,
            seated=due.announcement in _REMINDERS,
        )
        if not audience:
            return []
        people = tuple(user_id for _, user_id in audience)
        steps: list[Message] = [_told(due, row, people)]
        if len(audience) == MOST_TOLD:
            last = audience[-1][0]
            steps.append(AnnouncementDue(row.id, due.announcement, due.moment, due.start_date, last))
        return steps

    def _still_holds(self, due: AnnouncementDue, row: EventRow) -> bool:
        """Tell whether there is a sense in telling this: another change, or the end, may have overtaken it."""
        if due.announcement is Announcement.CANCELLED:
            return True
        if row.status != EventStatus.PLANNED:
            return False
        if due.announcement not in _REMINDERS:
            return row.end_date > self._clock.now()
        kind, _ = _REMINDERS[due.announcement]
        return row.start_date == due.start_date and not is_too_late(
            kind, row.start_date, now=self._clock.now()
        )


def _told(due: AnnouncementDue, row: EventRow, people: tuple[int, ...]) -> Message:
    if due.announcement in _REMINDERS:
        _, hours = _REMINDERS[due.announcement]
        return ReminderDue(row.id, row.title, row.start_date, row.time_zone, people, hours)
    kind = CancellationDue if due.announcement is Announcement.CANCELLED else ChangeDue
    return kind(row.id, row.title, row.start_date, row.time_zone, people)


class ReminderJob:
    """Sends the reminders that are due: the recurring job.

    A reminder's row goes in the transaction that adds its announcement to the outbox: it is announced once, whatever is
    killed, and never if the event is cancelled or begins at another time before that.
    """

    def __init__(self, database: Database, outbox: Outbox, clock: Clock) -> None:
        self._database = database
        self._outbox = outbox
        self._clock = clock

    async def run(self) -> None:
        """Send all reminders that are due, in short transactions."""
        while await self._send_some() == REMINDERS:
            pass

    async def _send_some(self) -> int:
        now = self._clock.now()
        async with self._database.transaction() as db:
            reminders = ReminderRepository(db)
            due = await reminders.lock_due_for_update(now=now, limit=REMINDERS)
            if due:
                await reminders.delete([(row.event_id, row.kind) for row in due])
                await self._outbox.add(db, *(_reminder(row) for row in due))
        return len(due)


def _reminder(row: Any) -> AnnouncementDue:
    return AnnouncementDue(row.event_id, Announcement(row.kind.value), row.due_at, row.start_date)
