"""The rows of a made-up event, as the database has them and as the fingerprint reads them."""

from collections.abc import Iterator
from datetime import datetime
from functools import cached_property
from typing import Any, Final

from tradepost.events.reminders import due_moments
from tradepost.events.schemas import EventStatus, ParticipantStatus
from tradepost.events.texts import words_of
from tradepost.seeding.gatherings import EventRow

EVENT_COLUMNS: Final = (
    *("id", "title", "description", "words", "start_date", "end_date", "duration", "time_zone"),
    *("max_participants", "seats", "participants_count", "waiting_count", "last_number", "status"),
    *("organiser_id", "version", "created_at", "updated_at"),
)
PARTICIPANT_COLUMNS: Final = ("id", "event_id", "user_id", "number", "status", "joined_at", "seated_at")
REMINDER_COLUMNS: Final = ("event_id", "kind", "due_at")


class EventRecord:
    """An event with its id. The first ones to join have the seats, the others wait."""

    def __init__(self, event_id: int, event: EventRow) -> None:
        self._id = event_id
        self._event = event

    @cached_property
    def _counters(self) -> tuple[int, int, int]:
        """How many have a seat, how many wait, and the number that the last one to join got."""
        people = self._event.participants
        seated = min(len(people), self._event.max_participants)
        return seated, len(people) - seated, people[-1].number if people else 0

    def row(self, first_user_id: int) -> tuple[Any, ...]:
        """Return the row of the event; its people's ids count from the first one's."""
        event = self._event
        duration = int((event.end_date - event.start_date).total_seconds())
        return (
            *(self._id, event.title, event.description, words_of(event.title, event.description)),
            *(event.start_date, event.end_date, duration, event.time_zone),
            *(event.max_participants, event.max_participants, *self._counters, event.status),
            *(first_user_id + event.organiser, event.version, event.created_at, event.updated_at),
        )

    def participants(self, first_user_id: int) -> Iterator[tuple[Any, ...]]:
        """Yield the rows of the participants, but for their ids."""
        for one, status, seated_at in self._standings():
            yield (self._id, first_user_id + one.user, one.number, status, one.joined_at, seated_at)

    def _standings(self) -> Iterator[tuple[Any, ParticipantStatus, datetime | None]]:
        seats = self._counters[0]
        for at, one in enumerate(self._event.participants):
            is_seated = at < seats
            status = ParticipantStatus.JOINED if is_seated else ParticipantStatus.WAITING
            yield one, status, one.joined_at if is_seated else None

    def reminders(self, now: datetime) -> Iterator[tuple[Any, ...]]:
        """Yield the rows of the reminders that are still to go out."""
        if self._event.status is EventStatus.PLANNED:
            for kind, due_at in due_moments(self._event.start_date, now=now).items():
                yield (self._id, kind, due_at)

    def mark(self, first_user: int) -> list[Any]:
        """Return what the fingerprint hashes; people's numbers count from the first one's."""
        event = self._event

        def email(user: int) -> str:
            return f"user{first_user + user}@example.com"

        return [
            *("events", event.title, event.description, event.start_date, event.end_date, event.time_zone),
            *(event.max_participants, event.max_participants, *self._counters, event.status),
            *(email(event.organiser), event.version, event.created_at, event.updated_at),
            [
                [email(one.user), one.number, status, one.joined_at, seated_at]
                for one, status, seated_at in self._standings()
            ],
        ]
