"""``/notifications``: the principal's own inbox and its live stream."""

from typing import Annotated

from fastapi import Depends, Query
from starlette.responses import StreamingResponse

from tradepost.accounts.dependencies import CurrentPrincipal
from tradepost.core.errors import Unauthenticated, Unavailable
from tradepost.core.wire.schemas import MAX_ID, Confirmation
from tradepost.notifications.inbox.dependencies import (
    TICKET_SCHEME,
    InboxReads,
    InboxWrites,
    OpenStream,
    Tickets,
)
from tradepost.notifications.inbox.errors import NotificationNotFound, TooManyStreams
from tradepost.notifications.inbox.schemas import (
    Marked,
    NotificationPage,
    NotificationRead,
    Resync,
    StreamTicket,
)
from tradepost.notifications.inbox.tickets import LIFETIME
from tradepost.web.answers.sse import SseAnswer
from tradepost.web.problems.documentation import problem_responses
from tradepost.web.routing.lists import PlainWindow, RequestScope, add_links
from tradepost.web.routing.parameters import PathId
from tradepost.web.routing.router import Router

router = Router(prefix="/notifications", tags=["notifications"])

Through = Annotated[
    int | None,
    Query(ge=0, le=MAX_ID, description="The newest number to mark; what came after it stays unread"),
]
UnreadOnly = Annotated[bool, Query(description="Leave out what was marked as read")]


@router.get("/", responses=problem_responses(Unauthenticated))
async def list_notifications(
    *,
    scope: RequestScope,
    principal: CurrentPrincipal,
    inbox: InboxReads,
    window: PlainWindow,
    unread_only: UnreadOnly = False,
) -> NotificationPage:
    """List what one was told, newest first."""
    page, unread = await inbox.page(window, principal, unread_only=unread_only)
    add_links(scope, page)
    rows = [NotificationRead.model_validate(row) for row in page.rows]
    return NotificationPage(notifications=rows, unread=unread, **page.info)


class EventStreamResponse(StreamingResponse):
    """The media type of the stream, for the OpenAPI. FastAPI would take its own class's function for a generator of events."""

    media_type = "text/event-stream"


STREAM = {
    "description": (
        "Server-sent events, whose `data` is JSON as described here: `notification`, whose id is its number; `resync`, when "
        "what came after the last seen event cannot be told any more: look at the list again. Comments are signs of life."
    ),
    "model": NotificationRead | Resync,
}


@router.get(
    "/stream",
    response_class=EventStreamResponse,
    dependencies=[Depends(TICKET_SCHEME)],
    responses={**problem_responses(Unauthenticated, TooManyStreams, Unavailable), 200: STREAM},
)
async def stream_notifications(stream: OpenStream) -> SseAnswer:
    """Send what one is told as it comes in, from now on or after `Last-Event-ID`, until the session ends.

    A ticket stands in for the header `Authorization`; where there is one, the ticket is not looked at.
    """
    return SseAnswer(stream)


@router.post("/stream/ticket", responses=problem_responses(Unauthenticated))
async def create_stream_ticket(principal: CurrentPrincipal, tickets: Tickets) -> StreamTicket:
    """Get a ticket that opens the stream, again and again, until it expires or the session ends, and nothing else.

    For a browser's own `EventSource`, which sends no headers: `new EventSource("…/notifications/stream?ticket=" + ticket)`.
    """
    return StreamTicket(ticket=tickets.issue(principal), expires_in=int(LIFETIME.total_seconds()))


@router.post("/read-all", responses=problem_responses(Unauthenticated))
async def mark_all_notifications_read(
    principal: CurrentPrincipal, inbox: InboxWrites, through: Through = None
) -> Marked:
    """Mark everything as read, or everything up to the newest number that was seen."""
    return await inbox.mark_all_read(principal, through=through)


@router.post(
    "/{notification_id}/read",
    responses=problem_responses(Unauthenticated, NotificationNotFound),
)
async def mark_notification_read(
    notification_id: PathId, principal: CurrentPrincipal, inbox: InboxWrites
) -> NotificationRead:
    """Mark a notification as read; doing so again changes nothing."""
    return await inbox.mark_read(notification_id, principal)


@router.delete("/{notification_id}", responses=problem_responses(Unauthenticated, NotificationNotFound))
async def delete_notification(
    notification_id: PathId, principal: CurrentPrincipal, inbox: InboxWrites
) -> Confirmation:
    """Delete a notification."""
    await inbox.delete(notification_id, principal)
    return Confirmation(message="Notification deleted successfully")
