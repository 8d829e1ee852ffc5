"""Deliveries over one channel: claimed under a lease a few at a time, carried out concurrently, settled by group commit."""

import asyncio
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Final

import structlog

from tradepost.core.batching.group_writer import GroupWriter
from tradepost.core.clock import Clock
from tradepost.core.database.engines import Database
from tradepost.core.database.faults import translate
from tradepost.core.errors import Unavailable
from tradepost.core.messaging.failures import describe
from tradepost.core.messaging.messages import Channel, Subscriptions
from tradepost.core.messaging.outcomes import Claimed, Outcome, Settlement
from tradepost.core.messaging.repository import MessageRepository
from tradepost.core.messaging.retry_policy import (
    TAKEN_OVER,
    TAKEN_OVER_TOO_OFTEN,
    recognised,
    settlement_after,
)
from tradepost.core.observability.incidents import Incidents
from tradepost.core.observability.server_timing import Timing, timing
from tradepost.core.observability.spans import Span, Tracing
from tradepost.core.observability.trace_context import traceparent

SETTLE_PAUSE: Final = 0.5
"""Seconds between two tries to settle a message, while the database is away."""
SETTLE_GROUP: Final = 200
"""Messages that are settled in one transaction, at most."""

ObserveAttempt = Callable[[str, Outcome, float], None]
"""Called after each attempt with the channel, the outcome and the seconds it took."""

log = structlog.stdlib.get_logger(__name__)


