"""The messages of events: facts for people and programs, and the steps by which many people are told."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import ClassVar

from tradepost.core.messaging.messages import Message


@dataclass(frozen=True, slots=True)
class EventCreated(Message):
    """An event was planned."""

    type: ClassVar[str] = "events.created.v1"

    event_id: int
    organiser_id: int | None
    title: str


@dataclass(frozen=True, slots=True)
class EventUpdated(Message):
    """An event was changed; ``title`` and ``version`` are the new ones."""

    type: ClassVar[str] = "events.updated.v1"

    event_id: int
    organiser_id: int | None
    title: str
    version: int


@dataclass(frozen=True, slots=True)
class EventCancelled(Message):
    """An event was cancelled, by its organiser, by staff, or because its organiser's account was deleted."""

    type: ClassVar[str] = "events.cancelled.v1"

    event_id: int
    organiser_id: int | None
    title: str


@dataclass(frozen=True, slots=True)
class EventDeleted(Message):
    """An event that nobody had joined was deleted."""

    type: ClassVar[str] = "events.deleted.v1"

    event_id: int
    organiser_id: int | None


@dataclass(frozen=True, slots=True)
class EventJoined(Message):
    """A person got a seat at an event, or a place on its waiting list: ``status`` says which."""

    type: ClassVar[str] = "events.joined.v1"

    event_id: int
    organiser_id: int | None
    user_id: int
    status: str


@dataclass(frozen=True, slots=True)
class EventLeft(Message):
    """A person gave up a seat or a place on the waiting list, or lost it to the organiser's or staff's decision."""

    type: ClassVar[str] = "events.left.v1"

    event_id: int
    organiser_id: int | None
    user_id: int


@dataclass(frozen=True, slots=True)
class ParticipantRemoved(Message):
    """A person was taken out of an event that is still to come, by its organiser or by staff."""

    type: ClassVar[str] = "events.removed.v1"

    event_id: int
    organiser_id: int | None
    title: str
    start_date: datetime
    time_zone: str
    user_id: int


MOST_TOLD = 100
"""People that one message tells of something: their inbox rows and e-mails are written in one transaction."""


@dataclass(frozen=True, slots=True)
class SeatsGiven(Message):
    """People who waited have got seats: at most ``MOST_TOLD`` of them, in the order in which they joined."""

    type: ClassVar[str] = "events.moved_up.v1"

    event_id: int
    organiser_id: int | None
    title: str
    start_date: datetime
    time_zone: str
    user_ids: tuple[int, ...]

    @property
    def weight(self) -> int:
        """Each of these people is told."""
        return len(self.user_ids)


class Announcement(StrEnum):
    """What the participants of an event are told."""

    CANCELLED = "cancelled"
    CHANGED = "changed"
    DAY_BEFORE = "24h"
    HOUR_BEFORE = "1h"


@dataclass(frozen=True, slots=True)
class AnnouncementDue(Message):
    """The participants of an event who joined after number ``after`` are to be told something.

    A reaction tells the next ``MOST_TOLD`` of them and adds this message once more for those after them: a crowd is told
    in many short transactions, each exactly once.

    ``moment`` is when it came about: those who joined later are not told. ``start_date`` is the start that it speaks of.
    """

    type: ClassVar[str] = "events.announcement_due.v1"

    event_id: int
    announcement: Announcement
    moment: datetime
    start_date: datetime
    after: int = 0

    @property
    def weight(self) -> int:
        """It reads the ids of a hundred people."""
        return 10


@dataclass(frozen=True, slots=True)
class _ToParticipants(Message):
    event_id: int
    title: str
    start_date: datetime
    time_zone: str
    user_ids: tuple[int, ...]

    @property
    def weight(self) -> int:
        """Each of these people is told."""
        return len(self.user_ids)


@dataclass(frozen=True, slots=True)
class CancellationDue(_ToParticipants):
    """These participants are to learn that an event was cancelled."""

    type: ClassVar[str] = "events.cancellation_due.v1"


@dataclass(frozen=True, slots=True)
class ChangeDue(_ToParticipants):
    """These participants are to learn that an event takes place at another time now, the one given here."""

    type: ClassVar[str] = "events.change_due.v1"


@dataclass(frozen=True, slots=True)
class ReminderDue(_ToParticipants):
    """These participants are to be reminded of an event that starts in so many hours."""

    type: ClassVar[str] = "events.reminder_due.v1"

    hours: int
