"""The tables of events, of who takes part in them, and of reminders that are still to be sent."""

from datetime import datetime

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, String, Text, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from tradepost.core.database.models import NEVER_REUSED, Base, BigId, Identified, Timestamped, choice
from tradepost.events.schemas import (
    DESCRIPTION_LENGTH,
    TITLE_LENGTH,
    EventStatus,
    ParticipantStatus,
    ReminderKind,
)
from tradepost.events.zones import LONGEST_ZONE


class Event(Identified, Timestamped, Base):
    """A gathering with seats. ``version`` counts its changes from 1; joining and leaving is no change.

    The counters stand here and not in a COUNT of participants: who changes them has the row locked, and the CHECKs refuse
    whatever would sell a seat twice or leave one empty while somebody waits.
    """

    __tablename__ = "events"
    __table_args__ = (
        CheckConstraint("end_date > start_date", name="ends_after_start"),
        CheckConstraint("participants_count >= 0 AND waiting_count >= 0", name="counts_not_negative"),
        CheckConstraint("participants_count <= seats", name="seats_not_exceeded"),
        CheckConstraint("seats >= max_participants", name="seats_offered"),
        CheckConstraint(
            "waiting_count = 0 OR participants_count >= max_participants", name="nobody_waits_for_a_free_seat"
        ),
        Index("ix_events_start_date_id", "start_date", "id"),
        Index("ix_events_created_at_id", "created_at", "id"),
        Index("ix_events_organiser_id_start_date_id", "organiser_id", "start_date", "id"),
        # How far before a window an event may begin that reaches into it: the longest tells.
        Index("ix_events_duration_end_date", "duration", "end_date"),
        # Room in each page for the next version of a row: a changed counter then touches no index.
        NEVER_REUSED | {"postgresql_with": {"fillfactor": 85}},
    )

    title: Mapped[str] = mapped_column(String(TITLE_LENGTH))
    description: Mapped[str] = mapped_column(String(DESCRIPTION_LENGTH))
    words: Mapped[str | None] = mapped_column(Text)
    """The words of both, which ``texts.words_of`` makes; none of an event that an older program wrote."""
    start_date: Mapped[datetime]
    end_date: Mapped[datetime]
    duration: Mapped[int] = mapped_column(BigInteger)
    """Seconds from start to end, rounded up."""
    time_zone: Mapped[str] = mapped_column(String(LONGEST_ZONE))
    max_participants: Mapped[int]
    seats: Mapped[int]
    """How many may be in: ``max_participants``, or more while a smaller capacity finds more people in, whom it removes not."""
    participants_count: Mapped[int] = mapped_column(default=0)
    waiting_count: Mapped[int] = mapped_column(default=0)
    last_number: Mapped[int] = mapped_column(BigInteger, default=0)
    """The number that the last one to join got."""
    status: Mapped[EventStatus] = mapped_column(choice(EventStatus, "status"))
    organiser_id: Mapped[int | None] = mapped_column(BigId, ForeignKey("users.id", ondelete="SET NULL"))
    version: Mapped[int] = mapped_column(default=1)


class Participant(Identified, Base):
    """A person with a seat at an event, or with a place on its waiting list; ``number`` is the order of joining.

    The service has a deleted person leave before the account goes. Where a program deleted it that knows no events (the
    previous release), ``user_id`` is empty, and a recurring job gives the seat to the next.
    """

    __tablename__ = "event_participants"
    __table_args__ = (
        UniqueConstraint("event_id", "user_id"),
        UniqueConstraint("event_id", "number"),
        CheckConstraint("(status = 'joined') = (seated_at IS NOT NULL)", name="seated_when_joined"),
        Index("ix_event_participants_user_id_event_id", "user_id", "event_id"),
        Index(
            "ix_event_participants_waiting",
            "event_id",
            "number",
            postgresql_where=text("status = 'waiting'"),
            sqlite_where=text("status = 'waiting'"),
        ),
        NEVER_REUSED,
    )

    event_id: Mapped[int] = mapped_column(BigId, ForeignKey("events.id", ondelete="CASCADE"))
    user_id: Mapped[int | None] = mapped_column(BigId, ForeignKey("users.id", ondelete="SET NULL"))
    number: Mapped[int] = mapped_column(BigInteger)
    status: Mapped[ParticipantStatus] = mapped_column(choice(ParticipantStatus, "status"))
    joined_at: Mapped[datetime]
    seated_at: Mapped[datetime | None]
    """When the seat was got: at once, or when others left."""


class Reminder(Base):
    """A reminder of an event that has not gone out yet: the row goes when it does, in the same transaction."""

    __tablename__ = "event_reminders"

    event_id: Mapped[int] = mapped_column(
        BigId, ForeignKey("events.id", ondelete="CASCADE"), primary_key=True
    )
    kind: Mapped[ReminderKind] = mapped_column(choice(ReminderKind, "kind"), primary_key=True)
    due_at: Mapped[datetime] = mapped_column(index=True)
