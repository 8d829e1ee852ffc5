"""The statements about reminders that are still to be sent."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Row, delete, select

from tradepost.core.database.elements import upsert
from tradepost.core.database.locks import lock_for_update
from tradepost.core.database.repository import Repository
from tradepost.events.models import Event, Reminder
from tradepost.events.schemas import ReminderKind


class ReminderRepository(Repository):
    """The rows of ``event_reminders``, each of which is one reminder that has not gone out."""

    async def put(self, event_id: int, moments: Mapping[ReminderKind, datetime]) -> None:
        """Have these reminders of an event go out, and no others."""
        await self.db.execute(
            delete(Reminder).where(Reminder.event_id == event_id, Reminder.kind.not_in(list(moments)))
        )
        if moments:
            rows = [
                {"event_id": event_id, "kind": kind, "due_at": due_at}
                for kind, due_at in sorted(moments.items())
            ]
            planned = upsert(Reminder).values(rows)
            await self.db.execute(
                planned.on_conflict_do_update(
                    index_elements=["event_id", "kind"], set_={"due_at": planned.excluded.due_at}
                )
            )

    async def lock_due_for_update(
        self, *, now: datetime, limit: int
    ) -> Sequence[Row[int, ReminderKind, datetime, datetime]]:
        """Return the reminders that are due, with the starts of their events, locked until the transaction ends."""
        due = (
            select(Reminder.event_id, Reminder.kind, Reminder.due_at, Event.start_date)
            .join(Event, Event.id == Reminder.event_id)
            .where(Reminder.due_at <= now)
            .order_by(Reminder.due_at, Reminder.event_id)
            .limit(limit)
        )
        return (await self.db.execute(lock_for_update(due, Reminder, skip_locked=True))).all()

    async def delete(self, sent: Sequence[tuple[int, ReminderKind]]) -> None:
        """Delete reminders that went out."""
        rows: list[Any] = sorted(sent)
        for event_id, kind in rows:
            await self.db.execute(
                delete(Reminder).where(Reminder.event_id == event_id, Reminder.kind == kind)
            )
