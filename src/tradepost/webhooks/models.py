"""The tables of webhooks and of their delivery log."""

from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey, Index, SmallInteger, String, Text, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from tradepost.core.database.models import (
    NEVER_REUSED,
    Base,
    BigId,
    Identified,
    PortableJson,
    Timestamped,
    Versioned,
    choice,
)
from tradepost.webhooks.schemas import (
    LONGEST_DESCRIPTION,
    LONGEST_ERROR,
    LONGEST_URL,
    MOST_WEBHOOKS,
    DeliveryState,
    DisabledReason,
    WebhookScope,
)


class Webhook(Identified, Timestamped, Versioned, Base):
    """A URL with its subscriptions.

    ``slot`` numbers a person's webhooks from 1 to the limit: its uniqueness keeps the limit, however many are created at
    once. Secrets are derived from nonces and never stored; ``previous_nonce`` signs as well until ``previous_until``.
    ``failing_since`` is the first failure after the last success.
    """

    __tablename__ = "webhooks"
    __table_args__ = (
        CheckConstraint(f"slot BETWEEN 1 AND {MOST_WEBHOOKS}", name="slot_range"),
        UniqueConstraint("user_id", "slot"),
        Index(
            "ix_webhooks_scope_all",
            "id",
            postgresql_where=text("scope = 'all'"),
            sqlite_where=text("scope = 'all'"),
        ),
        NEVER_REUSED,
    )

    user_id: Mapped[int] = mapped_column(BigId, ForeignKey("users.id", ondelete="CASCADE"))
    slot: Mapped[int] = mapped_column(SmallInteger)
    url: Mapped[str] = mapped_column(String(LONGEST_URL))
    description: Mapped[str | None] = mapped_column(String(LONGEST_DESCRIPTION))
    event_types: Mapped[list[str]] = mapped_column(PortableJson)
    scope: Mapped[WebhookScope] = mapped_column(choice(WebhookScope, "scope"))
    is_active: Mapped[bool]
    disabled_at: Mapped[datetime | None]
    disabled_reason: Mapped[DisabledReason | None] = mapped_column(choice(DisabledReason, "disabled_reason"))
    failing_since: Mapped[datetime | None]
    nonce: Mapped[str] = mapped_column(String(32))
    previous_nonce: Mapped[str | None] = mapped_column(String(32))
    previous_until: Mapped[datetime | None]


class WebhookDelivery(Identified, Base):
    """One fact on its way to one webhook.

    ``message_id`` is the receiver's idempotency id and ``body`` the text it gets: both are the same at every attempt.
    """

    __tablename__ = "webhook_deliveries"
    __table_args__ = (
        Index("ix_webhook_deliveries_webhook_id_id", "webhook_id", "id"),
        Index(
            "ix_webhook_deliveries_pending",
            "webhook_id",
            postgresql_where=text("state = 'pending'"),
            sqlite_where=text("state = 'pending'"),
        ),
        Index("ix_webhook_deliveries_created_at", "created_at"),
        NEVER_REUSED,
    )

    webhook_id: Mapped[int] = mapped_column(BigId, ForeignKey("webhooks.id", ondelete="CASCADE"))
    message_id: Mapped[str] = mapped_column(String(40))
    event_type: Mapped[str] = mapped_column(String(64))
    body: Mapped[str] = mapped_column(Text)
    state: Mapped[DeliveryState] = mapped_column(choice(DeliveryState, "state"))
    attempts: Mapped[int]
    created_at: Mapped[datetime]
    last_attempt_at: Mapped[datetime | None]
    next_attempt_at: Mapped[datetime | None]
    """The earliest moment of the next attempt; None when there is none to come."""
    last_status: Mapped[int | None]
    """The status of the last answer; None when the last attempt had none."""
    error: Mapped[str | None] = mapped_column(String(LONGEST_ERROR))
    response_excerpt: Mapped[str | None] = mapped_column(Text)
    duration_ms: Mapped[int | None]
    settled_at: Mapped[datetime | None]
