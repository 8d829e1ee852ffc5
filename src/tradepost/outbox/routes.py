"""``/admin/messages``: the outbox for admins: list messages, and retry or delete dead ones, one by one or many at once."""

from functools import partial
from typing import Annotated, Any, Final

from fastapi import Query

from tradepost.accounts.dependencies import MayAdminister
from tradepost.core.errors import InsufficientPermissions, Unauthenticated
from tradepost.core.messaging.messages import NAME_LENGTH
from tradepost.core.messaging.outbox import MessageState
from tradepost.core.wire.pagination import Window
from tradepost.core.wire.schemas import Confirmation
from tradepost.outbox.dependencies import OutboxReads, OutboxWrites
from tradepost.outbox.errors import MessageNotDead, MessageNotFound
from tradepost.outbox.repository import SORTS
from tradepost.outbox.schemas import (
    DeadMessages,
    MessagePage,
    MessageRead,
    MessagesSettled,
    Selection,
)
from tradepost.web.problems.documentation import problem_responses
from tradepost.web.routing.lists import ListPages, sorted_window
from tradepost.web.routing.parameters import PathId
from tradepost.web.routing.router import Router

router = Router(prefix="/admin/messages", tags=["messages"])

AT_ONCE: Final = 1_000
"""Messages that one request settles: a transaction of some ten milliseconds."""

State = Annotated[MessageState | None, Query(description="Only messages in this state; `dead` is given up")]
ChannelName = Annotated[
    str | None, Query(min_length=1, max_length=NAME_LENGTH, description="Only messages for this channel")
]
FactName = Annotated[
    str | None,
    Query(min_length=1, max_length=NAME_LENGTH, description="Only messages of this fact: `items.created.v1`"),
]

ONLY_ADMINS = problem_responses(Unauthenticated, InsufficientPermissions)
OF_ONE = problem_responses(Unauthenticated, InsufficientPermissions, MessageNotFound)
OF_A_DEAD_ONE = problem_responses(Unauthenticated, InsufficientPermissions, MessageNotFound, MessageNotDead)


@router.get("/", response_model=MessagePage, responses=ONLY_ADMINS)
async def list_messages(
    *,
    _admin: MayAdminister,
    outbox: OutboxReads,
    pages: ListPages,
    window: Annotated[Window, sorted_window(*SORTS, default="-created_at")],
    state: State = None,
    channel: ChannelName = None,
    type: FactName = None,  # noqa: A002 - the parameter's name on the wire
) -> dict[str, Any]:
    """List messages, the newest first. Delivered ones are kept for a day, those that were given up for thirty."""
    selection = Selection(state, channel, type)
    page = await pages.read(f"messages {selection}", window, partial(outbox.page, selection))
    return {"messages": page.rows, **page.info}


@router.post("/retry", responses=ONLY_ADMINS)
async def retry_messages(body: DeadMessages, admin: MayAdminister, outbox: OutboxWrites) -> MessagesSettled:
    """Have messages that were given up delivered after all, the oldest first: a thousand at the most."""
    chosen = Selection(channel=body.channel, type=body.type)
    return MessagesSettled(number=await outbox.retry_all(chosen, limit=AT_ONCE, by=admin))


@router.post("/purge", responses=ONLY_ADMINS)
async def purge_messages(body: DeadMessages, admin: MayAdminister, outbox: OutboxWrites) -> MessagesSettled:
    """Delete messages that were given up, a thousand at the most."""
    chosen = Selection(MessageState.DEAD, body.channel, body.type)
    return MessagesSettled(number=await outbox.purge(chosen, limit=AT_ONCE, by=admin))


@router.get("/{message_id}", responses=OF_ONE)
async def read_message(message_id: PathId, _admin: MayAdminister, outbox: OutboxReads) -> MessageRead:
    """Return a message."""
    return await outbox.get(message_id)


@router.post("/{message_id}/retry", responses=OF_A_DEAD_ONE)
async def retry_message(message_id: PathId, admin: MayAdminister, outbox: OutboxWrites) -> MessageRead:
    """Have a message that was given up delivered after all, at once."""
    return await outbox.retry(message_id, by=admin)


@router.delete("/{message_id}", responses=OF_A_DEAD_ONE)
async def delete_message(message_id: PathId, admin: MayAdminister, outbox: OutboxWrites) -> Confirmation:
    """Delete a message that was given up."""
    await outbox.delete(message_id, by=admin)
    return Confirmation(message="Message deleted successfully")
