"""The fan-out of facts: one delivery for each webhook that subscribes, with its body fixed."""

from collections.abc import Iterator, Sequence
from typing import Any, Final

from tradepost.accounts.permissions import PERMISSIONS, Permission
from tradepost.core.clock import Clock
from tradepost.core.database.sessions import WriteSession
from tradepost.core.messaging.messages import Envelope, Message, Traced
from tradepost.core.messaging.outbox import Outbox
from tradepost.webhooks.catalogue import ALL_FACTS, CATALOGUE, PublicFact, body_of_fact
from tradepost.webhooks.messages import WebhookDue
from tradepost.webhooks.repository import DeliveryRepository, SubscriberRow, WebhookRepository
from tradepost.webhooks.schemas import WebhookScope

_BY_MESSAGE: Final[dict[type[Message], PublicFact]] = {public.message: public for public in CATALOGUE}


class WebhookFanOut:
    """Adds deliveries for a group of facts in three statements, or in one where no webhook subscribes."""

    def __init__(self, outbox: Outbox, clock: Clock) -> None:
        self._outbox = outbox
        self._clock = clock

    async def react(self, db: WriteSession, envelopes: Sequence[Envelope[Any]]) -> None:
        """Add the deliveries of these facts."""
        facts = [(_BY_MESSAGE[type(envelope.message)], envelope) for envelope in envelopes]
        owners = {public.owner(envelope.message) for public, envelope in facts}
        subscribers = await WebhookRepository(db).lock_subscribers_key_share(owners)
        if not subscribers:
            return
        rows: list[dict[str, Any]] = []
        causes: list[str | None] = []
        for public, envelope in facts:
            new = list(self._deliveries(public, envelope, subscribers))
            rows += new
            causes += [envelope.traceparent] * len(new)
        if rows:
            added = await DeliveryRepository(db).add_many(rows)
            due = [
                Traced(WebhookDue(delivery_id), cause)
                for delivery_id, cause in zip(added, causes, strict=True)
            ]
            await self._outbox.add(db, *due)

    def _deliveries(
        self, public: PublicFact, envelope: Envelope[Any], subscribers: Sequence[SubscriberRow]
    ) -> Iterator[dict[str, Any]]:
        owner = public.owner(envelope.message)
        body: str | None = None
        now = self._clock.now()
        for subscriber in subscribers:
            if not _covers(subscriber, owner) or not {public.name, ALL_FACTS} & set(subscriber.event_types):
                continue
            body = body or body_of_fact(public, envelope.message, envelope.created_at)
            yield {
                "webhook_id": subscriber.id,
                "message_id": f"msg_{self._clock.token()}",
                "event_type": public.name,
                "body": body,
                "created_at": now,
                "next_attempt_at": now,
            }


def _covers(subscriber: SubscriberRow, owner: int) -> bool:
    if subscriber.scope is WebhookScope.ALL:
        return Permission.ADMIN_ACCESS in PERMISSIONS[subscriber.role]
    return bool(subscriber.user_id == owner)
