"""Decides which webhooks are told of a fact, and fixes what they are told."""

from collections.abc import Iterator, Sequence
from typing import Any, Final

from tradepost.accounts.permissions import PERMISSIONS, Permission
from tradepost.core.clock import Clock
from tradepost.core.database.sessions import WriteSession
from tradepost.core.messaging.messages import Envelope, Message
from tradepost.core.messaging.outbox import Outbox
from tradepost.webhooks.facts import EVENTS, EVERYTHING, PublicEvent, body_of_fact
from tradepost.webhooks.messages import WebhookDue
from tradepost.webhooks.repository import DeliveryRepository, ListenerRow, WebhookRepository
from tradepost.webhooks.schemas import Scope

_BY_MESSAGE: Final[dict[type[Message], PublicEvent]] = {event.message: event for event in EVENTS}


class WebhookPlanner:
    """Plans deliveries for a group of facts in three statements, or in one where nobody listens."""

    def __init__(self, outbox: Outbox, clock: Clock) -> None:
        self._outbox = outbox
        self._clock = clock

    async def plan(self, db: WriteSession, envelopes: Sequence[Envelope[Any]]) -> None:
        """Write down what is to be sent because of these facts."""
        facts = [(_BY_MESSAGE[type(envelope.message)], envelope) for envelope in envelopes]
        owners = {event.owner(envelope.message) for event, envelope in facts}
        listeners = await WebhookRepository(db).find_listeners(owners)
        if not listeners:
            return
        rows = [row for event, envelope in facts for row in self._deliveries(event, envelope, listeners)]
        if rows:
            planned = await DeliveryRepository(db).add_many(rows)
            await self._outbox.add(db, *map(WebhookDue, planned))

    def _deliveries(
        self, event: PublicEvent, envelope: Envelope[Any], listeners: Sequence[ListenerRow]
    ) -> Iterator[dict[str, Any]]:
        owner = event.owner(envelope.message)
        body: str | None = None
        now = self._clock.now()
        for listener in listeners:
            if not _hears(listener, owner) or not {event.name, EVERYTHING} & set(listener.event_types):
                continue
            body = body or body_of_fact(event, envelope.message, envelope.created_at)
            yield {
                "webhook_id": listener.id,
                "message_id": f"msg_{self._clock.token()}",
                "event_type": event.name,
                "body": body,
                "created_at": now,
                "next_attempt_at": now,
            }


def _hears(listener: ListenerRow, owner: int) -> bool:
    if listener.scope is Scope.ALL:
        return Permission.ADMIN_ACCESS in PERMISSIONS[listener.role]
    return bool(listener.user_id == owner)
