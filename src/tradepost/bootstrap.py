"""The composition root: opens what lives as long as the process, and wires the domains together.

The web application, the worker and the command line start here, so that they all run on the same resources.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from importlib import import_module
from typing import Any, Final

import structlog
from sqlalchemy.exc import SQLAlchemyError

from tradepost.accounts import handlers as account_handlers
from tradepost.accounts.credentials import CredentialService
from tradepost.accounts.dependencies import AskersByCredentials, open_accounts
from tradepost.accounts.exporting import PersonalTables
from tradepost.accounts.grants import AccountGrants
from tradepost.accounts.models import AccountToken, ApiKey, LoginSession, RecoveryCode, SecondFactor, User
from tradepost.audit import handlers as audit_handlers
from tradepost.categories import handlers as category_handlers
from tradepost.categories.dependencies import open_categories
from tradepost.categories.models import Category, FormerSlug
from tradepost.core.audit.models import AuditLine
from tradepost.core.audit.trail import AuditTrail
from tradepost.core.batching.coalescer import Observe
from tradepost.core.clock import Clock, SkewedClock, SystemClock
from tradepost.core.database import revisions
from tradepost.core.database.engines import Database
from tradepost.core.database.models import Base
from tradepost.core.database.options import DatabaseOptions
from tradepost.core.database.replica import Replica
from tradepost.core.errors import DatabaseUnavailable
from tradepost.core.idempotency.keys import IdempotencyKeys
from tradepost.core.idempotency.leases import KeyLeases
from tradepost.core.idempotency.models import IdempotencyKey, IdempotentPiece
from tradepost.core.idempotency.progress import ProgressKeeper
from tradepost.core.messaging.backlog import Backlog, ReportBacklog
from tradepost.core.messaging.deliveries import ObserveAttempt
from tradepost.core.messaging.dispatcher import TOPIC, Dispatcher
from tradepost.core.messaging.jobs import ScheduledJob
from tradepost.core.messaging.messages import Subscriptions
from tradepost.core.messaging.outbox import Outbox, StoredMessage
from tradepost.core.observability.spans import Tracing
from tradepost.core.rate_limiter import LocalRateLimiter, RateLimiter
from tradepost.core.resources import Resources
from tradepost.core.search.vocabulary import SearchWord, Vocabulary
from tradepost.core.settings.settings import Settings
from tradepost.core.signals.choice import RedisClient, build_signals, open_redis
from tradepost.core.signals.signals import REPLACED, Signals
from tradepost.core.storage.local import LocalStorage
from tradepost.core.storage.store import Storage
from tradepost.core.wire.cursors import Cursors
from tradepost.events import handlers as event_handlers
from tradepost.events.adapters import supply_event_ports
from tradepost.events.dependencies import open_events
from tradepost.events.models import Event, Participant, Reminder
from tradepost.injection.dependencies import open_injection
from tradepost.injection.injector import Injector
from tradepost.injection.journal import Journal
from tradepost.injection.models import NamedFault, StruckFault
from tradepost.items import handlers as item_handlers
from tradepost.items.adapters import supply_item_ports
from tradepost.items.dependencies import open_items
from tradepost.items.models import Item, ItemCount, ItemCountChange, ItemTag, ItemText, TextRule
from tradepost.items.popular import PopularItems
from tradepost.media import handlers as media_handlers
from tradepost.media.dependencies import open_media
from tradepost.media.models import FileUsage, FileVariant, StoredFile
from tradepost.notifications import handlers as notification_handlers
from tradepost.notifications.inbox.dependencies import open_inbox
from tradepost.notifications.inbox.models import Inbox, Notification
from tradepost.notifications.mail.dependencies import open_mail
from tradepost.notifications.preferences.models import Preference
from tradepost.personal import EXPORTED
from tradepost.tags import handlers as tag_handlers
from tradepost.tags.dependencies import open_tags
from tradepost.tags.models import Tag
from tradepost.web.askers import Askers
from tradepost.webhooks import handlers as webhook_handlers
from tradepost.webhooks.dependencies import open_webhooks
from tradepost.webhooks.models import Webhook, WebhookDelivery
from tradepost.webhooks.revocation import WebhookGrants

MODELS = (
    User,
    LoginSession,
    ApiKey,
    AuditLine,
    AccountToken,
    SecondFactor,
    RecoveryCode,
    Tag,
    Category,
    FormerSlug,
    Item,
    ItemTag,
    ItemText,
    TextRule,
    ItemCount,
    ItemCountChange,
    Event,
    Participant,
    Reminder,
    SearchWord,
    StoredMessage,
    ScheduledJob,
    IdempotencyKey,
    IdempotentPiece,
    Inbox,
    Notification,
    Preference,
    StoredFile,
    FileUsage,
    FileVariant,
    Webhook,
    WebhookDelivery,
    NamedFault,
    StruckFault,
)
"""Every table; naming them here is what puts them into the metadata that migrations compare with."""
METADATA = Base.metadata
PRUNE_SECONDS: Final = 600.0
"""From one pruning of idempotency keys to the next."""


def prune_keys(subscriptions: Subscriptions, resources: Resources) -> None:
    """Have idempotency keys pruned that are too old to count."""
    subscriptions.every("core.prune_idempotency_keys", PRUNE_SECONDS, resources[IdempotencyKeys].prune)


SUBSCRIBERS: tuple[Callable[[Subscriptions, Resources], None], ...] = (
    account_handlers.subscribe,
    audit_handlers.subscribe,
    tag_handlers.subscribe,
    category_handlers.subscribe,
    notification_handlers.subscribe,
    media_handlers.subscribe,
    webhook_handlers.subscribe,
    item_handlers.subscribe,
    event_handlers.subscribe,
    prune_keys,
)
"""Each domain's ``handlers.subscribe``: its reactions to messages, deliveries and recurring jobs."""

