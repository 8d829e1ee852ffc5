"""The revocation of a person's webhooks, for the port that ``accounts`` declares."""

from datetime import datetime
from typing import Final

from tradepost.core.database.sessions import WriteSession
from tradepost.webhooks.repository import DeliveryRepository, WebhookHealthRepository

REVOKED: Final = "The webhook was switched off when its owner proved the e-mail address by a new password"


class WebhookGrants:
    """Switches off every webhook of a person in the caller's transaction, and cancels what waits for them."""

    async def revoke_all(self, db: WriteSession, *, user_id: int, now: datetime) -> int:
        """Switch off a person's active webhooks; return their number."""
        webhook_ids = await WebhookHealthRepository(db).disable_all_of(user_id, now=now)
        deliveries = DeliveryRepository(db)
        for webhook_id in webhook_ids:
            await deliveries.cancel(webhook_id=webhook_id, now=now, reason=REVOKED)
        return len(webhook_ids)
