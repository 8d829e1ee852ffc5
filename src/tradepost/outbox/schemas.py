"""The selection of messages, and their response bodies."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic import Field

from tradepost.core.messaging.messages import NAME_LENGTH
from tradepost.core.messaging.outbox import MessageState
from tradepost.core.wire.schemas import Input, Output, PageInfo, example


@dataclass(frozen=True, slots=True)
class Selection:
    """The messages that match every given field."""

    state: MessageState | None = None
    channel: str | None = None
    type: str | None = None
    ids: Sequence[int] = ()


class DeadMessages(Input):
    """Which messages that were given up are meant: those that match every given field; without any, all of them."""

    model_config = example(channel="email")

    channel: str | None = Field(
        default=None,
        min_length=1,
        max_length=NAME_LENGTH,
        description="Only messages for this channel",
        examples=["email"],
    )
    type: str | None = Field(
        default=None,
        min_length=1,
        max_length=NAME_LENGTH,
        description="Only messages of this fact",
        examples=["items.created.v1"],
    )


class MessagesSettled(Output):
    """How many messages it was; with a thousand of them there may be more."""

    number: int = Field(description="How many messages it was: 1,000 at the most", examples=[12])


class MessageRead(Output):
    """A message on its way to one subscriber, delivered to it, or given up.

    ``attempts`` counts those that have begun; ``error`` says why the last one failed; ``due_at`` is when the next may
    begin, or, of one that is under way (``is_under_way``), when it is taken for lost.
    """

    id: int = Field(description="The message's number")
    type: str = Field(description="The fact that it tells of", examples=["items.created.v1"])
    subscription: str = Field(description="The subscriber that it goes to")
    channel: str = Field(description="The channel that carries it")
    payload: dict[str, Any] = Field(description="The values of the fact")
    state: MessageState = Field(description="Where it is: `dead` is given up")
    is_under_way: bool = Field(description="Whether an attempt is being made")
    attempts: int = Field(description="How many attempts have begun")
    created_at: datetime = Field(description="When the fact was stored")
    due_at: datetime = Field(
        description="When the next attempt may begin; of one under way, when it is taken for lost"
    )
    expires_at: datetime = Field(description="When it is given up whatever happens")
    settled_at: datetime | None = Field(description="When it was delivered or given up")
    error: str | None = Field(description="Why the last attempt failed")


class MessagePage(PageInfo):
    """A part of the messages."""

    messages: list[MessageRead] = Field(description="The messages of this part")
