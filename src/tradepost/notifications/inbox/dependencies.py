"""How routes get at the services for inboxes."""

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import Depends, Header

from tradepost.accounts.dependencies import CurrentPrincipal
from tradepost.notifications.inbox.live import LiveInboxes, Stream
from tradepost.notifications.inbox.reader import InboxReader
from tradepost.notifications.inbox.service import InboxService
from tradepost.web.db import ResourcesDep, WriteDb


async def inbox_reader(resources: ResourcesDep) -> InboxReader:
    """Return the service for reading one's inbox."""
    return resources[InboxReader]


async def inbox_writes(db: WriteDb, resources: ResourcesDep) -> InboxService:
    """Return the service for inboxes in the request's transaction."""
    return InboxService(db, resources.clock)


LastEventId = Annotated[
    str | None,
    Header(alias="Last-Event-ID", description="The id of the last event that was seen, to go on after it"),
]


async def live_stream(
    principal: CurrentPrincipal, resources: ResourcesDep, last_event_id: LastEventId = None
) -> AsyncIterator[Stream]:
    """Open a stream of the person's own, until the answer has ended."""
    async with resources[LiveInboxes].stream(principal, last_event_id) as stream:
        yield stream


# Not function-scoped, unlike what uses a session: it ends with the answer.
Live = Annotated[Stream, Depends(live_stream)]
InboxReads = Annotated[InboxReader, Depends(inbox_reader)]
InboxWrites = Annotated[InboxService, Depends(inbox_writes, scope="function")]
