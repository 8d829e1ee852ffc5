"""The SQL of webhooks and their delivery log."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from operator import itemgetter
from typing import Any, Final

from sqlalchemy import Row, Select, delete, insert, literal_column, or_, select, update
from sqlalchemy.orm import defer

from tradepost.accounts.models import User
from tradepost.accounts.permissions import Role
from tradepost.core.database.elements import AmongIds, upsert
from tradepost.core.database.keyset import Order
from tradepost.core.database.locks import lock_key_share, lock_no_key_update
from tradepost.core.database.repository import Repository
from tradepost.core.wire.pagination import Page, Window
from tradepost.webhooks.models import Webhook, WebhookDelivery
from tradepost.webhooks.schemas import DeliveryState, DisabledReason, WebhookScope, WebhookSelection

SubscriberRow = Row[int, int, list[str], WebhookScope, Role]
"""id, user_id, event_types and scope of a webhook, and the role of its owner."""

_DUE: Final = (
    WebhookDelivery.id,
    WebhookDelivery.message_id,
    WebhookDelivery.event_type,
    WebhookDelivery.body,
    WebhookDelivery.state,
    WebhookDelivery.attempts,
    WebhookDelivery.webhook_id,
    Webhook.user_id,
    Webhook.url,
    Webhook.scope,
    Webhook.is_active,
    Webhook.nonce,
    Webhook.previous_nonce,
    Webhook.previous_until,
    User.role,
    User.is_active.label("owner_is_active"),
)
DueRow = Row[*tuple[Any, ...]]
"""A delivery, its webhook and its owner: the columns of ``_DUE``."""
_OLDEST_FIRST: Final = Order("id", {"id": Webhook.id}, ties=Webhook.id)
_NEWEST_FIRST: Final = Order("-id", {"id": WebhookDelivery.id}, ties=WebhookDelivery.id)


class WebhookRepository(Repository):
    """Webhooks, as their owners and the fan-out see them."""

    async def find_slots(self, user_id: int) -> Sequence[int]:
        """Return which of a person's slots are taken."""
        return (await self.db.scalars(select(Webhook.slot).where(Webhook.user_id == user_id))).all()

    async def claim_slot(self, values: Mapping[str, Any]) -> Webhook | None:
        """Insert a webhook unless its slot is taken; a transaction that is taking it at this moment is waited for."""
        statement = (
            upsert(Webhook)
            .values(**values)
            .on_conflict_do_nothing(index_elements=["user_id", "slot"])
            .returning(Webhook)
        )
        return await self.db.scalar(statement)

    async def get(self, webhook_id: int, user_id: int) -> Webhook | None:
        """Return a person's webhook of this id."""
        return await self.db.scalar(_owned(webhook_id, user_id))

    async def lock_owned_no_key_update(self, webhook_id: int, user_id: int) -> Webhook | None:
        """Return a person's webhook of this id, locked FOR NO KEY UPDATE until the transaction ends."""
        return await self.db.scalar(lock_no_key_update(_owned(webhook_id, user_id), Webhook))

    async def find_owner(self, webhook_id: int) -> int | None:
        """Return whose webhook this is."""
        return await self.db.scalar(select(Webhook.user_id).where(Webhook.id == webhook_id))

    async def page(self, selection: WebhookSelection, window: Window) -> Page[Webhook]:
        """Return a part of the selected webhooks, in the order of their creation."""
        selected = select(Webhook)
        if selection.user_id is not None:
            selected = selected.where(Webhook.user_id == selection.user_id)
        if selection.is_active is not None:
            selected = selected.where(Webhook.is_active == selection.is_active)
        page = await self.paged(selected, window, _OLDEST_FIRST)
        return page.mapped(itemgetter(0))

    async def save(self) -> None:
        """Flush the changes to webhooks of this session."""
        await self.db.flush()

    async def rotate(self, webhook_id: int, user_id: int, *, nonce: str, until: datetime) -> Webhook | None:
        """Replace the nonce; the one before it signs as well ``until`` then, older ones no more."""
        statement = (
            update(Webhook)
            .where(Webhook.id == webhook_id, Webhook.user_id == user_id)
            .values(
                previous_nonce=Webhook.nonce,
                previous_until=until,
                nonce=nonce,
                version=Webhook.version + 1,
            )
            .returning(Webhook)
        )
        return await self.db.scalar(statement)

    async def delete(self, webhook_id: int, user_id: int, *, versions: Collection[int] | None = None) -> bool:
        """Delete a person's webhook of this id with its log, if they are given only of these versions; tell whether it was."""
        statement = delete(Webhook).where(Webhook.id == webhook_id, Webhook.user_id == user_id)
        if versions is not None:
            statement = statement.where(Webhook.version.in_(versions))
        return await self.db.scalar(statement.returning(Webhook.id)) is not None

    async def lock_subscribers_key_share(self, user_ids: Collection[int]) -> Sequence[SubscriberRow]:
        """Return the active webhooks of these people and those of scope ``all``, where the owner is active.

        Owners and webhooks are locked FOR KEY SHARE until the transaction ends, owners first, as a deletion locks them. A
        deletion that is under way is waited for, and its webhooks are then not found.
        """
        statement = (
            select(Webhook.id, Webhook.user_id, Webhook.event_types, Webhook.scope, User.role)
            .join(User, User.id == Webhook.user_id)
            # A literal, not a parameter: only then PostgreSQL can use the partial index.
            .where(or_(Webhook.user_id.in_(user_ids), Webhook.scope == literal_column("'all'")))
            .where(Webhook.is_active, User.is_active)
            .order_by(Webhook.id)
        )
        return (await self.db.execute(lock_key_share(statement, User, Webhook))).all()


