"""Creating, changing, testing and redelivering one's own webhooks; admins look at everybody's, and send again."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any, Final

from tradepost.accounts.permissions import Permission
from tradepost.accounts.service import UserService
from tradepost.core.audit.trail import AuditTrail, Target
from tradepost.core.clock import Clock
from tradepost.core.database.faults import violations
from tradepost.core.database.sessions import ReadSession, WriteSession
from tradepost.core.errors import InsufficientPermissions, PreconditionFailed, Unauthenticated, Unprocessable
from tradepost.core.messaging.outbox import Outbox
from tradepost.core.principal import Principal
from tradepost.core.wire.pagination import Page, Window
from tradepost.core.wire.representations import ANY_VERSION, Expected, Representation
from tradepost.webhooks.catalogue import TEST, body_of
from tradepost.webhooks.errors import (
    DeliveryNotFound,
    WebhookLimit,
    WebhookNotFound,
    WebhookOff,
)
from tradepost.webhooks.messages import WebhookDue
from tradepost.webhooks.models import Webhook, WebhookDelivery
from tradepost.webhooks.repository import DeliveryRepository, WebhookRepository
from tradepost.webhooks.schemas import (
    MOST_WEBHOOKS,
    DeliveryState,
    DisabledReason,
    WebhookCreate,
    WebhookRead,
    WebhookScope,
    WebhookSelection,
    WebhookUpdate,
    WebhookWithSecret,
)
from tradepost.webhooks.signing import Signer
from tradepost.webhooks.targets import TargetRules, UnacceptableTarget

OVERLAP: Final = timedelta(hours=24)
"""How long the secret before a rotation signs as well, so that the new one can reach every receiver."""
SWITCHED_OFF: Final = "The webhook was switched off"


def webhook_shown(webhook: Webhook) -> Representation:
    """Return a webhook with its entity tag: the JSON of ``WebhookRead``.

    Failures are none of its changes, and told all the same.
    """
    return _with_tag(webhook, lambda: WebhookRead.model_validate(webhook))


def _with_tag(webhook: Webhook, read: Callable[[], WebhookRead]) -> Representation:
    made_of = f"{webhook.updated_at}\0{webhook.failing_since}"
    return Representation(webhook.version, made_of, lambda: read().model_dump_json().encode())


class WebhookReader:
    """Finds webhooks and their logs, by whose they are."""

    def __init__(self, db: ReadSession | WriteSession) -> None:
        self._webhooks = WebhookRepository(db)
        self._deliveries = DeliveryRepository(db)

    async def get(self, webhook_id: int, owner_id: int) -> Webhook:
        """Return one of the person's webhooks or raise ``WebhookNotFound``."""
        webhook = await self._webhooks.get(webhook_id, owner_id)
        if webhook is None:
            raise WebhookNotFound
        return webhook

    async def owner_of(self, webhook_id: int) -> int:
        """Return whose a webhook is, for admins, or raise ``WebhookNotFound``."""
        owner_id = await self._webhooks.find_owner(webhook_id)
        if owner_id is None:
            raise WebhookNotFound
        return owner_id

    async def page(self, selection: WebhookSelection, window: Window) -> Page[Webhook]:
        """List the selected webhooks."""
        return await self._webhooks.page(selection, window)

    async def log(
        self, webhook_id: int, owner_id: int, window: Window, *, state: DeliveryState | None
    ) -> Page[WebhookDelivery]:
        """List what was sent to one of the person's webhooks."""
        await self.get(webhook_id, owner_id)
        return await self._deliveries.page(webhook_id, window, state=state)

    async def delivery(self, delivery_id: int, webhook_id: int, owner_id: int) -> WebhookDelivery:
        """Return one line of the log."""
        found = await self._deliveries.get(delivery_id, webhook_id, owner_id)
        if found is None:
            await self.get(webhook_id, owner_id)
            raise DeliveryNotFound
        return found


