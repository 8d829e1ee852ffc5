"""``/events``: planning events and finding them, joining and leaving."""

from typing import Annotated, Any, Final, NamedTuple

from fastapi import Depends, Path, Query
from starlette.responses import Response

from tradepost.accounts.dependencies import CurrentPrincipal, Visitor
from tradepost.core.errors import (
    InsufficientPermissions,
    NotOwner,
    Unauthenticated,
    Unprocessable,
)
from tradepost.core.wire.moments import Moment
from tradepost.core.wire.pagination import Page, Window
from tradepost.core.wire.row_json import page_json
from tradepost.core.wire.schemas import MAX_ID, Confirmation
from tradepost.events.dependencies import (
    Calendars,
    Events,
    EventWriter,
    EventWrites,
    Joins,
    Leaves,
    Participants,
    Seats,
)
from tradepost.events.errors import (
    EventCancelled,
    EventNotFound,
    EventOver,
    HasParticipants,
    ParticipantNotFound,
)
from tradepost.events.filters import EventFilter
from tradepost.events.models import Event
from tradepost.events.repository.events import SORTS
from tradepost.events.schemas import (
    EventCreate,
    EventPage,
    EventRead,
    EventStatus,
    EventUpdate,
    ParticipantPage,
    Participation,
)
from tradepost.events.service import check_manager
from tradepost.web.answers.json_answer import JsonAnswer, resource_answer
from tradepost.web.conditions import IfMatch, IfNoneMatch
from tradepost.web.openapi.document import CREDENTIALS_OPTIONAL
from tradepost.web.problems.documentation import problem_responses
from tradepost.web.routing.fast_path import fast_path
from tradepost.web.routing.lists import (
    Cursor,
    Limit,
    ListPages,
    PlainWindow,
    RequestScope,
    Skip,
    TotalQuery,
    list_answer,
    sort_query,
    window_of,
)
from tradepost.web.routing.parameters import PathId
from tradepost.web.routing.router import Router

router = Router(prefix="/events", tags=["events"])

Sort = sort_query(*SORTS)
ParticipantId = Annotated[PathId, Path(description="The person's id", examples=[2])]
Words = Annotated[
    str,
    Query(
        min_length=1,
        max_length=200,
        description='Words of title or description, all of them, the last one as a beginning; `"…"` is a phrase, '
        "`-word` excludes",
        examples=["repair"],
    ),
]
CALENDAR: Final = "text/calendar; charset=utf-8"


class ListQuery(NamedTuple):
    """Which events are wanted, which part of the list, and whether only those that the visitor joined."""

    wanted: EventFilter
    window: Window
    joined: bool


async def list_query(
    *,
    skip: Skip = None,
    limit: Limit = 100,
    cursor: Cursor = None,
    total: TotalQuery = None,
    sort: Sort = "start_date",  # type: ignore[valid-type]
    since: Annotated[
        Moment | None,
        Query(
            alias="from", description="Only events that end after this; without it, what is over is left out"
        ),
    ] = None,
    until: Annotated[
        Moment | None, Query(alias="to", description="Only events that begin before this")
    ] = None,
    organiser_id: Annotated[
        int | None, Query(ge=1, le=MAX_ID, description="Only events that this person organises")
    ] = None,
    joined: Annotated[
        bool, Query(description="Only events at which one has a seat, or waits for one")
    ] = False,
    q: Words | None = None,
    status: Annotated[EventStatus | None, Query(description="Only events of this status")] = None,
) -> ListQuery:
    """Return which events a query string asks for, and which part of the list."""
    if since is not None and until is not None and since > until:
        raise Unprocessable(("query", "from"), "from must not be after to")
    wanted = EventFilter(since=since, until=until, organiser_id=organiser_id, status=status, q=q)
    return ListQuery(wanted, window_of(skip=skip, limit=limit, cursor=cursor, total=total, sort=sort), joined)


@router.get(
    "/",
    response_model=EventPage,
    responses=problem_responses(Unauthenticated),
    openapi_extra=CREDENTIALS_OPTIONAL,
)
@fast_path
async def list_events(
    scope: RequestScope, visitor: Visitor, events: Events, query: Annotated[ListQuery, Depends(list_query)]
) -> Response:
    """List events that overlap a window of time, cancelled ones too; `joined` needs a log-in."""
    if query.joined and visitor is None:
        raise Unauthenticated
    page, body = await events.page(query.wanted, query.window, visitor, joined=query.joined)
    return list_answer(body, page, scope)


@router.post(
    "/",
    status_code=201,
    response_model=EventRead,
    responses=problem_responses(Unauthenticated, InsufficientPermissions),
)
async def create_event(new: EventCreate, organiser: EventWriter, events: EventWrites) -> Response:
    """Plan an event."""
    return resource_answer(await events.create(new, organiser), status=201)


