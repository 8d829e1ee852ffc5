"""The selection of messages, and their response bodies."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from tradepost.core.messaging.outbox import MessageState
from tradepost.core.wire.schemas import Output, PageInfo


@dataclass(frozen=True, slots=True)
class Selection:
    """The messages that match every given field."""

    state: MessageState | None = None
    channel: str | None = None
    type: str | None = None
    ids: Sequence[int] = ()


class MessageRead(Output):
    """A message on its way to one subscriber, delivered to it, or given up.

    ``attempts`` counts those that have begun; ``error`` says why the last one failed; ``due_at`` is when the next may
    begin, or, of one that is under way (``is_under_way``), when it is taken for lost.
    """

    id: int
    type: str
    subscription: str
    channel: str
    payload: dict[str, Any]
    state: MessageState
    is_under_way: bool
    attempts: int
    created_at: datetime
    due_at: datetime
    expires_at: datetime
    settled_at: datetime | None
    error: str | None


class MessagePage(PageInfo):
    """A part of the messages."""

    messages: list[MessageRead]
