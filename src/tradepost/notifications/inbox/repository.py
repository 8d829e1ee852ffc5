"""The SQL of inboxes and notifications."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Row,
    Select,
    and_,
    bindparam,
    column,
    delete,
    exists,
    func,
    insert,
    or_,
    select,
    update,
)

from tradepost.core.database.elements import AmongIds, GivenRows, upsert
from tradepost.core.database.keyset import Order
from tradepost.core.database.locks import lock_for_update
from tradepost.core.database.repository import Repository
from tradepost.core.wire.pagination import Page, Window
from tradepost.notifications.inbox.models import Inbox, Notification

NotificationRow = Row[int, int, str, str, str, dict[str, Any], datetime, datetime | None]
"""id, number, kind, title, body, data, created_at, read_at."""
HeadRow = Row[int, int, int]
"""user_id, last_number, pruned_through."""

_SHOWN = (
    Notification.id,
    Notification.number,
    Notification.kind,
    Notification.title,
    Notification.body,
    Notification.data,
    Notification.created_at,
    Notification.read_at,
)


def _unread_of(user_id: int) -> ColumnElement[bool]:
    return and_(Notification.user_id == user_id, Notification.read_at.is_(None))


_ASKED: Final = GivenRows("user_ids", "afters").table_valued(
    column("user_ids", BigInteger), column("afters", BigInteger), name="asked"
)
_FOLLOWING: Final[Select[*tuple[Any, ...]]] = (
    select(_ASKED.c.user_ids.label("user_id"), _ASKED.c.afters.label("after"), *_SHOWN)
    .join_from(
        _ASKED,
        Notification,
        and_(
            Notification.user_id == _ASKED.c.user_ids,
            Notification.number > _ASKED.c.afters,
            Notification.number <= _ASKED.c.afters + bindparam("size", type_=BigInteger),
        ),
    )
    .order_by(Notification.number)
)
_HEADS: Final = select(Inbox.user_id, Inbox.last_number, Inbox.pruned_through).where(AmongIds(Inbox.user_id))
# Numbers are unique among a person's own, and the table is indexed by person and number.
_NEWEST_FIRST: Final = Order("-number", {"number": Notification.number}, ties=Notification.number)


class InboxRepository(Repository):
    """Inboxes: adding, reading and changing notifications."""

    # --- adding -------------------------------------------------------------------------------------------------------

    async def take_numbers(self, counts: Mapping[int, int]) -> dict[int, int]:
        """Raise the counter of each of these people by a count, and return the new counters by person.

        The rows stay locked until the transaction ends. They are raised in the order of ids, so that two transactions
        that raise the counters of several people cannot deadlock.
        """
        wanted = [
            {"user_id": user_id, "last_number": count, "pruned_through": 0}
            for user_id, count in sorted(counts.items())
        ]
        statement = upsert(Inbox).values(wanted)
        raised = statement.on_conflict_do_update(
            index_elements=["user_id"],
            set_={"last_number": Inbox.last_number + statement.excluded.last_number},
        )
        taken = await self.db.execute(raised.returning(Inbox.user_id, Inbox.last_number))
        return {row.user_id: row.last_number for row in taken}

    async def add(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Insert notifications."""
        await self.db.execute(insert(Notification), rows)

    # --- reading ------------------------------------------------------------------------------------------------------

    async def page(self, user_id: int, window: Window, *, unread_only: bool = False) -> Page[NotificationRow]:
        """Return a part of a person's notifications, newest first."""
        wanted = _unread_of(user_id) if unread_only else Notification.user_id == user_id
        return await self.paged(select(*_SHOWN).where(wanted), window, _NEWEST_FIRST)

    async def count_unread(self, user_id: int) -> int:
        """Count a person's unread notifications."""
        return await self.db.scalar(select(func.count()).where(_unread_of(user_id))) or 0

    async def find_heads(self, user_ids: Collection[int]) -> Sequence[HeadRow]:
        """Return the counters of these people; a person who never had a notification has none."""
        return (await self.db.execute(_HEADS, {"ids": list(user_ids)})).all()

    async def find_following(
        self, asked: Sequence[tuple[int, int]], *, size: int
    ) -> Sequence[Row[*tuple[Any, ...]]]:
        """Return, for each pair of a person and a number, the notifications of the next ``size`` numbers, in order.

        The columns are ``user_id``, ``after`` and those of ``NotificationRow``.
        """
        pairs = {"user_ids": [user_id for user_id, _ in asked], "afters": [after for _, after in asked]}
        found = await self.db.execute(_FOLLOWING, {**pairs, "size": size})
        return found.all()

    # --- changing -----------------------------------------------------------------------------------------------------

    async def mark(self, notification_id: int, *, user_id: int, now: datetime) -> NotificationRow | None:
        """Mark a person's notification as read unless it is, and return it."""
        statement = (
            update(Notification)
            .where(Notification.id == notification_id, Notification.user_id == user_id)
            .values(
                read_at=func.coalesce(Notification.read_at, bindparam("now", now, Notification.read_at.type))
            )
            .returning(*_SHOWN)
            .execution_options(synchronize_session=False)
        )
        return (await self.db.execute(statement)).one_or_none()

    async def mark_all(self, user_id: int, *, through: int | None, now: datetime) -> int:
        """Mark a person's unread notifications, up to a number if one is given; return how many it were.

        The rows are locked in the order of ids first: two calls that met them in different orders would deadlock.
        """
        unread = select(Notification.id).where(_unread_of(user_id))
        if through is not None:
            unread = unread.where(Notification.number <= through)
        locked = lock_for_update(unread.order_by(Notification.id), Notification)
        ids = (await self.db.scalars(locked)).all()
        if ids:
            statement = update(Notification).where(AmongIds(Notification.id))
            await self.db.execute(
                statement.values(read_at=now).execution_options(synchronize_session=False), {"ids": list(ids)}
            )
        return len(ids)

    async def delete(self, notification_id: int, *, user_id: int) -> bool:
        """Delete a person's notification; tell whether there was one."""
        statement = (
            delete(Notification)
            .where(Notification.id == notification_id, Notification.user_id == user_id)
            .returning(Notification.id)
        )
        return await self.db.scalar(statement) is not None


