"""The web application: the domains' routes within the layers of ``web``, on the resources of ``bootstrap``."""

import asyncio
import gc
import multiprocessing
import os
import signal
import threading
from collections.abc import AsyncIterator, Awaitable, Coroutine, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from functools import partial
from types import FrameType
from typing import Any, Final

import structlog
from fastapi import FastAPI
from sqlalchemy.exc import SQLAlchemyError
from starlette.types import Receive, Scope, Send

from tradepost.accounts import page_routes
from tradepost.accounts.key_uses import KeyUses
from tradepost.api import FACTS, FAULT_ROUTERS, KEYLESS, ROUTERS
from tradepost.bootstrap import build_backlog, dispatch, fault_work, opened, prepare_database
from tradepost.core.clock import AlignedClock, Clock, SystemClock
from tradepost.core.database import faults, revisions
from tradepost.core.database.replica import Replica
from tradepost.core.database.shared_clock import clock_work
from tradepost.core.errors import DatabaseUnavailable
from tradepost.core.finishing import alongside
from tradepost.core.observability import logging
from tradepost.core.observability.metrics import Metrics
from tradepost.core.observability.telemetry import Telemetry
from tradepost.core.resources import Resources
from tradepost.core.settings.advice import misspelt, questionable, surrounding_names
from tradepost.core.settings.settings import Settings
from tradepost.core.signals.signals import Signals
from tradepost.instruments import (
    NEW_SCHEMA,
    OLD_SCHEMA,
    SchemaSeen,
    add_gauges,
    add_probes,
    add_server_gauges,
    show_door,
)
from tradepost.items.bulk_routes import body_limit
from tradepost.items.view_counter import ViewCounter
from tradepost.live import routes as live_routes
from tradepost.live.feed import LiveFeed
from tradepost.media.routes import body_limits
from tradepost.notifications.inbox.streams import InboxStreams
from tradepost.notifications.mail import routes as mail_routes
from tradepost.notifications.preferences import page_routes as unsubscribe_routes
from tradepost.web import admin_page, docs, meta
from tradepost.web.middleware import stack
from tradepost.web.openapi import document
from tradepost.web.overload.door import DOOR_KEY, Door
from tradepost.web.problems import handlers
from tradepost.web.protocol import READINESS_KEY, STOPPING_KEY
from tradepost.web.readiness import Readiness

RETRY_PREPARATION: Final = 2.0
"""Seconds between two tries to migrate, in ``local``, while the database is away."""
YOUNG_OBJECTS: Final = 50_000
"""So many more objects than at its last look there have to be before the garbage collector looks at the new ones."""
END_SECONDS: Final = 24.0
"""Seconds after the drain within which a process has ended, whatever hangs."""

log = structlog.get_logger(__name__)


def create_app(
    settings: Settings | None = None, *, clock: Clock | None = None, dispatches: bool | None = None
) -> FastAPI:
    """Build the application; what lives as long as the process is opened when the server starts it.

    Every part of it reads the time from ``clock``, the machine's own by default, so that a test can move the time of a
    whole application. ``dispatches`` says whether it delivers messages itself, by default in ``local`` only.
    """
    settings = settings or Settings.load()
    dispatches = settings.is_local if dispatches is None else dispatches
    clock = clock or AlignedClock(SystemClock())
    telemetry = Telemetry.open(settings, clock, service="tradepost")
    access_line = logging.configure(
        settings.LOG_LEVEL,
        readable=None if settings.is_local else False,
        clock=clock,
        reports=telemetry.reports,
    )
    for warning in (*questionable(settings), *misspelt(surrounding_names())):
        log.warning("questionable setting", setting=warning)
    metrics = Metrics(clock=clock)
    readiness = Readiness(clock)
    app = FastAPI(
        **document.options(settings),
        webhooks=FACTS,
        # Else each request would look for a provider that is never set up: that costs as much as a layer of ours.
        telemetry={"tracing": False, "metrics": False, "logs": False},
        lifespan=lambda _app: _lifespan(
            settings, clock, metrics, readiness, door, telemetry=telemetry, dispatches=dispatches
        ),
    )
    meta.build_router(settings=settings, readiness=readiness, metrics=metrics).add_to(app)
    docs.build_router(app, settings).add_to(app)
    admin_page.build_router(settings).add_to(app)
    live_routes.build_router(settings).add_to(app)
    page_routes.build_router(settings).add_to(app)
    mail_routes.build_router(settings).add_to(app)
    unsubscribe_routes.build_router(settings).add_to(app)
    for router in (*ROUTERS, *(FAULT_ROUTERS if settings.FAULTS_ENABLED else ())):
        router.add_to(app, prefix=settings.API_V1_STR)
    document.install(app, settings, keyless=KEYLESS)
    answers = handlers.ErrorAnswers(faults.translate, clock)
    handlers.install(app, answers)
    door: Door | None = stack.install(
        app,
        settings=settings,
        clock=clock,
        metrics=metrics,
        answers=answers,
        access_line=access_line,
        larger_bodies=body_limits(settings) | body_limit(settings),
        keyless=KEYLESS,
        tracing=telemetry.tracing,
    )
    return app


