"""How routes and commands get at the service for messages."""

from typing import Annotated

from fastapi import Depends

from tradepost.accounts.dependencies import Requires
from tradepost.accounts.permissions import Permission
from tradepost.core.database.sessions import ReadSession, WriteSession
from tradepost.core.messaging.dispatcher import TOPIC
from tradepost.core.principal import Principal
from tradepost.core.resources import Resources
from tradepost.core.signals.signals import Signals
from tradepost.outbox.repository import StoredMessageRepository
from tradepost.outbox.service import OutboxService
from tradepost.web.db import ReadDep, ResourcesDep, WriteDep


def build_outbox_service(db: ReadSession | WriteSession, parts: Resources) -> OutboxService:
    """Build the service for looking after messages."""
    return OutboxService(
        StoredMessageRepository(db),
        parts.clock,
        lambda channels: parts[Signals].send(TOPIC, " ".join(channels)),
    )


async def outbox_reads(db: ReadDep, parts: ResourcesDep) -> OutboxService:
    """Return the service for messages on a read session."""
    return build_outbox_service(db, parts)


async def outbox_writes(db: WriteDep, parts: ResourcesDep) -> OutboxService:
    """Return the service for messages in the request's transaction."""
    return build_outbox_service(db, parts)


OutboxReads = Annotated[OutboxService, Depends(outbox_reads, scope="function")]
OutboxWrites = Annotated[OutboxService, Depends(outbox_writes, scope="function")]
Admin = Annotated[Principal, Depends(Requires(Permission.ADMIN_ACCESS))]