# Before what reads an id: it is the narrower of the two paths.
@router.get(
    "/{event_id}.ics",
    response_class=Response,
    responses={
        200: {"description": "The event for calendar programs (RFC 5545)", "content": {"text/calendar": {}}},
        **problem_responses(EventNotFound),
    },
)
@fast_path
async def read_event_calendar(event_id: PathId, calendars: Calendars) -> Response:
    """Return an event as an iCalendar file: `UID` stays, `SEQUENCE` is the version."""
    return Response(await calendars.get(event_id), media_type=CALENDAR)


@router.get(
    "/{event_id}",
    response_model=EventRead,
    responses=problem_responses(Unauthenticated, EventNotFound),
    openapi_extra=CREDENTIALS_OPTIONAL,
)
@fast_path
async def read_event(event_id: PathId, visitor: Visitor, events: Events, known: IfNoneMatch) -> Response:
    """Return an event; `my_status` is one's own."""
    return resource_answer(await events.get(event_id, visitor), known)


CHANGES: Final[dict[int | str, dict[str, Any]]] = problem_responses(
    Unauthenticated, InsufficientPermissions, NotOwner, EventNotFound, EventCancelled
)


@router.put("/{event_id}", response_model=EventRead, responses=CHANGES)
async def replace_event(
    event_id: PathId, changes: EventUpdate, principal: EventWriter, events: EventWrites, expected: IfMatch
) -> Response:
    """Change an event: only the fields that are sent, as with PATCH."""
    return resource_answer(await events.update(event_id, changes, principal, expected))


@router.patch("/{event_id}", response_model=EventRead, responses=CHANGES)
async def update_event(
    event_id: PathId, changes: EventUpdate, principal: EventWriter, events: EventWrites, expected: IfMatch
) -> Response:
    """Change an event: only the fields that are sent; its organiser may, and staff.

    A larger capacity gives seats to those who wait, in their order; a smaller one takes none away.
    """
    return resource_answer(await events.update(event_id, changes, principal, expected))


@router.delete(
    "/{event_id}", responses=problem_responses(Unauthenticated, NotOwner, EventNotFound, HasParticipants)
)
async def delete_event(
    event_id: PathId, principal: CurrentPrincipal, events: EventWrites, expected: IfMatch
) -> Confirmation:
    """Delete an event that nobody joined; its organiser may, and staff."""
    await events.delete(event_id, principal, expected)
    return Confirmation(message="Event deleted successfully")


@router.post(
    "/{event_id}/cancel",
    response_model=EventRead,
    responses=problem_responses(Unauthenticated, InsufficientPermissions, NotOwner, EventNotFound, EventOver),
)
async def cancel_event(event_id: PathId, principal: EventWriter, events: EventWrites) -> Response:
    """Cancel an event and tell everybody who joined it; once more changes nothing."""
    return resource_answer(await events.cancel(event_id, principal))


@router.post(
    "/{event_id}/participants",
    status_code=201,
    response_model=Participation,
    responses={
        200: {"model": Participation, "description": "One was in already"},
        **problem_responses(Unauthenticated, EventNotFound, EventOver, EventCancelled),
    },
)
@fast_path
async def join_event(event_id: PathId, principal: CurrentPrincipal, joins: Joins) -> Response:
    """Join an event: with a seat, or a place on the waiting list when all seats are taken."""
    joined = await joins.join(event_id, principal)
    return JsonAnswer(joined.body, 201 if joined.is_new else 200)


@router.delete(
    "/{event_id}/participants",
    responses=problem_responses(Unauthenticated, EventNotFound, ParticipantNotFound),
)
async def leave_event(event_id: PathId, principal: CurrentPrincipal, leaves: Leaves) -> Confirmation:
    """Leave an event; the first who waits gets the seat."""
    await leaves.leave(event_id, principal)
    return Confirmation(message="Left the event")


@router.get(
    "/{event_id}/participants",
    response_model=ParticipantPage,
    responses=problem_responses(Unauthenticated, NotOwner, EventNotFound),
)
async def list_participants(
    *,
    event_id: PathId,
    principal: CurrentPrincipal,
    participants: Participants,
    pages: ListPages,
    window: PlainWindow,
) -> Response:
    """List who joined, in the order of joining, those who wait with their position; for the organiser and staff."""

    async def read(part: Window) -> Page[bytes]:
        return await participants.page(event_id, part, principal)

    page = await pages.read(f"participants {event_id}", window, read)
    return JsonAnswer(page_json("participants", page))


@router.delete(
    "/{event_id}/participants/{user_id}",
    responses=problem_responses(Unauthenticated, NotOwner, EventNotFound, ParticipantNotFound),
)
async def remove_participant(
    event_id: PathId, user_id: ParticipantId, principal: CurrentPrincipal, seats: Seats
) -> Confirmation:
    """Take somebody out of an event, who is told; the first who waits gets the seat. For the organiser and staff."""

    def check(event: Event) -> None:
        check_manager(event, principal)

    await seats.remove(event_id, user_id, check=check, by=principal)
    return Confirmation(message="Participant removed")