class Served:
    """An application as a server calls it: a request goes straight to the layers.

    On its own way to them FastAPI asks for each request what is known since the start.
    """

    def __init__(self, app: FastAPI) -> None:
        self._app = app

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        layers = self._app.middleware_stack
        if scope["type"] != "http" or layers is None:
            return self._app(scope, receive, send)
        scope["app"] = self._app
        return layers(scope, receive, send)


def create_served_app() -> Served:
    """Build the application of a server's process, and keep the garbage collector from what lives as long as that.

    The objects made so far are never garbage; looking at them again and again was 7 to 15 % of the CPU, and pauses of a
    tenth of a second. Requests leave next to no cycles; those under way at once have thousands of objects, which it need
    not look at again and again either.
    """
    app = create_app()
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS, 10, 10)
    return Served(app)


@asynccontextmanager
async def _lifespan(
    settings: Settings,
    clock: Clock,
    metrics: Metrics,
    readiness: Readiness,
    door: Door | None,
    *,
    telemetry: Telemetry,
    dispatches: bool,
) -> AsyncIterator[Mapping[str, Any]]:
    async with opened(
        settings,
        clock=clock,
        batches=metrics.batch_observer,
        attempts=metrics.observe_attempt,
        tracing=telemetry.tracing,
    ) as resources:
        resources.put(SchemaSeen, SchemaSeen())
        resources.put(LiveFeed, LiveFeed(metrics.collect, clock, prefix=settings.API_V1_STR))
        add_probes(readiness, resources)
        add_gauges(metrics, resources)
        add_server_gauges(metrics, resources, readiness)
        if door is not None:
            show_door(metrics, door)
        try:
            async with (
                alongside(_background(resources, metrics)),
                alongside(await _preparation(resources)),
                # Last: they would miss, and say so, a schema that this process is about to make.
                alongside(fault_work(resources) | (_delivery(resources, metrics) if dispatches else {})),
            ):
                with _drained(readiness, settings.drain_seconds):
                    yield {
                        "resources": resources,
                        STOPPING_KEY: partial(_end_streams, resources),
                        READINESS_KEY: readiness,
                        DOOR_KEY: door,
                    }
        finally:
            if door is not None:
                door.close()
            metrics.close()
            await telemetry.close()


def _background(resources: Resources, metrics: Metrics) -> dict[str, Coroutine[Any, Any, None]]:
    """Return the work of a server beside its requests, by the names of the tasks."""
    work: dict[str, Coroutine[Any, Any, None]] = {
        "views": resources[ViewCounter].run(),
        "key uses": resources[KeyUses].run(),
        "streams": resources[InboxStreams].run(),
        "metrics": metrics.watch(),
        "live": resources[LiveFeed].run(),
        "signals": resources[Signals].run(),
        "parent": _end_with_parent(),
    }
    work |= clock_work(resources.database, resources.clock)
    if (replica := resources.find(Replica)) is not None:
        work["replica"] = replica.run()
    return work


def _delivery(resources: Resources, metrics: Metrics) -> dict[str, Coroutine[Any, Any, None]]:
    """Return the work of a server that delivers messages, by the names of the tasks."""
    return {
        # Counted by those who deliver: it is the same for all, and every look reads all that wait.
        "backlog": build_backlog(resources, metrics.show_backlog).run(),
        "dispatcher": dispatch(resources),
    }


