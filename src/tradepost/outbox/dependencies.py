"""Dependencies that build the operators' view of the outbox, for routes and commands."""

from typing import Annotated

from fastapi import Depends

from tradepost.core.audit.trail import AuditTrail
from tradepost.core.database.sessions import ReadSession, WriteSession
from tradepost.core.messaging.dispatcher import TOPIC
from tradepost.core.resources import Resources
from tradepost.core.signals.signals import Signals
from tradepost.outbox.repository import StoredMessageRepository
from tradepost.outbox.service import OutboxService
from tradepost.web.db import ReadDb, ResourcesDep, WriteDb


def build_outbox_service(db: ReadSession | WriteSession, resources: Resources) -> OutboxService:
    """Build the service for an operator's look at messages."""
    return OutboxService(
        StoredMessageRepository(db),
        resources[AuditTrail],
        resources.clock,
        lambda channels: resources[Signals].send(TOPIC, " ".join(channels)),
    )


async def outbox_reads(db: ReadDb, resources: ResourcesDep) -> OutboxService:
    """Return the service for messages on a read session."""
    return build_outbox_service(db, resources)


async def outbox_writes(db: WriteDb, resources: ResourcesDep) -> OutboxService:
    """Return the service for messages in the request's transaction."""
    return build_outbox_service(db, resources)


OutboxReads = Annotated[OutboxService, Depends(outbox_reads, scope="function")]
OutboxWrites = Annotated[OutboxService, Depends(outbox_writes, scope="function")]
