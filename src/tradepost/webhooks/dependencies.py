"""How routes and handlers get at the services for webhooks."""

from typing import Annotated

from fastapi import Depends

from tradepost.core.database.sessions import WriteSession
from tradepost.core.messaging.outbox import Outbox
from tradepost.core.resources import Resources
from tradepost.core.settings.settings import Settings
from tradepost.web.db import ReadDb, ResourcesDep, WriteDb
from tradepost.webhooks.attempts import AttemptLog
from tradepost.webhooks.delivery import WebhookDeliverer
from tradepost.webhooks.sender import WebhookSender
from tradepost.webhooks.service import WebhookReader, WebhookService
from tradepost.webhooks.signing import Signer
from tradepost.webhooks.targets import TargetRules


def build_signer(settings: Settings) -> Signer:
    """Build what derives secrets and signs."""
    return Signer(settings.SECRET_KEY.get_secret_value())


def build_target_rules(settings: Settings) -> TargetRules:
    """Build what judges addresses."""
    return TargetRules(plain=settings.is_local, private=settings.WEBHOOK_ALLOW_PRIVATE)


def build_webhook_sender(resources: Resources) -> WebhookSender:
    """Build what sends requests to receivers; close it at the end."""
    return WebhookSender(
        build_target_rules(resources.settings),
        clock=resources.clock,
        agent=f"Tradepost-Webhooks/{resources.settings.VERSION}",
    )


def build_webhook_deliverer(resources: Resources) -> WebhookDeliverer:
    """Build what carries planned deliveries to their receivers."""
    return WebhookDeliverer(
        resources.database,
        sender=resources[WebhookSender],
        signer=build_signer(resources.settings),
        rules=build_target_rules(resources.settings),
        log=AttemptLog(resources.database, resources[Outbox]),
        clock=resources.clock,
    )


def build_webhook_service(db: WriteSession, resources: Resources) -> WebhookService:
    """Build the service for changing webhooks."""
    return WebhookService(
        db,
        outbox=resources[Outbox],
        signer=build_signer(resources.settings),
        rules=build_target_rules(resources.settings),
        clock=resources.clock,
    )


async def webhook_reader(db: ReadDb) -> WebhookReader:
    """Return the service for reading webhooks."""
    return WebhookReader(db)


async def webhook_writes(db: WriteDb, resources: ResourcesDep) -> WebhookService:
    """Return the service for webhooks in the request's transaction."""
    return build_webhook_service(db, resources)


WebhookReads = Annotated[WebhookReader, Depends(webhook_reader, scope="function")]
WebhookWrites = Annotated[WebhookService, Depends(webhook_writes, scope="function")]
