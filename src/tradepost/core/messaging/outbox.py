"""The transactional outbox: a message is a row, written in the transaction of the change that it tells of."""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final, cast

from sqlalchemy import Index, String, Table, text
from sqlalchemy.orm import Mapped, mapped_column

from tradepost.core.clock import Clock
from tradepost.core.database.many_rows import Insertion, insert_together
from tradepost.core.database.models import NEVER_REUSED, Base, Identified, PortableJson, choice
from tradepost.core.database.sessions import WriteSession
from tradepost.core.messaging.messages import NAME_LENGTH, Message, Subscriptions, Traced, payload_of
from tradepost.core.observability.spans import Tracing
from tradepost.core.observability.trace_context import LENGTH, traceparent

ERROR_LENGTH: Final = 500


class MessageState(StrEnum):
    """Where a message is: waiting or under way, delivered, or given up."""

    PENDING = "pending"
    DONE = "done"
    DEAD = "dead"


class StoredMessage(Identified, Base):
    """A message on its way to one subscriber."""

    __tablename__ = "messages"
    __table_args__ = (
        Index(
            "ix_messages_due",
            "channel",
            "due_at",
            "id",
            postgresql_where=text("state = 'pending'"),
            sqlite_where=text("state = 'pending'"),
        ),
        Index(
            "ix_messages_reactions",
            "id",
            postgresql_where=text("state = 'pending' AND channel = 'reactions'"),
            sqlite_where=text("state = 'pending' AND channel = 'reactions'"),
        ),
        Index("ix_messages_state_settled_at", "state", "settled_at"),
        NEVER_REUSED,
    )

    type: Mapped[str] = mapped_column(String(NAME_LENGTH))
    subscription: Mapped[str] = mapped_column(String(NAME_LENGTH))
    channel: Mapped[str] = mapped_column(String(NAME_LENGTH))
    payload: Mapped[dict[str, Any]] = mapped_column(PortableJson)
    state: Mapped[MessageState] = mapped_column(choice(MessageState, "state"))
    attempts: Mapped[int]
    """How many have begun, less those that were returned."""
    created_at: Mapped[datetime]
    due_at: Mapped[datetime]
    """When the next attempt may begin; of one that is under way, when its lease ends."""
    expires_at: Mapped[datetime]
    """A failed attempt after this moment was the last, unless it was one of the first."""
    lease: Mapped[str | None] = mapped_column(String(64))
    """The token of the process that holds it: only that settles it."""
    settled_at: Mapped[datetime | None]
    error: Mapped[str | None] = mapped_column(String(ERROR_LENGTH))
    """Why the last attempt failed, or why there will be none."""
    traceparent: Mapped[str | None] = mapped_column(String(LENGTH))
    """The trace context of the request that caused it."""

    @property
    def is_under_way(self) -> bool:
        """Whether a process holds its lease, or held it when it ended."""
        return self.state is MessageState.PENDING and self.lease is not None


_MESSAGES: Final = cast("Table", StoredMessage.__table__)


class Outbox:
    """Takes messages in the caller's transaction: rolled back with it, delivered once it is committed."""

    def __init__(
        self,
        subscriptions: Subscriptions,
        clock: Clock,
        wake: Callable[[Sequence[str]], None],
        *,
        tracing: Tracing | None = None,
    ) -> None:
        self._subscriptions = subscriptions
        self._clock = clock
        self._wake = wake
        self._tracing = tracing

    async def add(
        self, db: WriteSession, *messages: Message | Traced, due_at: datetime | None = None
    ) -> None:
        """Add messages for each of their subscribers, due at ``due_at`` or now; without a subscriber no row is written."""
        await insert_together(db, self.addition(db, messages, due_at=due_at))

    def addition(
        self, db: WriteSession, messages: Iterable[Message | Traced], *, due_at: datetime | None = None
    ) -> Insertion:
        """Return what is to be inserted for messages, in this transaction."""
        now = self._clock.now()
        context = traceparent.get()
        traced = [one if isinstance(one, Traced) else Traced(one, context) for one in messages]
        due_at = due_at or now
        rows: list[dict[str, Any]] = [
            {
                "type": message.type,
                "subscription": subscription.name,
                "channel": subscription.channel.name,
                "payload": payload,
                "state": MessageState.PENDING,
                "attempts": 0,
                "created_at": now,
                "due_at": due_at,
                "expires_at": due_at + timedelta(seconds=subscription.channel.max_age),
                "traceparent": cause,
            }
            for message, payload, cause in [
                (one.message, payload_of(one.message), self._cause(db, one)) for one in traced
            ]
            for subscription in self._subscriptions.by_type.get(type(message), ())
        ]
        # A dispatcher woken before they are due would find nothing; polling tells it what is due next.
        if rows and due_at <= now:
            channels = sorted({row["channel"] for row in rows})
            db.after_commit(lambda: self._wake(channels))
        return Insertion(_MESSAGES, rows)

    def _cause(self, db: WriteSession, one: Traced) -> str | None:
        """Return the trace context that a message keeps: where spans are sent, that of the message itself."""
        kind = type(one.message)
        if self._tracing is None or not self._subscriptions.by_type.get(kind):
            return one.traceparent
        span = self._tracing.begin(f"publish {kind.type}", kind="producer", cause=one.traceparent)
        # What is rolled back has never happened, and is told to nobody.
        db.after_commit(span.end)
        return span.context
