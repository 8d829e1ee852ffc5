"""The composition root: opens what lives as long as the process, and wires the domains together.

The web application, the command line and every later worker start here, so that they all run on the same parts.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from typing import Final

import structlog
from redis.asyncio import Redis
from sqlalchemy.exc import SQLAlchemyError

from tradepost.accounts import handlers as account_handlers
from tradepost.accounts.credentials import CredentialService
from tradepost.accounts.dependencies import (
    build_credential_service,
    build_recovery_service,
    build_session_service,
)
from tradepost.accounts.grants import AccountGrants
from tradepost.accounts.identities import Identities
from tradepost.accounts.links import Links
from tradepost.accounts.models import AccountToken, LoginSession, User
from tradepost.accounts.passwords import PasswordHasher
from tradepost.accounts.reader import UserReader
from tradepost.accounts.recovery import RecoveryService
from tradepost.accounts.sessions import SessionService
from tradepost.accounts.tokens import Tokens
from tradepost.categories.dependencies import open_categories
from tradepost.categories.models import Category
from tradepost.core.batching.coalescer import Observe
from tradepost.core.clock import Clock, SystemClock
from tradepost.core.database import migrations
from tradepost.core.database.engines import Database, DatabaseOptions
from tradepost.core.database.models import Base
from tradepost.core.errors import DatabaseUnavailable
from tradepost.core.messaging.backlog import Backlog, ReportBacklog
from tradepost.core.messaging.deliveries import ObserveAttempt
from tradepost.core.messaging.dispatcher import TOPIC, Dispatcher
from tradepost.core.messaging.jobs import ScheduledJob
from tradepost.core.messaging.messages import Subscriptions
from tradepost.core.messaging.outbox import Outbox, StoredMessage
from tradepost.core.rate_limiter import LocalRateLimiter, RateLimiter
from tradepost.core.resources import Resources
from tradepost.core.settings.settings import Settings
from tradepost.core.signals.postgres import postgres_signals
from tradepost.core.signals.redis import open_redis, redis_signals
from tradepost.core.signals.signals import Signals
from tradepost.core.signals.sqlite import SqliteSignals
from tradepost.core.storage.local import LocalStorage
from tradepost.core.storage.s3 import S3Storage
from tradepost.core.storage.store import Storage
from tradepost.core.wire.cursors import Cursors
from tradepost.items import handlers as item_handlers
from tradepost.items.adapters import supply_item_ports
from tradepost.items.dependencies import open_items
from tradepost.items.models import Item, ItemTag
from tradepost.media import handlers as media_handlers
from tradepost.media.dependencies import open_media
from tradepost.media.models import FileUsage, FileVariant, StoredFile
from tradepost.notifications import handlers as notification_handlers
from tradepost.notifications.inbox.models import Inbox, Notification
from tradepost.notifications.inbox.reader import InboxReader
from tradepost.notifications.inbox.streams import InboxStreams
from tradepost.notifications.mail.dependencies import build_mail_service, build_mailer
from tradepost.notifications.mail.service import Mailer, MailService
from tradepost.notifications.preferences.models import Preference
from tradepost.tags.dependencies import open_tags
from tradepost.tags.models import Tag
from tradepost.webhooks import handlers as webhook_handlers
from tradepost.webhooks.dependencies import build_webhook_sender
from tradepost.webhooks.models import Webhook, WebhookDelivery
from tradepost.webhooks.revocation import WebhookGrants
from tradepost.webhooks.sender import WebhookSender

MODELS = (
    User,
    LoginSession,
    AccountToken,
    Tag,
    Category,
    Item,
    ItemTag,
    StoredMessage,
    ScheduledJob,
    Inbox,
    Notification,
    Preference,
    StoredFile,
    FileUsage,
    FileVariant,
    Webhook,
    WebhookDelivery,
)
"""Every table; naming them here is what puts them into the metadata that migrations compare with."""
METADATA = Base.metadata
SUBSCRIBERS: tuple[Callable[[Subscriptions, Resources], None], ...] = (
    account_handlers.subscribe,
    notification_handlers.subscribe,
    media_handlers.subscribe,
    webhook_handlers.subscribe,
    item_handlers.subscribe,
)
"""Each domain's ``handlers.subscribe``: what it does because of others' messages, and of its own."""

WAIT_FOR_SCHEMA: Final = 1.0
"""Seconds between two looks whether somebody has migrated the database."""

log = structlog.stdlib.get_logger(__name__)


def database_options(settings: Settings) -> DatabaseOptions:
    """Return what ``settings`` say about the database."""
    return DatabaseOptions(
        url=settings.database_url,
        pool_size=settings.DB_POOL_SIZE,
        pool_timeout=settings.DB_POOL_TIMEOUT,
        pool_recycle=settings.DB_POOL_RECYCLE,
        pre_ping=settings.DB_PRE_PING,
        statement_timeout=settings.DB_STATEMENT_TIMEOUT,
    )


def build_signals(database: Database, clock: Clock, redis: Redis | None) -> Signals:
    """Return how processes hint to each other that there is something to look at."""
    if redis is not None:
        return redis_signals(redis, clock)
    if database.is_sqlite:
        return SqliteSignals(database)
    return postgres_signals(database.options.url, clock)


def build_messaging(
    resources: Resources, subscriptions: Subscriptions, attempts: ObserveAttempt
) -> Redis | None:
    """Put in what takes messages, what delivers them, and what wakes the second when the first has one.

    Returns the client of the Redis that processes hear each other over, if there is one, to be closed at the end.
    """
    url = resources.settings.REDIS_URL
    redis = open_redis(url.get_secret_value()) if url else None
    if redis is not None:
        resources.put(Redis, redis)
    signals = build_signals(resources.database, resources.clock, redis)
    resources.put(Subscriptions, subscriptions)
    resources.put(Signals, signals)
    resources.put(
        Outbox,
        Outbox(subscriptions, resources.clock, lambda channels: signals.send(TOPIC, " ".join(channels))),
    )
    resources.put(
        Dispatcher, Dispatcher(resources.database, subscriptions, signals, resources.clock, observe=attempts)
    )
    return redis


def build_backlog(resources: Resources, report: ReportBacklog) -> Backlog:
    """Build what looks now and then how many messages wait, and shows it."""
    return Backlog(resources.database, resources[Subscriptions], resources.clock, report)


def open_storage(settings: Settings) -> Storage:
    """Return where the bytes of files are kept. Connects to nothing yet."""
    return S3Storage(settings) if settings.USE_S3 else LocalStorage(settings.UPLOAD_DIR)


@asynccontextmanager
async def opened(
    settings: Settings,
    *,
    clock: Clock | None = None,
    batches: Callable[[str], Observe] = lambda _name: lambda _size: None,
    attempts: ObserveAttempt = lambda _channel, _outcome, _seconds: None,
) -> AsyncIterator[Resources]:
    """Open the resources of a process, and close them at the end of the block. Connects to nothing yet.

    ``batches`` gives, for the name of a coalesced read, what is told the sizes of its batches; ``attempts`` is told of each
    attempt to deliver a message.
    """
    clock = clock or SystemClock()
    database = Database(database_options(settings))
    resources = Resources(settings, database, clock)
    subscriptions = Subscriptions()
    redis = build_messaging(resources, subscriptions, attempts)
    hasher = await asyncio.to_thread(PasswordHasher)
    resources.put(PasswordHasher, hasher)
    resources.put(
        Tokens,
        Tokens(
            secret=settings.SECRET_KEY.get_secret_value(),
            algorithm=settings.ALGORITHM,
            lifetime=timedelta(minutes=settings.ACCESS_TOKEN_EXPIRE_MINUTES),
            clock=clock,
        ),
    )
    resources.put(
        Links,
        Links(secret=settings.SECRET_KEY.get_secret_value(), public_url=settings.PUBLIC_URL, clock=clock),
    )
    resources.put(Identities, Identities(database, observe=batches("identity")))
    resources.put(UserReader, UserReader(database, observe=batches("user")))
    resources.put(SessionService, build_session_service(resources))
    resources.put(CredentialService, build_credential_service(resources))
    resources.put(AccountGrants, WebhookGrants())
    resources.put(RecoveryService, build_recovery_service(resources))
    supply_item_ports(resources)
    open_tags(resources, batches=batches)
    open_categories(resources)
    resources.put(RateLimiter, LocalRateLimiter(clock))
    resources.put(Cursors, Cursors(settings.SECRET_KEY.get_secret_value()))
    resources.put(InboxReader, InboxReader(database, resources[Cursors]))
    storage = open_storage(settings)
    resources.put(Storage, storage)
    media = AsyncExitStack()
    await media.enter_async_context(open_media(resources, observe=batches("new files")))
    resources.put(Mailer, build_mailer(settings, clock))
    resources.put(MailService, await build_mail_service(resources))
    resources.put(WebhookSender, build_webhook_sender(resources))
    resources.put(
        InboxStreams,
        InboxStreams(
            database,
            resources[Signals],
            living=lambda session_ids: resources[Identities].find_living(session_ids, now=clock.now()),
            observe=batches("stream"),
        ),
    )
    open_items(resources, batches=batches)
    for subscribe in SUBSCRIBERS:
        subscribe(subscriptions, resources)
    try:
        yield resources
    finally:
        await resources[WebhookSender].close()
        hasher.close()
        await media.aclose()
        await storage.close()
        await resources[Mailer].close()
        if redis is not None:
            await redis.aclose()
        await database.close()


async def dispatch(resources: Resources) -> None:
    """Deliver messages until cancelled, beginning as soon as the database is there and migrated."""
    waits = False
    while not await _is_migrated(resources):
        if not waits:
            waits = True
            log.warning(
                "no database of this version's schema yet; messages are delivered as soon as it is there"
            )
        await asyncio.sleep(WAIT_FOR_SCHEMA)
    await resources[Dispatcher].run()


async def _is_migrated(resources: Resources) -> bool:
    try:
        return migrations.suits(await migrations.current(resources.database))
    except (DatabaseUnavailable, SQLAlchemyError):
        return False


async def prepare_database(resources: Resources) -> bool:
    """Bring the schema to its newest revision and make the first superuser; tell whether the schema changed.

    Any number of processes may do this at once.
    """
    changed = await migrations.upgrade(resources.database)
    settings = resources.settings
    await resources[CredentialService].ensure_first_superuser(
        settings.FIRST_SUPERUSER, settings.FIRST_SUPERUSER_PASSWORD.get_secret_value()
    )
    return changed
