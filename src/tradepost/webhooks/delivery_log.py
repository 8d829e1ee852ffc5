"""The delivery log: attempts written by group commit, and the webhook switched off after too many failures."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from tradepost.core.batching.group_writer import GroupWriter
from tradepost.core.database.engines import Database
from tradepost.core.database.sessions import WriteSession
from tradepost.core.messaging.outbox import Outbox
from tradepost.webhooks.catalogue import TEST
from tradepost.webhooks.messages import WebhookDisabled
from tradepost.webhooks.repository import DeliveryRepository, DueRow, WebhookHealthRepository
from tradepost.webhooks.schemas import DeliveryState, DisabledReason
from tradepost.webhooks.sender import GONE, Answer

FAILING_AFTER: Final = timedelta(days=5)
"""How long a webhook may fail: the first delivery that is given up after that switches it off."""

_REASONS: Final = {
    DisabledReason.GONE: "Its receiver answered that it is gone for good (410).",
    DisabledReason.FAILING: f"Nothing got through to it for {FAILING_AFTER.days} days.",
}


@dataclass(frozen=True, slots=True)
class DeliveryAttempt:
    """One request of a delivery, which ended at ``ended_at``."""

    due: DueRow
    answer: Answer
    took: timedelta
    ended_at: datetime
    pause: timedelta | None
    """Until the next attempt; None when this was the last."""

    @property
    def columns(self) -> dict[str, Any]:
        """The values for the delivery's row."""
        state = DeliveryState.PENDING
        if self.pause is None:
            state = DeliveryState.DELIVERED if self.answer.delivered else DeliveryState.FAILED
        return {
            "state": state,
            "last_attempt_at": self.ended_at - self.took,
            "next_attempt_at": None if self.pause is None else self.ended_at + self.pause,
            "last_status": self.answer.status,
            "error": self.answer.error,
            "response_excerpt": self.answer.excerpt,
            "duration_ms": round(self.took / timedelta(milliseconds=1)),
            "settled_at": self.ended_at if self.pause is None else None,
        }


class DeliveryLog:
    """Group commit for attempts: those that end at the same time share one transaction. Lives as long as the process."""

    def __init__(self, database: Database, outbox: Outbox) -> None:
        self._database = database
        self._outbox = outbox
        self._writer: GroupWriter[DeliveryAttempt, bool] = GroupWriter(self._write)

    async def record(self, attempt: DeliveryAttempt) -> bool:
        """Record an attempt; False when its delivery has ended or its webhook is gone, and no attempt is to follow."""
        return await self._writer.submit(attempt)

    async def _write(self, attempts: Sequence[DeliveryAttempt]) -> list[bool]:
        async with self._database.transaction() as db:
            # Webhooks before deliveries, and in the order of ids, as everywhere: another order would deadlock.
            failing = await WebhookHealthRepository(db).lock_no_key_update(
                {attempt.due.webhook_id for attempt in attempts}
            )
            return [
                attempt.due.webhook_id in failing and await self._record(db, attempt, failing)
                for attempt in attempts
            ]

    async def _record(
        self, db: WriteSession, attempt: DeliveryAttempt, failing: dict[int, datetime | None]
    ) -> bool:
        """Record one attempt. ``failing`` holds the ``failing_since`` of each webhook, and is kept current."""
        health, due, now = WebhookHealthRepository(db), attempt.due, attempt.ended_at
        if not await DeliveryRepository(db).record_attempt(due.id, attempt.columns):
            return False
        if attempt.answer.delivered:
            if failing[due.webhook_id] is not None:
                await health.set_failing_since(due.webhook_id, None)
                failing[due.webhook_id] = None
        elif attempt.answer.status == GONE:
            await self._disable(db, due, DisabledReason.GONE, now)
        elif due.event_type != TEST:
            if failing[due.webhook_id] is None:
                await health.set_failing_since(due.webhook_id, now)
                failing[due.webhook_id] = now
            if attempt.pause is None:
                await self._disable(db, due, DisabledReason.FAILING, now)
        return True

    async def _disable(self, db: WriteSession, due: DueRow, reason: DisabledReason, now: datetime) -> None:
        """Switch the webhook off unless it is off, cancel its pending deliveries, and announce it."""
        disabled = await WebhookHealthRepository(db).disable(
            due.webhook_id,
            url=due.url,
            reason=reason,
            now=now,
            failing_before=now - FAILING_AFTER if reason is DisabledReason.FAILING else None,
        )
        if disabled is None:
            return
        text = _REASONS[reason]
        await DeliveryRepository(db).cancel(
            webhook_id=due.webhook_id, now=now, reason=f"The webhook was switched off. {text}"
        )
        await self._outbox.add(db, WebhookDisabled(disabled.id, disabled.user_id, disabled.url, text))
