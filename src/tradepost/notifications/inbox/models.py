"""The tables of inboxes and notifications."""

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, String, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from tradepost.core.database.models import NEVER_REUSED, Base, BigId, Identified, PortableJson

TITLE_LENGTH = 200
BODY_LENGTH = 1000


class Inbox(Base):
    """A gapless counter of one person's notifications: 1, 2, 3, … in the order in which they become visible.

    A transaction that adds notifications raises ``last_number``, and so locks this row until its commit: no number is
    visible before all lower ones. A sequence hands numbers out in one order and shows them in another, and a stream that
    resumes after the highest number it saw would miss one that committed late.
    """

    __tablename__ = "inboxes"
    __table_args__ = (CheckConstraint("pruned_through <= last_number", name="pruned_through_known"),)

    user_id: Mapped[int] = mapped_column(
        BigId, ForeignKey("users.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    last_number: Mapped[int] = mapped_column(BigInteger)
    pruned_through: Mapped[int] = mapped_column(BigInteger, default=0)
    """The highest number that was pruned: a client that has seen less must read the list again."""


class Notification(Identified, Base):
    """A notification to one person; ``created_at`` is when the fact happened."""

    __tablename__ = "notifications"
    __table_args__ = (
        UniqueConstraint("user_id", "number"),
        Index(
            "ix_notifications_unread",
            "user_id",
            "number",
            postgresql_where=text("read_at IS NULL"),
            sqlite_where=text("read_at IS NULL"),
        ),
        Index("ix_notifications_created_at", "created_at"),
        NEVER_REUSED,
    )

    user_id: Mapped[int] = mapped_column(BigId, ForeignKey("users.id", ondelete="CASCADE"))
    number: Mapped[int] = mapped_column(BigInteger)
    kind: Mapped[str] = mapped_column(String(32))
    title: Mapped[str] = mapped_column(String(TITLE_LENGTH))
    body: Mapped[str] = mapped_column(String(BODY_LENGTH))
    data: Mapped[dict[str, Any]] = mapped_column(PortableJson)
    created_at: Mapped[datetime]
    read_at: Mapped[datetime | None]
