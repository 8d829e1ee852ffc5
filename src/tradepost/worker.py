"""The worker process: a dispatcher of messages and recurring jobs, until SIGTERM.

It takes deliveries off the servers: a slow mail server or webhook costs no request any time there.
"""

import asyncio
import signal
from contextlib import nullcontext
from typing import Final

import structlog

from tradepost.bootstrap import build_backlog, dispatch, fault_work, opened
from tradepost.core.clock import AlignedClock, Clock, SystemClock
from tradepost.core.database.shared_clock import clock_work
from tradepost.core.finishing import alongside
from tradepost.core.observability import logging
from tradepost.core.observability.metrics import Metrics
from tradepost.core.observability.telemetry import Telemetry
from tradepost.core.resources import Resources
from tradepost.core.settings.advice import misspelt, questionable, surrounding_names
from tradepost.core.settings.settings import Settings
from tradepost.core.signals.signals import Signals
from tradepost.instruments import SchemaSeen, add_gauges

STOPS: Final = (signal.SIGTERM, signal.SIGINT)

log = structlog.stdlib.get_logger(__name__)


async def work(settings: Settings, *, clock: Clock | None = None, metrics_port: int = 0) -> None:
    """Deliver until SIGTERM or SIGINT; deliveries under way then get a few seconds, the rest is handed back.

    A database that is away or not migrated yet is waited for. ``clock`` is the machine's own by default;
    ``metrics_port`` is where Prometheus is answered, 0 for nowhere.
    """
    clock = clock or AlignedClock(SystemClock())
    telemetry = Telemetry.open(settings, clock, service="tradepost-worker")
    logging.configure(
        settings.LOG_LEVEL,
        readable=None if settings.is_local else False,
        clock=clock,
        reports=telemetry.reports,
    )
    for warning in (*questionable(settings), *misspelt(surrounding_names())):
        log.warning("questionable setting", setting=warning)
    metrics = Metrics(clock=clock)
    try:
        with metrics.served(metrics_port) if metrics_port else nullcontext():
            async with opened(
                settings,
                clock=clock,
                batches=metrics.batch_observer,
                attempts=metrics.observe_attempt,
                tracing=telemetry.tracing,
            ) as resources:
                resources.put(SchemaSeen, SchemaSeen())
                add_gauges(metrics, resources)
                await _deliver(resources, metrics)
        metrics.close()
    finally:
        await telemetry.close()


async def _deliver(resources: Resources, metrics: Metrics) -> None:
    loop = asyncio.get_running_loop()
    work_beside = {
        "signals": resources[Signals].run(),
        "backlog": build_backlog(resources, metrics.show_backlog).run(),
        "metrics": metrics.watch(),
    }
    async with alongside(
        work_beside | fault_work(resources) | clock_work(resources.database, resources.clock)
    ):
        dispatching = asyncio.create_task(dispatch(resources), name="dispatcher")
        for number in STOPS:
            loop.add_signal_handler(number, dispatching.cancel)
        log.info("delivering messages")
        try:
            await dispatching
        except asyncio.CancelledError:
            log.info("told to end; what was not done is handed back")
        finally:
            for number in STOPS:
                loop.remove_signal_handler(number)
