"""The reader of inboxes: lists by offset or by cursor."""

from dataclasses import dataclass

from tradepost.core.database.engines import Database
from tradepost.core.errors import Unprocessable
from tradepost.core.principal import Principal
from tradepost.core.wire.cursors import BadCursor, Cursors
from tradepost.core.wire.pagination import Total
from tradepost.notifications.inbox.repository import InboxRepository
from tradepost.notifications.inbox.schemas import NotificationPage, NotificationRead


@dataclass(frozen=True, slots=True)
class InboxWindow:
    """A part of an inbox: ``limit`` notifications after the first ``skip``, or after the place of a ``cursor``.

    ``total`` is how to count; None means exactly, and with a cursor not at all.
    """

    limit: int
    skip: int | None = None
    cursor: str | None = None
    total: Total | None = None
    unread_only: bool = False


class InboxReader:
    """Lists a person's own notifications. Lives as long as the process."""

    def __init__(self, database: Database, cursors: Cursors) -> None:
        self._database = database
        self._cursors = cursors

    async def page(self, window: InboxWindow, principal: Principal) -> NotificationPage:
        """Return a part of the person's inbox, newest first, with the number of unread notifications in all of it."""
        if window.cursor is not None and window.skip is not None:
            raise Unprocessable(
                ("query", "skip"), "skip and cursor do not go together", kind="skip_with_cursor"
            )
        user_id, skip = principal.user_id, window.skip or 0
        scope = f"inbox {user_id} {window.unread_only}"
        before = None if window.cursor is None else self._place(scope, window.cursor)
        counted = window.total or (Total.EXACT if before is None else Total.NONE)
        async with self._database.read() as db:
            inbox = InboxRepository(db)
            # One more than wanted tells whether the list goes on.
            rows = await inbox.page(
                user_id,
                limit=window.limit + 1,
                skip=skip,
                before=before,
                unread_only=window.unread_only,
            )
            total = await inbox.total(user_id, counted, unread_only=window.unread_only)
            unread = await inbox.count_unread(user_id)
        shown = rows[: window.limit]
        return NotificationPage(
            notifications=[NotificationRead.model_validate(row) for row in shown],
            total=total,
            page=None if window.cursor is not None else skip // window.limit + 1,
            size=window.limit,
            pages=None if total is None or window.cursor is not None else -(-total // window.limit),
            next_cursor=self._cursors.issue(scope, shown[-1].number) if len(rows) > window.limit else None,
            unread=unread,
        )

    def _place(self, scope: str, cursor: str) -> int:
        try:
            (number,) = self._cursors.read(scope, cursor)
        except BadCursor as error:
            raise Unprocessable(("query", "cursor"), "Not a cursor of this list", kind="cursor") from error
        return number
