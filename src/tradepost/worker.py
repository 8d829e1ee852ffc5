"""The worker: delivers messages and runs recurring jobs until it is told to end."""

import asyncio
import signal
from typing import Final

import structlog

from tradepost.bootstrap import dispatch, opened
from tradepost.core import logging
from tradepost.core.clock import SystemClock
from tradepost.core.settings import Settings
from tradepost.core.signals import Signals

STOPS: Final = (signal.SIGTERM, signal.SIGINT)

log = structlog.stdlib.get_logger(__name__)


async def work(settings: Settings) -> None:
    """Deliver until SIGTERM or SIGINT; what is under way then gets a few seconds, the rest is handed back.

    A database that is away, or that nobody has migrated yet, is waited for.
    """
    clock = SystemClock()
    logging.configure(settings.LOG_LEVEL, readable=None if settings.is_local else False, clock=clock)
    loop = asyncio.get_running_loop()
    async with opened(settings, clock=clock) as parts:
        signals = asyncio.create_task(parts[Signals].run(), name="signals")
        dispatching = asyncio.create_task(dispatch(parts), name="dispatcher")
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
            signals.cancel()
            await asyncio.gather(signals, return_exceptions=True)