class WebhookService:
    """Changes webhooks in the caller's transaction."""

    def __init__(
        self,
        db: WriteSession,
        *,
        people: UserService,
        outbox: Outbox,
        audit: AuditTrail,
        signer: Signer,
        rules: TargetRules,
        clock: Clock,
    ) -> None:
        self._db = db
        self._webhooks = WebhookRepository(db)
        self._deliveries = DeliveryRepository(db)
        self._reader = WebhookReader(db)
        self._people = people
        self._outbox = outbox
        self._audit = audit
        self._signer = signer
        self._rules = rules
        self._clock = clock

    async def create(self, new: WebhookCreate, owner: Principal) -> Representation:
        """Create a webhook; ``WebhookLimit`` when the person has no slot left."""
        self._check(new.url, new.scope, owner)
        await self._people.lock_credential_key_share(owner)
        now = self._clock.now()
        values = {
            **new.model_dump(),
            "user_id": owner.user_id,
            "is_active": True,
            "nonce": self._clock.token(),
            "created_at": now,
            "updated_at": now,
        }
        # After losing a slot to a concurrent request, look again: the other one has committed by then.
        for _ in range(2 * MOST_WEBHOOKS):
            taken = await self._webhooks.find_slots(owner.user_id)
            free = next((slot for slot in range(1, MOST_WEBHOOKS + 1) if slot not in taken), None)
            if free is None:
                break
            # The person may be deleted at this very moment: the token is invalid then.
            with violations(foreign_key=Unauthenticated):
                webhook = await self._webhooks.claim_slot(values | {"slot": free})
            if webhook is not None:
                return self._with_secret(webhook)
        raise WebhookLimit

    async def update(
        self, webhook_id: int, changes: WebhookUpdate, owner: Principal, expected: Expected = ANY_VERSION
    ) -> Webhook:
        """Change the fields that were sent, of an expected version."""
        await self._people.lock_credential_key_share(owner)
        webhook = await self._locked(webhook_id, owner.user_id)
        expected.check_shown(webhook_shown(webhook))
        sent = changes.model_dump(exclude_unset=True)
        changed: dict[str, Any] = {
            name: value for name, value in sent.items() if getattr(webhook, name) != value
        }
        if not changed:
            return webhook
        self._check(changed.get("url"), changed.get("scope"), owner)
        now = self._clock.now()
        if changed.get("is_active") is True:
            changed |= {"disabled_at": None, "disabled_reason": None, "failing_since": None}
        elif changed.get("is_active") is False:
            changed |= {"disabled_at": now, "disabled_reason": DisabledReason.OWNER}
            await self._deliveries.cancel(webhook_id=webhook_id, now=now, reason=SWITCHED_OFF)
        for name, value in changed.items():
            setattr(webhook, name, value)
        webhook.updated_at = now
        await self._webhooks.save()
        return webhook

    async def delete(self, webhook_id: int, owner: Principal, expected: Expected = ANY_VERSION) -> None:
        """Delete a webhook of an expected version with its log and its pending deliveries."""
        if not await self._webhooks.delete(webhook_id, owner.user_id, versions=expected.versions):
            # It is there, or this raises: then it was another version that was to be deleted.
            raise PreconditionFailed(webhook_shown(await self._reader.get(webhook_id, owner.user_id)).etag)

    async def rotate_secret(self, webhook_id: int, owner: Principal) -> Representation:
        """Give a webhook a new secret; the old one signs as well for a day."""
        await self._people.lock_credential_key_share(owner)
        webhook = await self._webhooks.rotate(
            webhook_id, owner.user_id, nonce=self._clock.token(), until=self._clock.now() + OVERLAP
        )
        if webhook is None:
            raise WebhookNotFound
        return self._with_secret(webhook)

    async def test(self, webhook_id: int, owner: Principal) -> WebhookDelivery:
        """Send a test message, once."""
        await self._on(webhook_id, owner.user_id)
        body = body_of(TEST, self._clock.now(), {"webhook_id": webhook_id})
        return await self._send(webhook_id, owner.user_id, f"msg_{self._clock.token()}", TEST, body)

    async def redeliver(self, delivery_id: int, webhook_id: int, owner_id: int) -> WebhookDelivery:
        """Send a message again as a new line of the log: the same id and body, signed anew."""
        sent = await self._reader.delivery(delivery_id, webhook_id, owner_id)
        await self._on(webhook_id, owner_id)
        return await self._send(webhook_id, owner_id, sent.message_id, sent.event_type, sent.body)

    async def redeliver_for(self, delivery_id: int, webhook_id: int, *, by: Principal) -> WebhookDelivery:
        """Do so for somebody else, as an admin."""
        owner_id = await self._reader.owner_of(webhook_id)
        sent = await self.redeliver(delivery_id, webhook_id, owner_id)
        details = {"delivery": delivery_id, "again": sent.id}
        on = Target("webhook", webhook_id, owner_id)
        await self._audit.add(self._db, "webhook.redelivered", by=by, on=on, details=details)
        return sent

    async def _send(
        self, webhook_id: int, owner_id: int, message_id: str, event_type: str, body: str
    ) -> WebhookDelivery:
        row = {
            "webhook_id": webhook_id,
            "message_id": message_id,
            "event_type": event_type,
            "body": body,
            "created_at": self._clock.now(),
            "next_attempt_at": self._clock.now(),
        }
        (delivery_id,) = await self._deliveries.add_many([row])
        await self._outbox.add(self._db, WebhookDue(delivery_id))
        return await self._reader.delivery(delivery_id, webhook_id, owner_id)

    async def _locked(self, webhook_id: int, owner_id: int) -> Webhook:
        webhook = await self._webhooks.lock_owned_no_key_update(webhook_id, owner_id)
        if webhook is None:
            raise WebhookNotFound
        return webhook

    async def _on(self, webhook_id: int, owner_id: int) -> None:
        if not (await self._locked(webhook_id, owner_id)).is_active:
            raise WebhookOff

    def _check(self, url: str | None, scope: WebhookScope | None, owner: Principal) -> None:
        if scope is WebhookScope.ALL and Permission.ADMIN_ACCESS not in owner.permissions:
            raise InsufficientPermissions
        if url is not None:
            try:
                self._rules.read(url)
            except UnacceptableTarget as fault:
                raise Unprocessable(("body", "url"), str(fault), kind="webhook_url") from fault

    def _with_secret(self, webhook: Webhook) -> Representation:
        """Return the JSON of ``WebhookWithSecret``, under the entity tag that a read has, which shows no secret."""
        shown = WebhookRead.model_validate(webhook).model_dump(by_alias=False)
        secret = {
            "previous_until": webhook.previous_until,
            "secret": self._signer.secret(webhook.id, webhook.nonce),
        }
        return _with_tag(webhook, lambda: WebhookWithSecret.model_validate(shown | secret))
