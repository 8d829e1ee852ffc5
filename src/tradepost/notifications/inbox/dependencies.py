"""Dependencies that build the services for inboxes."""

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import Depends, Header

from tradepost.accounts.dependencies import CurrentPrincipal
from tradepost.accounts.identities import Identities
from tradepost.core.resources import Resources
from tradepost.core.signals.signals import Signals
from tradepost.core.wire.cursors import Cursors
from tradepost.notifications.inbox.reader import InboxReader
from tradepost.notifications.inbox.service import InboxService
from tradepost.notifications.inbox.streams import InboxStream, InboxStreams
from tradepost.web.db import ResourcesDep, WriteDb


def open_inbox(resources: Resources) -> None:
    """Put in what inboxes keep for the life of the process; needs the signals, the cursors and the identities."""
    identities, clock = resources[Identities], resources.clock
    resources.put(InboxReader, InboxReader(resources.database, resources[Cursors]))
    resources.put(
        InboxStreams,
        InboxStreams(
            resources.database,
            resources[Signals],
            living=lambda session_ids: identities.find_living(session_ids, now=clock.now()),
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


async def open_stream(
    principal: CurrentPrincipal, resources: ResourcesDep, last_event_id: LastEventId = None
) -> AsyncIterator[InboxStream]:
    """Open a stream of the person's own inbox until the answer has ended."""
    async with resources[InboxStreams].stream(principal, last_event_id) as stream:
        yield stream


# Not function-scoped, unlike what uses the database's session: the stream ends with the answer.
OpenStream = Annotated[InboxStream, Depends(open_stream)]
InboxReads = Annotated[InboxReader, Depends(inbox_reader)]
InboxWrites = Annotated[InboxService, Depends(inbox_writes, scope="function")]
