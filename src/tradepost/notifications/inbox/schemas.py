"""Response bodies of notifications."""

from datetime import datetime
from typing import Any

from tradepost.core.wire.schemas import Output, PageInfo


class NotificationRead(Output):
    """Something a person was told. ``number`` counts the person's own, and is the id of its event on the stream."""

    id: int
    number: int
    kind: str
    title: str
    body: str
    data: dict[str, Any]
    created_at: datetime
    read_at: datetime | None


class NotificationPage(PageInfo):
    """A part of an inbox, newest first; ``unread`` counts all of it. No ``next_cursor`` where the list ends."""

    notifications: list[NotificationRead]
    next_cursor: str | None
    unread: int


class Marked(Output):
    """How many notifications were marked as read, and how many are unread now."""

    marked: int
    unread: int
