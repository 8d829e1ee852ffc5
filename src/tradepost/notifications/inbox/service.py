"""Marking notifications as read, and deleting them."""

from tradepost.core.clock import Clock
from tradepost.core.database.sessions import WriteSession
from tradepost.core.principal import Principal
from tradepost.notifications.inbox.errors import NotificationNotFound
from tradepost.notifications.inbox.repository import InboxRepository
from tradepost.notifications.inbox.schemas import Marked, NotificationRead


class InboxService:
    """Works in the caller's transaction, on the principal's own notifications alone."""

    def __init__(self, db: WriteSession, clock: Clock) -> None:
        self._inbox = InboxRepository(db)
        self._clock = clock

    async def mark_read(self, notification_id: int, principal: Principal) -> NotificationRead:
        """Mark a notification as read; the first time counts."""
        row = await self._inbox.mark(notification_id, user_id=principal.user_id, now=self._clock.now())
        if row is None:
            raise NotificationNotFound
        return NotificationRead.model_validate(row)

    async def mark_all_read(self, principal: Principal, *, through: int | None = None) -> Marked:
        """Mark every notification as read, or those up to the number of the newest that the person has seen."""
        marked = await self._inbox.mark_all(principal.user_id, through=through, now=self._clock.now())
        return Marked(marked=marked, unread=await self._inbox.count_unread(principal.user_id))

    async def delete(self, notification_id: int, principal: Principal) -> None:
        """Delete a notification."""
        if not await self._inbox.delete(notification_id, user_id=principal.user_id):
            raise NotificationNotFound