WAIT_FOR_SCHEMA: Final = 1.0
"""Seconds between two looks whether the database is migrated."""

log = structlog.stdlib.get_logger(__name__)


def database_options(settings: Settings) -> DatabaseOptions:
    """Return the database's options of the settings."""
    return DatabaseOptions(
        url=settings.database_url,
        pool_size=settings.DB_POOL_SIZE,
        pool_timeout=settings.DB_POOL_TIMEOUT,
        pool_recycle=settings.DB_POOL_RECYCLE,
        pre_ping=settings.DB_PRE_PING,
        statement_timeout=settings.DB_STATEMENT_TIMEOUT,
        via_pgbouncer=settings.DB_VIA_PGBOUNCER,
        direct_url=settings.direct_database_url,
    )


@asynccontextmanager
async def open_replica(resources: Resources) -> AsyncIterator[None]:
    """Put in the standby that answers anonymous reads, where there is one."""
    url = resources.settings.replica_database_url
    if url is None:
        yield
        return
    # Past no PgBouncer: a standby has connections of its own.
    options = replace(database_options(resources.settings), url=url, via_pgbouncer=False, direct_url=None)
    database = Database(options)
    resources.put(Replica, Replica(database, primary=resources.database, clock=resources.clock))
    try:
        yield
    finally:
        await database.close()


@asynccontextmanager
async def open_messaging(resources: Resources, observe: ObserveAttempt) -> AsyncIterator[None]:
    """Put in what takes messages, what delivers them, and the signals by which the first wakes the second.

    ``observe`` is told of each attempt to deliver a message.
    """
    url = resources.settings.REDIS_URL
    redis = open_redis(url.get_secret_value()) if url else None
    if redis is not None:
        resources.put(RedisClient, redis)
    database, clock, subscriptions = resources.database, resources.clock, Subscriptions()
    signals = build_signals(database, clock, redis)
    tracing = resources.find(Tracing)
    outbox = Outbox(subscriptions, clock, lambda names: signals.send(TOPIC, " ".join(names)), tracing=tracing)
    resources.put(Subscriptions, subscriptions)
    resources.put(Signals, signals)
    resources.put(Outbox, outbox)
    dispatcher = Dispatcher(database, subscriptions, signals, clock, observe=observe, tracing=tracing)
    resources.put(Dispatcher, dispatcher)
    try:
        yield
    finally:
        if redis is not None:
            await redis.aclose()


def build_backlog(resources: Resources, report: ReportBacklog) -> Backlog:
    """Build the task that counts now and then how many messages wait, and reports it."""
    return Backlog(resources.database, resources[Subscriptions], resources.clock, report)


def fault_work(resources: Resources) -> dict[str, Coroutine[Any, Any, None]]:
    """Return what keeps up with the faults that are made on purpose, by the names of the tasks; nothing where they are off."""
    if not resources.settings.FAULTS_ENABLED:
        return {}
    return {"faults": resources[Injector].run(), "fault log": resources[Journal].run()}


@asynccontextmanager
async def open_storage(resources: Resources) -> AsyncIterator[None]:
    """Put in where the bytes of files are kept."""
    settings = resources.settings
    storage: Storage
    if settings.USE_S3:
        storage = import_module("tradepost.core.storage.s3").S3Storage(settings)
    else:
        storage = LocalStorage(settings.UPLOAD_DIR)
    resources.put(Storage, storage)
    try:
        yield
    finally:
        await storage.close()


def open_audit(resources: Resources) -> None:
    """Put in what writes to the audit trail."""
    resources.put(AuditTrail, AuditTrail(resources.clock))


def open_search(resources: Resources) -> None:
    """Put in what every domain's search shares: the words that its vocabulary is known to hold."""
    resources.put(Vocabulary, Vocabulary())


