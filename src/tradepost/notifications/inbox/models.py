"""Inboxes and what is in them."""

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, String, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from tradepost.core.database.models import NEVER_REUSED, Base, BigId, Identified, PortableJson

TITLE_LENGTH = 200
BODY_LENGTH = 1000


class Inbox(Base):
    """The numbers of one person's notifications: 1, 2, 3, … in the order in which they become visible.

    Whoever adds notifications raises ``last_number`` in the same transaction, and so holds this row until its commit:
    nobody sees a number before all lower ones. A sequence would hand numbers out in one order and show them in another,
    and who reads on from the highest number they saw would miss the one that came late.
    """

    __tablename__ = "inboxes"
    __table_args__ = (CheckConstraint("pruned_through <= last_number", name="pruned_through_known"),)

    user_id: Mapped[int] = mapped_column(
        BigId, ForeignKey("users.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    last_number: Mapped[int] = mapped_column(BigInteger)
    pruned_through: Mapped[int] = mapped_column(BigInteger, default=0)
    """The highest number that was removed for its age: who has seen less must look at the list again."""


class Notification(Identified, Base):
    """Something a person was told; ``created_at`` is when it happened."""

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