class InboxPruningRepository(Repository):
    """The SQL of pruning. Every lock skips rows that are locked elsewhere.

    Deleting a person locks all their rows in an order of the database's own: waiting here could end that deletion with a
    deadlock.
    """

    async def lock_overfull_for_update(self, *, keep: int, limit: int) -> Sequence[int]:
        """Lock some inboxes that span more than ``keep`` numbers, and return their owners."""
        overfull = select(Inbox.user_id).where(Inbox.last_number - Inbox.pruned_through > keep)
        some = overfull.order_by(Inbox.user_id).limit(limit)
        return (await self.db.scalars(lock_for_update(some, Inbox, skip_locked=True))).all()

    async def lock_aged_for_update(self, *, before: datetime, limit: int) -> Sequence[int]:
        """Lock some inboxes with notifications from before a moment, and return their owners."""
        oldest = (
            select(Notification.user_id)
            .where(Notification.created_at < before)
            .order_by(Notification.created_at)
            .limit(limit)
        )
        aged = select(Inbox.user_id).where(Inbox.user_id.in_(oldest)).order_by(Inbox.user_id)
        return (await self.db.scalars(lock_for_update(aged, Inbox, skip_locked=True))).all()

    async def lock_surplus_for_update(
        self, user_ids: Collection[int], *, keep: int, before: datetime, limit: int
    ) -> Sequence[int]:
        """Lock notifications beyond ``keep`` or from before a moment, of people whose inboxes are locked."""
        rows = (
            select(Notification.id)
            .join(Inbox, Inbox.user_id == Notification.user_id)
            .where(
                Inbox.user_id.in_(user_ids),
                or_(Notification.created_at < before, Notification.number <= Inbox.last_number - keep),
            )
            .order_by(Notification.user_id, Notification.number)
            .limit(limit)
        )
        return (await self.db.scalars(lock_for_update(rows, Notification, skip_locked=True))).all()

    async def prune(self, notification_ids: Sequence[int]) -> None:
        """Delete notifications, and record in their inboxes the highest number that is missing now."""
        among = AmongIds(Notification.id)
        highest = (
            select(func.max(Notification.number))
            .where(Notification.user_id == Inbox.user_id, among)
            .scalar_subquery()
        )
        statements = (
            update(Inbox)
            .where(
                Inbox.user_id.in_(select(Notification.user_id).where(among)), Inbox.pruned_through < highest
            )
            .values(pruned_through=highest),
            delete(Notification).where(among),
        )
        for statement in statements:
            await self.db.execute(
                statement.execution_options(synchronize_session=False), {"ids": list(notification_ids)}
            )

    async def record_gaps(self, user_ids: Collection[int], *, keep: int) -> bool:
        """Raise ``pruned_through`` of locked inboxes that hold nothing beyond the ``keep`` newest numbers; tell if any was."""
        surplus = Inbox.last_number - keep
        left = exists().where(Notification.user_id == Inbox.user_id, Notification.number <= surplus)
        noted = await self.db.scalars(
            update(Inbox)
            .where(Inbox.user_id.in_(user_ids), Inbox.pruned_through < surplus, ~left)
            .values(pruned_through=surplus)
            .returning(Inbox.user_id)
            .execution_options(synchronize_session=False)
        )
        return bool(noted.all())