def _end_streams(resources: Resources) -> None:
    for streams in (resources[InboxStreams], resources[LiveFeed]):
        streams.close()


@contextmanager
def _drained(readiness: Readiness, seconds: float) -> Iterator[None]:
    """Drain: SIGTERM makes the process not ready at once, and reaches the server ``seconds`` later.

    The server closes its socket on SIGTERM. A load balancer must have seen before that this process wants no requests, or
    some of them are refused. SIGINT, which a person sends, reaches it at once.
    """
    stop, interrupt = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    if (
        not callable(stop)
        or not callable(interrupt)
        or threading.current_thread() is not threading.main_thread()
    ):
        try:
            yield
        finally:
            readiness.draining = True
        return
    loop = asyncio.get_running_loop()

    def begin() -> None:
        # The process that started this worker may pass on what the whole group was sent already.
        if not readiness.draining:
            readiness.draining = True
            _end_in_time(seconds + END_SECONDS)
            log.info("told to end; not ready any more", seconds=seconds)
            loop.call_later(seconds, stop, signal.SIGTERM, None)

    def interrupted(number: int, frame: FrameType | None) -> None:
        if not readiness.draining:
            readiness.draining = True
            _end_in_time(END_SECONDS)
        interrupt(number, frame)

    signal.signal(signal.SIGTERM, lambda *_: loop.call_soon_threadsafe(begin))
    signal.signal(signal.SIGINT, interrupted)
    try:
        yield
    finally:
        readiness.draining = True
        signal.signal(signal.SIGTERM, stop)
        signal.signal(signal.SIGINT, interrupt)


def _end_in_time(seconds: float) -> None:
    """End this process after ``seconds``, should something hang that nobody thought of: it would be killed otherwise."""

    def end() -> None:
        log.error("something hangs and is left behind", seconds=seconds)
        os._exit(0)

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()


async def _preparation(resources: Resources) -> dict[str, Coroutine[Any, Any, None]]:
    """Migrate, in ``local``; return the task that goes on trying while the database is away, or tells of an old schema."""
    if not resources.settings.is_local:
        return {"schema": _tell_of_schema(resources)}
    if await _prepared(resources):
        return {}
    return {"preparation": _prepare_later(resources)}


async def _prepared(resources: Resources) -> bool:
    """Migrate, unless the database is away: then the server starts all the same, alive and not ready."""
    try:
        await prepare_database(resources)
    except (DatabaseUnavailable, SQLAlchemyError) as error:
        # It can also go away in the middle of the migration, which is then taken back as a whole.
        meaning = error if isinstance(error, DatabaseUnavailable) else faults.translate(error)
        if not isinstance(meaning, DatabaseUnavailable):
            raise
        log.warning(
            "the database is away; migrating as soon as it is back", reason=str(error.__cause__ or error)
        )
        return False
    return True


async def _tell_of_schema(resources: Resources) -> None:
    """Log once that somebody has to migrate, which outside ``local`` no server does by itself, or to replace this one."""
    with suppress(DatabaseUnavailable, SQLAlchemyError):  # `/readyz` tells of a database that is away
        revision = await revisions.current(resources.database)
        if not revisions.suits(revision):
            log.error(OLD_SCHEMA, revision=revision, wanted=revisions.head())
        elif revisions.is_newer(revision):
            log.warning(NEW_SCHEMA, revision=revision, ours=revisions.head())


async def _prepare_later(resources: Resources) -> None:
    prepared = False
    while not prepared:
        await asyncio.sleep(RETRY_PREPARATION)
        try:
            prepared = await _prepared(resources)
        except Exception:
            # A task that ended here would leave a server that is never ready, without a word why.
            log.exception("the migration failed; it is tried again")
    log.info("the database is back and migrated")


async def _end_with_parent() -> None:
    """End this worker when the process that started it was killed; it would keep the port otherwise."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return
    gone = asyncio.Event()
    asyncio.get_running_loop().add_reader(parent.sentinel, gone.set)
    await gone.wait()
    asyncio.get_running_loop().remove_reader(parent.sentinel)
    log.error("the process that started this worker is gone")
    signal.raise_signal(signal.SIGTERM)
