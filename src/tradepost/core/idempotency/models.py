"""The table of idempotency keys."""

from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Index, LargeBinary, SmallInteger, String
from sqlalchemy.orm import Mapped, mapped_column

from tradepost.core.database.models import Base, BigId, PortableJson

DIGEST_SIZE = 32
"""Bytes of a SHA-256."""


class IdempotencyKey(Base):
    """A key that a person sent with a request, and the answer once there is one.

    ``digest`` is made of person, method, path and key, ``fingerprint`` of the rest of the request: None while a body that is
    streamed has not come whole. Without a ``status`` the work is under way, until ``lease_until`` at the latest.
    """

    __tablename__ = "idempotency_keys"
    __table_args__ = (
        CheckConstraint("(status IS NULL) = (answer IS NULL)", name="answered_as_a_whole"),
        CheckConstraint("status IS NULL OR fingerprint IS NOT NULL", name="answered_request_is_known"),
        Index("ix_idempotency_keys_user_id", "user_id"),
        Index("ix_idempotency_keys_created_at", "created_at"),
    )

    digest: Mapped[bytes] = mapped_column(LargeBinary(DIGEST_SIZE), primary_key=True)
    user_id: Mapped[int] = mapped_column(BigId, ForeignKey("users.id", ondelete="CASCADE"))
    fingerprint: Mapped[bytes | None] = mapped_column(LargeBinary(DIGEST_SIZE))
    status: Mapped[int | None] = mapped_column(SmallInteger)
    headers: Mapped[list[Any] | None] = mapped_column(PortableJson)
    """Names and values, in their order."""
    answer: Mapped[bytes | None] = mapped_column(LargeBinary)
    lease: Mapped[str | None] = mapped_column(String(32))
    """The token by which the work that is under way settles the key."""
    lease_until: Mapped[datetime | None]
    created_at: Mapped[datetime]


class IdempotentPiece(Base):
    """A piece of work that is done in many transactions, written in its own: what was answered, and up to which line.

    ``is_told`` says that whoever is to hear of what was made has been told of it.
    """

    __tablename__ = "idempotent_pieces"

    digest: Mapped[bytes] = mapped_column(
        LargeBinary(DIGEST_SIZE), ForeignKey("idempotency_keys.digest", ondelete="CASCADE"), primary_key=True
    )
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    last: Mapped[int]
    made: Mapped[int]
    is_told: Mapped[bool]
    answer: Mapped[bytes] = mapped_column(LargeBinary)