def open_web(resources: Resources) -> None:
    """Put in what routes of every domain use: idempotency keys, and the cursors of lists."""
    askers = AskersByCredentials(resources)
    resources.put(Askers, askers)
    keys = IdempotencyKeys(
        resources.database,
        resources.clock,
        lifetime=timedelta(hours=resources.settings.IDEMPOTENCY_HOURS),
        lock_person=askers.lock_key_share,
    )
    resources.put(IdempotencyKeys, keys)
    leases = KeyLeases(resources.database, keys)
    resources.put(KeyLeases, leases)
    resources.put(ProgressKeeper, ProgressKeeper(resources.database, keys, leases))
    resources.put(Cursors, Cursors(resources.settings.secret_keys))


@asynccontextmanager
async def open_rate_limits(resources: Resources) -> AsyncIterator[None]:
    """Put in what counts requests: all processes together where there is a Redis, else each for itself."""
    local = LocalRateLimiter(resources.clock)
    if resources.settings.REDIS_URL is None:
        resources.put(RateLimiter, local)
        yield
        return
    module = import_module("tradepost.core.shared_rate_limiter")
    shared = module.SharedRateLimiter(resources[RedisClient], local, resources.clock)
    resources.put(RateLimiter, shared)
    try:
        yield
    finally:
        await shared.close()


def supply_ports(resources: Resources) -> None:
    """Put in what supplies the ports that lower domains declare, before the domains that ask for them are opened."""
    resources.put(AccountGrants, WebhookGrants())
    resources.put(PersonalTables, EXPORTED)
    supply_item_ports(resources)
    supply_event_ports(resources)


Opener = Callable[[Resources], AbstractAsyncContextManager[None] | None]
OPENERS: Final[tuple[Opener, ...]] = (
    open_replica,
    open_storage,
    open_injection,
    open_search,
    open_audit,
    open_web,
    open_rate_limits,
    supply_ports,
    open_accounts,
    open_tags,
    open_categories,
    open_media,
    open_items,
    open_events,
    open_webhooks,
    open_mail,
    open_inbox,
)
"""What puts resources in, in this order: each domain's ``open_…``, for those that keep something for the process's life.

A plain function where nothing is to be closed, else an async context manager; the last to be opened is closed first.
"""


@asynccontextmanager
async def opened(
    settings: Settings,
    *,
    clock: Clock | None = None,
    batches: Callable[[str], Observe] = lambda _name: lambda _size: None,
    attempts: ObserveAttempt = lambda _channel, _outcome, _seconds: None,
    tracing: Tracing | None = None,
) -> AsyncIterator[Resources]:
    """Open the resources of a process, and close them at the end of the block. Connects to nothing yet.

    ``batches`` returns, for the name of a coalescer, the function that is told the sizes of its batches; ``attempts`` is
    told of each attempt to deliver a message; ``tracing`` is where spans are sent.
    """
    async with AsyncExitStack() as closing:
        database = Database(database_options(settings))
        closing.push_async_callback(database.close)
        clock = clock or SystemClock()
        if settings.FAULTS_ENABLED:
            clock = SkewedClock(clock)
        resources = Resources(settings, database, clock, batches)
        if tracing is not None:
            resources.put(Tracing, tracing)
        await closing.enter_async_context(open_messaging(resources, attempts))
        for open_resources in OPENERS:
            to_close = open_resources(resources)
            if to_close is not None:
                await closing.enter_async_context(to_close)
        resources[Signals].listen(REPLACED, lambda _text: _forget(resources))
        for subscribe in SUBSCRIBERS:
            subscribe(resources[Subscriptions], resources)
        yield resources


def _forget(resources: Resources) -> None:
    """Forget what is known of the database: it may have been put back to an earlier state."""
    resources[Vocabulary].forget()
    resources[PopularItems].forget_all()
    resources[AuditTrail].forget_refusals()


async def dispatch(resources: Resources) -> None:
    """Deliver messages until cancelled, beginning as soon as the database is there and migrated."""
    waits = False
    while not await _is_migrated(resources):
        if not waits:
            waits = True
            log.warning("no database of this version's schema yet (tradepost migrate); messages wait for it")
        await asyncio.sleep(WAIT_FOR_SCHEMA)
    await resources[Dispatcher].run()


async def _is_migrated(resources: Resources) -> bool:
    try:
        return revisions.suits(await revisions.current(resources.database))
    except (DatabaseUnavailable, SQLAlchemyError):
        return False


async def prepare_database(resources: Resources) -> bool:
    """Bring the schema to its newest revision and make the first superuser; tell whether the schema changed.

    Any number of processes may do this at once.
    """
    changed = await revisions.is_behind(resources.database)
    if changed:
        # With Alembic, which a server that has nothing to migrate does without.
        migrations = import_module("tradepost.core.database.migrations")
        changed = await migrations.upgrade(resources.database)
    settings = resources.settings
    await resources[CredentialService].ensure_first_superuser(
        settings.FIRST_SUPERUSER, settings.FIRST_SUPERUSER_PASSWORD.get_secret_value()
    )
    return changed
