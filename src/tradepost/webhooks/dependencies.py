"""Dependencies that build the services for webhooks, for routes and handlers."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import Depends

from tradepost.accounts.dependencies import build_user_service
from tradepost.core.audit.trail import AuditTrail
from tradepost.core.database.sessions import WriteSession
from tradepost.core.messaging.outbox import Outbox
from tradepost.core.resources import Resources
from tradepost.core.settings.settings import Settings
from tradepost.web.db import ReadDb, ResourcesDep, WriteDb
from tradepost.webhooks.delivery import WebhookDeliverer
from tradepost.webhooks.delivery_log import DeliveryLog
from tradepost.webhooks.sender import WebhookSender
from tradepost.webhooks.service import WebhookReader, WebhookService
from tradepost.webhooks.signing import Signer
from tradepost.webhooks.targets import TargetRules


def build_signer(settings: Settings) -> Signer:
    """Build the signer, which derives secrets from ``SECRET_KEY``."""
    return Signer(settings.secret_keys)


def build_target_rules(settings: Settings) -> TargetRules:
    """Build the rules for target URLs and addresses."""
    return TargetRules(plain=settings.is_local, private=settings.WEBHOOK_ALLOW_PRIVATE)


@asynccontextmanager
async def open_webhooks(resources: Resources) -> AsyncIterator[None]:
    """Put in what webhooks keep for the life of the process, and close it at the end of the block."""
    sender = WebhookSender(
        build_target_rules(resources.settings),
        clock=resources.clock,
        agent=f"Tradepost-Webhooks/{resources.settings.VERSION}",
    )
    resources.put(WebhookSender, sender)
    try:
        yield
    finally:
        await sender.close()


def build_webhook_deliverer(resources: Resources) -> WebhookDeliverer:
    """Build the deliverer of webhooks."""
    return WebhookDeliverer(
        resources.database,
        sender=resources[WebhookSender],
        signer=build_signer(resources.settings),
        rules=build_target_rules(resources.settings),
        log=DeliveryLog(resources.database, resources[Outbox]),
        clock=resources.clock,
    )


def build_webhook_service(db: WriteSession, resources: Resources) -> WebhookService:
    """Build the service for changing webhooks."""
    return WebhookService(
        db,
        people=build_user_service(db, resources),
        outbox=resources[Outbox],
        audit=resources[AuditTrail],
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
