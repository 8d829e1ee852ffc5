"""The web application: the domains' routes within the layers of ``web``, on the parts of ``bootstrap``."""

import asyncio
import gc
import multiprocessing
import signal
import threading
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from typing import Any, Final

import structlog
from fastapi import FastAPI
from redis.asyncio import Redis
from sqlalchemy.exc import SQLAlchemyError

from tradepost.accounts import page_routes
from tradepost.api import ROUTERS
from tradepost.bootstrap import build_backlog, dispatch, opened, prepare_database
from tradepost.core.clock import Clock, SystemClock
from tradepost.core.database import faults, migrations
from tradepost.core.database.engines import Database
from tradepost.core.errors import DatabaseUnavailable
from tradepost.core.observability import logging
from tradepost.core.observability.metrics import Metrics
from tradepost.core.resources import Resources
from tradepost.core.settings.advice import questionable
from tradepost.core.settings.settings import Settings
from tradepost.core.signals.signals import Signals
from tradepost.core.storage.store import Storage
from tradepost.items.view_counter import ViewCounter
from tradepost.media.routes import body_limits
from tradepost.notifications.inbox.streams import InboxStreams
from tradepost.notifications.mail import routes as mail_routes
from tradepost.web import docs, layers, meta, openapi, problems
from tradepost.web.meta import Readiness
from tradepost.web.protocol import STOPPING_KEY

RETRY_PREPARATION: Final = 2.0
"""Seconds between two tries to migrate, in ``local``, while the database is away."""
DRAIN_SECONDS: Final = 3.0
"""How long, outside ``local``, requests are still taken after SIGTERM while ``/readyz`` says that none should be sent."""

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
    clock = clock or SystemClock()
    access_line = logging.configure(
        settings.LOG_LEVEL, readable=None if settings.is_local else False, clock=clock
    )
    for warning in questionable(settings):
        log.warning("questionable setting", setting=warning)
    metrics = Metrics(clock=clock)
    readiness = Readiness(clock)
    app = FastAPI(
        **openapi.options(settings),
        # Else each request would look for a provider, of which nobody sets one up: it costs as much as a layer of ours.
        telemetry={"tracing": False, "metrics": False, "logs": False},
        lifespan=lambda _app: _lifespan(settings, clock, metrics, readiness, dispatches=dispatches),
    )
    app.include_router(meta.build_router(settings=settings, readiness=readiness, metrics=metrics))
    app.include_router(docs.build_router(app, settings))
    app.include_router(page_routes.build_router(settings))
    app.include_router(mail_routes.build_router(settings))
    for router in ROUTERS:
        app.include_router(router, prefix=settings.API_V1_STR)
    openapi.install(app)
    answers = problems.ErrorAnswers(faults.translate)
    problems.install(app, answers)
    layers.install(
        app,
        settings=settings,
        clock=clock,
        metrics=metrics,
        answers=answers,
        access_line=access_line,
        larger_bodies=body_limits(settings),
    )
    return app


def create_served_app() -> FastAPI:
    """Build the application of a server's process, whose parts all live as long as it does.

    What is there by now is never garbage, and the collector need not look at it again: that was 7 to 15 % of the CPU, and
    pauses of a tenth of a second. (To have it come less often as well made only its pauses longer.)
    """
    app = create_app()
    gc.collect()
    gc.freeze()
    return app


@asynccontextmanager
async def _lifespan(
    settings: Settings, clock: Clock, metrics: Metrics, readiness: Readiness, *, dispatches: bool
) -> AsyncIterator[Mapping[str, Any]]:
    async with opened(
        settings, clock=clock, batches=metrics.batch_observer, attempts=metrics.observe_attempt
    ) as resources:
        readiness.add("database", lambda: _check_database(resources.database))
        # Not required: without it everything but files is served as ever.
        readiness.add("storage", resources[Storage].check, required=False)
        if settings.REDIS_URL is not None:
            # Without it everything is slower, and nothing is wrong.
            readiness.add("redis", lambda: _check_redis(resources[Redis]), required=False)
        _watch_pool(metrics, resources.database)
        metrics.add_gauge(
            "notification_streams", "Open streams of notifications", lambda: resources[InboxStreams].open
        )
        background: list[asyncio.Task[None]] = []
        try:
            background += (
                asyncio.create_task(resources[ViewCounter].run(), name="views"),
                asyncio.create_task(resources[InboxStreams].run(), name="streams"),
                asyncio.create_task(metrics.watch(), name="metrics"),
                asyncio.create_task(resources[Signals].run(), name="signals"),
                asyncio.create_task(build_backlog(resources, metrics.show_backlog).run(), name="backlog"),
                asyncio.create_task(_end_with_parent(), name="parent"),
            )
            if dispatches:
                background.append(asyncio.create_task(dispatch(resources), name="dispatcher"))
            if settings.is_local and not await _prepared(resources):
                background.append(asyncio.create_task(_prepare_later(resources), name="preparation"))
            with _drained(readiness, 0 if settings.is_local else DRAIN_SECONDS):
                yield {"resources": resources, STOPPING_KEY: resources[InboxStreams].close}
        finally:
            readiness.draining = True
            for task in background:
                task.cancel()
            await asyncio.gather(*background, return_exceptions=True)
            metrics.close()


@contextmanager
def _drained(readiness: Readiness, seconds: float) -> Iterator[None]:
    """Have SIGTERM make the process not ready at once, and reach the server ``seconds`` later.

    The server closes its socket as soon as it hears of it. Whoever spreads the requests must have seen before that
    this process wants none, or some of them are refused.
    """
    stop = signal.getsignal(signal.SIGTERM)
    if not seconds or not callable(stop) or threading.current_thread() is not threading.main_thread():
        yield
        return
    loop = asyncio.get_running_loop()

    def begin() -> None:
        # The process that started this worker may pass on what the whole group was sent already.
        if not readiness.draining:
            readiness.draining = True
            log.info("told to end; not ready any more", seconds=seconds)
            loop.call_later(seconds, stop, signal.SIGTERM, None)

    signal.signal(signal.SIGTERM, lambda *_: loop.call_soon_threadsafe(begin))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, stop)


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


async def _prepare_later(resources: Resources) -> None:
    prepared = False
    while not prepared:
        await asyncio.sleep(RETRY_PREPARATION)
        try:
            prepared = await _prepared(resources)
        except Exception:
            # A task that ended here would leave a server that is never ready, and nobody would know why.
            log.exception("the migration failed; it is tried again")
    log.info("the database is back and migrated")


async def _end_with_parent() -> None:
    """End this worker when the process that started it was killed: nobody else would, and it would keep the port."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return
    gone = asyncio.Event()
    asyncio.get_running_loop().add_reader(parent.sentinel, gone.set)
    await gone.wait()
    asyncio.get_running_loop().remove_reader(parent.sentinel)
    log.error("the process that started this worker is gone")
    signal.raise_signal(signal.SIGTERM)


async def _check_database(db: Database) -> None:
    if not migrations.suits(await migrations.current(db)):
        raise RuntimeError("the schema is not at this version's revision")


async def _check_redis(redis: Redis) -> None:
    await redis.ping()


def _watch_pool(metrics: Metrics, db: Database) -> None:
    gates = {"read": db.read_gate, "write": db.write_gate} if db.is_sqlite else {"pool": db.write_gate}
    for name, gate in gates.items():
        for reading, text in (
            ("size", "Connections there are"),
            ("held", "Connections in use"),
            ("waiting", "Requests that wait for a connection"),
        ):
            metrics.add_gauge(f"database_{name}_{reading}", text, partial(getattr, gate, reading))
