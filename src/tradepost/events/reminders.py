"""When reminders are due: planned with the event, planned anew with another start, and at most once for each start."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final

from tradepost.events.schemas import ReminderKind

BEFORE: Final[Mapping[ReminderKind, timedelta]] = {
    ReminderKind.DAY_BEFORE: timedelta(hours=24),
    ReminderKind.HOUR_BEFORE: timedelta(hours=1),
}


def due_moments(start_date: datetime, *, now: datetime) -> dict[ReminderKind, datetime]:
    """Return when the reminders of a start go out; one whose time has passed is left out."""
    return {kind: start_date - before for kind, before in BEFORE.items() if start_date - before > now}


def is_too_late(kind: ReminderKind, start_date: datetime, *, now: datetime) -> bool:
    """Tell whether a reminder has lost its sense: the event has begun, or the next reminder's time has come."""
    return now >= start_date - (
        timedelta(0) if kind is ReminderKind.HOUR_BEFORE else BEFORE[ReminderKind.HOUR_BEFORE]
    )
