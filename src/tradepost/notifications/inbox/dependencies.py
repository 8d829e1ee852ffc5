"""How routes get at the services for inboxes."""

from typing import Annotated

from fastapi import Depends

from tradepost.notifications.inbox.reader import InboxReader
from tradepost.notifications.inbox.service import InboxService
from tradepost.web.session import ResourcesDep, WriteDep


async def inbox_reader(parts: ResourcesDep) -> InboxReader:
    """Return the service for reading one's inbox."""
    return parts[InboxReader]


async def inbox_writes(session: WriteDep, parts: ResourcesDep) -> InboxService:
    """Return the service for inboxes in the request's transaction."""
    return InboxService(session, parts.clock)


InboxReads = Annotated[InboxReader, Depends(inbox_reader)]
InboxWrites = Annotated[InboxService, Depends(inbox_writes, scope="function")]
