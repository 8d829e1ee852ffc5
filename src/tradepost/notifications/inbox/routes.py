"""``/notifications``: the principal's own inbox and its live stream."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import BeforeValidator
from starlette.responses import StreamingResponse

from tradepost.accounts.dependencies import CurrentPrincipal
from tradepost.core.errors import Unauthenticated, Unavailable
from tradepost.core.wire.pagination import Total
from tradepost.core.wire.schemas import MAX_ID, Confirmation
from tradepost.notifications.inbox.dependencies import (
    TICKET_SCHEME,
    InboxReads,
    InboxWrites,
    OpenStream,
    Tickets,
)
from tradepost.notifications.inbox.errors import NotificationNotFound, TooManyStreams
from tradepost.notifications.inbox.reader import InboxWindow
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
from tradepost.web.routing.parameters import MAX_SKIP, Limit, PathId, read_total
from tradepost.web.routing.route import Route

router = APIRouter(prefix="/notifications", tags=["notifications"], route_class=Route)

OptionalSkip = Annotated[
    int | None,
    Query(ge=0, le=MAX_SKIP, description="How many to leave out from the start; not with a cursor"),
]
Cursor = Annotated[
    str | None, Query(max_length=200, description="The `next_cursor` of an answer to the same question")
]
OptionalTotal = Annotated[
    Total | None,
    BeforeValidator(read_total),
    Query(
        description="`exact` (or `true`), `estimated` or `false`; unless sent `exact`, with a cursor `false`"
    ),
]
Through = Annotated[
    int | None,
    Query(ge=0, le=MAX_ID, description="The newest number to mark; what came after it stays unread"),
]
UnreadOnly = Annotated[bool, Query(description="Leave out what was marked as read")]
NEXT = {
    "Link": {
        "description": "The address of what follows, `next` (RFC 8288), unless the list ends here",
        "schema": {"type": "string"},
    }
}


@router.get(
    "/",
    responses={**problem_responses(Unauthenticated), 200: {"headers": NEXT}},
)
async def list_notifications(
    *,
    request: Request,
    response: Response,
    principal: CurrentPrincipal,
    inbox: InboxReads,
    limit: Limit = 100,
    skip: OptionalSkip = None,
    cursor: Cursor = None,
    total: OptionalTotal = None,
    unread_only: UnreadOnly = False,
) -> NotificationPage:
    """List what one was told, newest first. A cursor goes on where a list ended, whatever came in meanwhile."""
    page = await inbox.page(InboxWindow(limit, skip, cursor, total, unread_only), principal)
    if page.next_cursor is not None:
        here = request.url.remove_query_params("skip").include_query_params(cursor=page.next_cursor)
        response.headers["Link"] = f'<{here}>; rel="next"'
    return page


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