class Settler:
    """Group commit for settlements: those of all channels that end at the same time share one transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._writer: GroupWriter[Settlement, bool] = GroupWriter(self._write, max_group=SETTLE_GROUP)

    async def settle(self, settlement: Settlement) -> bool:
        """Record a settlement; False when the lease was lost, and another process settles the message."""
        return await self._writer.submit(settlement)

    async def _write(self, settlements: Sequence[Settlement]) -> list[bool]:
        async with self._database.transaction() as db:
            found = await MessageRepository(db).settle(settlements)
        return [settlement.message.id in found for settlement in settlements]


class Deliveries:
    """The deliveries of one channel in this process, at most ``concurrency`` at a time.

    Each channel has a limit of its own, so that a receiver that hangs holds up no other channel.
    """

    def __init__(
        self,
        channel: Channel,
        *,
        database: Database,
        subscriptions: Subscriptions,
        settler: Settler,
        clock: Clock,
        observe: ObserveAttempt,
        tracing: Tracing | None = None,
    ) -> None:
        self.channel = channel
        self._database = database
        self._subscriptions = subscriptions
        self._settler = settler
        self._clock = clock
        self._observe = observe
        self._tracing = tracing
        self._incidents = Incidents(clock, log.info)
        self._running: set[asyncio.Task[None]] = set()
        self._delivering: set[asyncio.Task[None]] = set()
        self._something_due = True
        self._changed = asyncio.Event()
        self._stopping = False

    @property
    def running(self) -> int:
        """How many deliveries are under way."""
        return len(self._running)

    def wake(self) -> None:
        """Claim what is due as soon as a delivery may begin."""
        self._something_due = True
        self._changed.set()

    def stop(self) -> None:
        """Claim nothing more."""
        self._stopping = True
        self._changed.set()

    async def step(self) -> None:
        """Wait until something is due and a delivery may begin; claim as many as may begin, and start them."""
        while not (self._something_due and self._free) and not self._stopping:
            self._changed.clear()
            await self._changed.wait()
        if not self._stopping:
            await self._take()

    async def deliver_due(self) -> int:
        """Deliver one claim of what is due, to its end; return the number of messages."""
        taken = await self._take()
        while self._running:
            await asyncio.wait(self._running)
        return taken

    async def finish(self, seconds: float) -> None:
        """Wait so many seconds for what is under way; cancel the rest and return it to the outbox."""
        if self._running:
            await asyncio.wait(self._running, timeout=seconds)
        for task in self._delivering:
            task.cancel()
        if self._running:
            # For the settlements of what was returned; a delivery that ignores its cancellation is left behind.
            await asyncio.wait(self._running, timeout=seconds)

    @property
    def _free(self) -> int:
        return self.channel.concurrency - len(self._running)

    async def _take(self) -> int:
        free = self._free
        # Before the claim, not after it: a signal that arrives meanwhile may be about a row that the claim missed.
        self._something_due = False
        try:
            claimed = await self._claim(free)
        except BaseException:
            self._something_due = True
            raise
        self._something_due |= len(claimed) == free
        for message in claimed:
            task = asyncio.create_task(self._handle(message), name=f"message {message.id}")
            self._running.add(task)
            self._delivering.add(task)
            task.add_done_callback(self._done)
        return len(claimed)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        self._delivering.discard(task)
        self._changed.set()

    async def _claim(self, limit: int) -> list[Claimed]:
        now = self._clock.now()
        held = timedelta(seconds=self.channel.timeout + self.channel.grace)
        async with self._database.transaction() as db:
            return await MessageRepository(db).claim(
                self.channel.name, now=now, limit=limit, lease=self._clock.token(), until=now + held
            )

    async def _handle(self, message: Claimed) -> None:
        span = self._begin_span(message)
        began = self._clock.monotonic()
        lasts = self.channel.timeout + self.channel.grace
        settlement = await self._attempted(message)
        took = self._clock.monotonic() - began
        task = asyncio.current_task()
        if task is not None:
            # Not to be cancelled from here on: the receiver has the message already, and the table must say so.
            self._delivering.discard(task)
        outcome = settlement.outcome if await self._settled(settlement, until=began + lasts) else Outcome.LOST
        self._observe(self.channel.name, outcome, took)
        if span is not None:
            facts = {"tradepost.message.id": message.id, "tradepost.attempt": message.attempts}
            span.end(
                facts=facts | {"tradepost.outcome": outcome.value},
                failure=None if outcome in {Outcome.DONE, Outcome.RETURNED} else outcome.value,
            )
        if outcome in {Outcome.DEAD, Outcome.LOST}:
            log.warning(
                "message given up" if outcome is Outcome.DEAD else "message taken over by another process",
                message_id=message.id,
                subscription=message.subscription,
                attempts=message.attempts,
                reason=settlement.error,
            )

    def _begin_span(self, message: Claimed) -> Span | None:
        """Have this task go on with the trace of a message; return the span of the attempt, where spans are sent."""
        if self._tracing is None:
            traceparent.set(message.traceparent)
            return None
        span = self._tracing.begin(
            f"deliver {message.subscription}", kind="consumer", cause=message.traceparent
        )
        traceparent.set(span.context)
        if span.is_recorded:
            timing.set(Timing(self._clock.monotonic, span=span))
        return span

    async def _attempted(self, message: Claimed) -> Settlement:
        if message.taken_over and message.attempts > TAKEN_OVER_TOO_OFTEN:
            return settlement_after(
                message, self.channel, self._clock, _EndedTooOften(f"again: {TAKEN_OVER}")
            )
        failure: Exception | None = None
        try:
            await self._deliver(message)
        except asyncio.CancelledError:
            if not self._stopping:
                raise
            now = self._clock.now()
            return Settlement(message, Outcome.RETURNED, now, now)
        except Exception as error:  # noqa: BLE001 - an error of a delivery decides about this message alone
            failure = error
        settlement = settlement_after(message, self.channel, self._clock, failure)
        if settlement.outcome is Outcome.RETRY and failure is not None:
            # What is away fails every attempt alike: one line, and then a count each minute.
            self._incidents.report(
                "deliveries fail, to be tried again",
                failure,
                channel=self.channel.name,
                subscription=message.subscription,
            )
            log.debug(
                "delivery failed, to be tried again",
                message_id=message.id,
                subscription=message.subscription,
                attempts=message.attempts,
                due_at=settlement.due_at,
                reason=settlement.error,
                exc_info=failure,
            )
        return settlement

    async def _deliver(self, message: Claimed) -> None:
        subscription, envelope = recognised(self._subscriptions, message, reacts=False)
        if subscription.deliver is None:
            raise TypeError(f"{subscription.name} delivers nothing")
        limit = asyncio.timeout(self.channel.timeout)
        try:
            async with limit:
                await subscription.deliver(envelope)
        except TimeoutError as error:
            # A time-out of the delivery's own says more than ours.
            if limit.expired():
                raise TimeoutError(f"more than {self.channel.timeout:g} s") from error
            raise

    async def _settled(self, settlement: Settlement, *, until: float) -> bool:
        """Settle a message, trying until its lease has ended."""
        while True:
            try:
                return await self._settler.settle(settlement)
            except Exception as error:
                passing = isinstance(translate(error) or error, Unavailable)
                if not passing or self._clock.monotonic() + SETTLE_PAUSE >= until:
                    log.warning(
                        "a message could not be settled; it is delivered again",
                        message_id=settlement.message.id,
                        outcome=settlement.outcome,
                        reason=describe(error.__cause__ or error),
                        # A database that is away says the same for every message.
                        exc_info=None if passing else error,
                    )
                    return False
            await asyncio.sleep(SETTLE_PAUSE)


class _EndedTooOften(Exception):
    """More than one process ended while it held the message: the next attempt waits as after a failure."""
