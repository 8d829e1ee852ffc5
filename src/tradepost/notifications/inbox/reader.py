"""The reader of inboxes: a page of notifications, with the number of unread ones in the whole inbox."""

from typing import NamedTuple

from tradepost.core.database.engines import Database
from tradepost.core.principal import Principal
from tradepost.core.wire.cursors import Cursors
from tradepost.core.wire.pagination import Page, Window
from tradepost.notifications.inbox.repository import InboxRepository, NotificationRow


class InboxPage(NamedTuple):
    """A part of an inbox, and how many notifications are unread in all of it."""

    page: Page[NotificationRow]
    unread: int


class InboxReader:
    """Lists a person's own notifications. Lives as long as the process."""

    def __init__(self, database: Database, cursors: Cursors) -> None:
        self._database = database
        self._cursors = cursors

    async def page(self, window: Window, principal: Principal, *, unread_only: bool) -> InboxPage:
        """Return a part of the person's inbox, newest first, with the number of unread notifications in all of it."""
        user_id = principal.user_id
        scope = f"inbox {user_id} {unread_only}"
        window = self._cursors.opened(window, scope)
        async with self._database.read() as db:
            inbox = InboxRepository(db)
            page = await inbox.page(user_id, window, unread_only=unread_only)
            unread = await inbox.count_unread(user_id)
        return InboxPage(self._cursors.sealed(page, scope), unread)
