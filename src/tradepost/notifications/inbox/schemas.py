"""Response bodies of notifications."""

from datetime import datetime
from typing import Any, Literal

from pydantic import Field

from tradepost.core.wire.schemas import Output, PageInfo


class NotificationRead(Output):
    """Something a person was told. ``number`` counts the person's own, and is the id of its event on the stream."""

    id: int = Field(description="The notification's number among everybody's")
    number: int = Field(description="Its number among the person's own, from 1; on the stream its event's id")
    kind: str = Field(description="What it is about, for programs", examples=["item_created"])
    title: str = Field(description="What it is about, in a few words", examples=["Item Created"])
    body: str = Field(description="One sentence", examples=['Your item "Desk lamp" was created.'])
    data: dict[str, Any] = Field(
        description="The values behind the sentence", examples=[{"item_id": 1, "item_title": "Desk lamp"}]
    )
    created_at: datetime = Field(description="When the person was told")
    read_at: datetime | None = Field(description="When it was marked as read")


class NotificationPage(PageInfo):
    """A part of an inbox, newest first; ``unread`` counts all of it."""

    notifications: list[NotificationRead] = Field(description="The notifications of this part")
    unread: int = Field(description="How many are unread in the whole inbox")


class Marked(Output):
    """How many notifications were marked as read, and how many are unread now."""

    marked: int = Field(description="How many were marked")
    unread: int = Field(description="How many are unread now")


class Resync(Output):
    """The data of the server-sent event ``resync``: what came since the last seen one cannot be told any more."""

    reason: Literal["unreadable", "ahead", "too_old"] = Field(
        description="What is wrong with `Last-Event-ID`: it is no number of ours, it is yet to come, or what followed is gone"
    )


class StreamTicket(Output):
    """What opens the live stream of this session where no header can be sent."""

    ticket: str = Field(description="Sent as `ticket` in the query string of the stream")
    expires_in: int = Field(description="Seconds for which it opens the stream", examples=[600])
