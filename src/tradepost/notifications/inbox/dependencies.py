"""Dependencies that build the services for inboxes."""

from collections.abc import AsyncIterator
from functools import partial
from typing import Annotated

from fastapi import Depends, Header, Query, Request
from fastapi.security import APIKeyQuery

from tradepost.accounts.dependencies import Visitor, admit
from tradepost.accounts.identities import Identities
from tradepost.core.errors import Unauthenticated
from tradepost.core.principal import Principal
from tradepost.core.resources import Resources
from tradepost.core.signals.signals import Signals
from tradepost.core.wire.cursors import Cursors
from tradepost.notifications.inbox.reader import InboxReader
from tradepost.notifications.inbox.service import InboxService
from tradepost.notifications.inbox.streams import InboxStream, InboxStreams
from tradepost.notifications.inbox.tickets import StreamTickets
from tradepost.web.asgi_scope import USER_ID_KEY
from tradepost.web.db import ResourcesDep, WriteDb, resource
from tradepost.web.origin import origin_of


def open_inbox(resources: Resources) -> None:
    """Put in what inboxes keep for the life of the process; needs the signals, the cursors and the identities."""
    identities, clock = resources[Identities], resources.clock
    keys = resources.settings.secret_keys
    resources.put(StreamTickets, StreamTickets(keys=keys, clock=clock))
    resources.put(InboxReader, InboxReader(resources.database, resources[Cursors]))
    resources.put(
        InboxStreams,
        InboxStreams(
            resources.database,
            resources[Signals],
            living=lambda credentials: identities.find_living(credentials, now=clock.now()),
            observe=resources.batch_observer("stream"),
        ),
    )


async def inbox_reader(resources: ResourcesDep) -> InboxReader:
    """Return the service that lists inboxes."""
    return resources[InboxReader]


async def inbox_writes(db: WriteDb, resources: ResourcesDep) -> InboxService:
    """Return the service for inboxes in the request's transaction."""
    return InboxService(db, resources.clock)


LastEventId = Annotated[
    str | None,
    Header(alias="Last-Event-ID", description="The id of the last event that was seen, to go on after it"),
]
# In the OpenAPI a ticket is a credential, as what the scheme below says of it, and no parameter beside it.
TicketParameter = Annotated[str | None, Query(alias="ticket", include_in_schema=False)]
TICKET_SCHEME = APIKeyQuery(
    name="ticket",
    scheme_name="ticket",
    description="For a browser's own `EventSource`, which sends no headers: `POST /notifications/stream/ticket`.",
    auto_error=False,
)


async def listener(
    request: Request, principal: Visitor, resources: ResourcesDep, ticket: TicketParameter = None
) -> Principal:
    """Return the principal of a bearer token or an API key, which alone counts where there is one, or of a ticket."""
    if principal is not None:
        return principal
    if ticket is None:
        raise Unauthenticated
    user_id, held = resources[StreamTickets].read(ticket)
    identities, now = resources[Identities], resources.clock.now()
    if isinstance(held, int):
        found = await identities.find(session_id=held, user_id=user_id, now=now)
    else:
        found = await identities.find_key(held, now=now)
    if found is None or found.row.id != user_id:
        raise Unauthenticated
    await admit(request.scope, found)
    request.scope[USER_ID_KEY] = user_id
    return found.principal(partial(origin_of, request.scope))


async def open_stream(
    principal: Annotated[Principal, Depends(listener)],
    resources: ResourcesDep,
    last_event_id: LastEventId = None,
) -> AsyncIterator[InboxStream]:
    """Open a stream of the person's own inbox until the answer has ended."""
    async with resources[InboxStreams].stream(principal, last_event_id) as stream:
        yield stream


# Not function-scoped, unlike what uses the database's session: the stream ends with the answer.
OpenStream = Annotated[InboxStream, Depends(open_stream)]
Tickets = Annotated[StreamTickets, resource(StreamTickets)]
InboxReads = Annotated[InboxReader, Depends(inbox_reader)]
InboxWrites = Annotated[InboxService, Depends(inbox_writes, scope="function")]