class WebhookHealthRepository(Repository):
    """Whether webhooks get through: failures, and switching off."""

    async def lock_no_key_update(self, webhook_ids: Collection[int]) -> dict[int, datetime | None]:
        """Lock webhooks FOR NO KEY UPDATE in the order of ids; return those that exist with their ``failing_since``."""
        statement = (
            select(Webhook.id, Webhook.failing_since).where(Webhook.id.in_(webhook_ids)).order_by(Webhook.id)
        )
        locked = await self.db.execute(lock_no_key_update(statement, Webhook))
        return {row.id: row.failing_since for row in locked}

    async def set_failing_since(self, webhook_id: int, since: datetime | None) -> None:
        """Set the first failure after the last success; None after a success."""
        await self.db.execute(update(Webhook).where(Webhook.id == webhook_id).values(failing_since=since))

    async def disable(
        self,
        webhook_id: int,
        *,
        url: str,
        reason: DisabledReason,
        now: datetime,
        failing_before: datetime | None = None,
    ) -> Webhook | None:
        """Switch a webhook off if it is on and still leads to ``url``; return it if this call switched it off.

        With ``failing_before``, only if it has been failing since then.
        """
        statement = update(Webhook).where(Webhook.id == webhook_id, Webhook.is_active, Webhook.url == url)
        if failing_before is not None:
            statement = statement.where(Webhook.failing_since <= failing_before)
        values = {
            "is_active": False,
            "disabled_at": now,
            "disabled_reason": reason,
            "updated_at": now,
            "version": Webhook.version + 1,
        }
        return await self.db.scalar(statement.values(**values).returning(Webhook))

    async def disable_all_of(self, user_id: int, *, now: datetime) -> Sequence[int]:
        """Switch off a person's active webhooks, locked in the order of ids first; return their ids."""
        active = select(Webhook.id).where(Webhook.user_id == user_id, Webhook.is_active).order_by(Webhook.id)
        ids = (await self.db.scalars(lock_no_key_update(active, Webhook))).all()
        if ids:
            await self.db.execute(
                update(Webhook)
                .where(Webhook.id.in_(ids))
                .values(
                    is_active=False,
                    disabled_at=now,
                    disabled_reason=DisabledReason.OWNER,
                    updated_at=now,
                    version=Webhook.version + 1,
                )
            )
        return ids


def _owned(webhook_id: int, user_id: int) -> Select[Webhook]:
    return select(Webhook).where(Webhook.id == webhook_id, Webhook.user_id == user_id)


class DeliveryRepository(Repository):
    """The delivery log."""

    async def add_many(self, rows: Sequence[Mapping[str, Any]]) -> Sequence[int]:
        """Insert pending deliveries; return their ids, in the order of the rows."""
        waiting = {"state": DeliveryState.PENDING, "attempts": 0}
        statement = insert(WebhookDelivery).returning(WebhookDelivery.id, sort_by_parameter_order=True)
        return (await self.db.scalars(statement, [{**waiting, **row} for row in rows])).all()

    async def get(self, delivery_id: int, webhook_id: int, user_id: int) -> WebhookDelivery | None:
        """Return the delivery of this id from the log of a person's webhook."""
        statement = (
            select(WebhookDelivery)
            .join(Webhook, Webhook.id == WebhookDelivery.webhook_id)
            .where(WebhookDelivery.id == delivery_id, Webhook.id == webhook_id, Webhook.user_id == user_id)
        )
        return await self.db.scalar(statement)

    async def page(
        self, webhook_id: int, window: Window, *, state: DeliveryState | None
    ) -> Page[WebhookDelivery]:
        """Return a part of a webhook's log, newest first; with ``state``, only deliveries in that state."""
        # A list shows neither text, and a hundred of them may be a megabyte.
        brief = (
            defer(WebhookDelivery.body, raiseload=True),
            defer(WebhookDelivery.response_excerpt, raiseload=True),
        )
        rows = select(WebhookDelivery).options(*brief).where(WebhookDelivery.webhook_id == webhook_id)
        if state is not None:
            rows = rows.where(WebhookDelivery.state == state)
        page = await self.paged(rows, window, _NEWEST_FIRST)
        return page.mapped(itemgetter(0))

    async def find_due(self, delivery_ids: Sequence[int]) -> Sequence[DueRow]:
        """Return deliveries with their webhooks and owners, in no order."""
        statement = (
            select(*_DUE)
            .join(Webhook, Webhook.id == WebhookDelivery.webhook_id)
            .join(User, User.id == Webhook.user_id)
            .where(AmongIds(WebhookDelivery.id))
        )
        return (await self.db.execute(statement, {"ids": list(delivery_ids)})).all()

    async def record_attempt(self, delivery_id: int, values: Mapping[str, Any]) -> bool:
        """Record an attempt of a pending delivery; False when the delivery has ended meanwhile."""
        statement = (
            update(WebhookDelivery)
            .where(WebhookDelivery.id == delivery_id, WebhookDelivery.state == DeliveryState.PENDING)
            .values(attempts=WebhookDelivery.attempts + 1, **values)
            .returning(WebhookDelivery.id)
        )
        return await self.db.scalar(statement) is not None

    async def cancel(self, *, now: datetime, reason: str, **wanted: int) -> None:
        """Cancel the pending deliveries of one webhook (``webhook_id=``), or one delivery (``id=``)."""
        conditions = [getattr(WebhookDelivery, name) == value for name, value in wanted.items()]
        await self.db.execute(
            update(WebhookDelivery)
            .where(*conditions, WebhookDelivery.state == DeliveryState.PENDING)
            .values(state=DeliveryState.CANCELLED, settled_at=now, next_attempt_at=None, error=reason)
        )

    async def give_up(self, *, before: datetime, now: datetime, reason: str, limit: int) -> int:
        """Mark as failed up to ``limit`` pending deliveries from before a moment; return how many it were."""
        late = (
            select(WebhookDelivery.id)
            .where(WebhookDelivery.created_at < before, WebhookDelivery.state == DeliveryState.PENDING)
            .order_by(WebhookDelivery.id)
            .limit(limit)
        )
        statement = (
            update(WebhookDelivery)
            .where(WebhookDelivery.id.in_(late), WebhookDelivery.state == DeliveryState.PENDING)
            .values(state=DeliveryState.FAILED, settled_at=now, next_attempt_at=None, error=reason)
            .returning(WebhookDelivery.id)
        )
        return len((await self.db.scalars(statement)).all())

    async def find_crowded(self, after: int, *, keep: int, limit: int) -> Sequence[Row[int, int | None]]:
        """Return the next ``limit`` webhooks by id, each with the newest of its deliveries past ``keep``, if it has one."""
        last = (
            select(WebhookDelivery.id)
            .where(WebhookDelivery.webhook_id == Webhook.id)
            .order_by(WebhookDelivery.id.desc())
            .offset(keep)
            .limit(1)
            .scalar_subquery()
        )
        statement = select(Webhook.id, last).where(Webhook.id > after).order_by(Webhook.id).limit(limit)
        return (await self.db.execute(statement)).all()

    async def cut(self, webhook_id: int, *, last: int, limit: int) -> int:
        """Delete up to ``limit`` deliveries of a webhook, up to that of the id ``last``; return how many it were."""
        oldest = (
            select(WebhookDelivery.id)
            .where(WebhookDelivery.webhook_id == webhook_id, WebhookDelivery.id <= last)
            .order_by(WebhookDelivery.id)
            .limit(limit)
        )
        statement = (
            delete(WebhookDelivery).where(WebhookDelivery.id.in_(oldest)).returning(WebhookDelivery.id)
        )
        return len((await self.db.scalars(statement)).all())

    async def prune(self, *, before: datetime, limit: int) -> int:
        """Delete up to ``limit`` deliveries from before a moment; return how many it were."""
        oldest = (
            select(WebhookDelivery.id)
            .where(WebhookDelivery.created_at < before)
            .order_by(WebhookDelivery.created_at)
            .limit(limit)
        )
        statement = (
            delete(WebhookDelivery).where(WebhookDelivery.id.in_(oldest)).returning(WebhookDelivery.id)
        )
        return len((await self.db.scalars(statement)).all())
