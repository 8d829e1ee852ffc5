"""The dispatcher: delivers the messages of the outbox to their subscribers, and runs the recurring jobs."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Final

import structlog

from tradepost.core.clock import Clock
from tradepost.core.database.engines import Database
from tradepost.core.messaging.deliveries import Deliveries, ObserveAttempt, Settler
from tradepost.core.messaging.failures import describe, is_away
from tradepost.core.messaging.jobs import JobRunner
from tradepost.core.messaging.messages import REACTIONS, Subscriptions
from tradepost.core.messaging.outbox import MessageState
from tradepost.core.messaging.reactions import Reactions
from tradepost.core.messaging.repository import MessageRepository
from tradepost.core.observability.incidents import Incidents
from tradepost.core.observability.spans import Tracing
from tradepost.core.signals.signals import Signals

TOPIC: Final = "messages"
POLL_SECONDS: Final = 1.0
"""Seconds between two polls for what is due: signals may be lost, polling finds what they missed."""
HANG_SECONDS: Final = 3.0
"""Seconds beyond those for what a stopping dispatcher has under way in the database."""
STOP_SECONDS: Final = 5.0
"""How long deliveries may go on when the process stops."""
FIRST_PAUSE, LONGEST_PAUSE = 0.25, 5.0
"""Seconds between two tries while the database is away."""

PRUNE_EVERY: Final = 300.0
PRUNE_CHUNK: Final = 1_000
"""Rows deleted in one transaction: short enough not to hold up other writers."""
KEPT_DONE: Final = timedelta(days=1)
KEPT_DEAD: Final = timedelta(days=30)
READDRESS_EVERY: Final = 600.0
UNKNOWN_CHANNELS_KEPT: Final = timedelta(days=3)
"""How long expired messages stay whose channel no running version knows: an older release may come back."""

log = structlog.stdlib.get_logger(__name__)


class Dispatcher:
    """Runs a loop for the reactions, for each channel and for each job; any number of processes may run one.

    A loop of its own for each channel keeps one that hangs from delaying the others. The dispatcher is built before the
    subscriptions are filled, and reads them when it starts.
    """

    def __init__(
        self,
        database: Database,
        subscriptions: Subscriptions,
        signals: Signals,
        clock: Clock,
        *,
        observe: ObserveAttempt = lambda _channel, _outcome, _seconds: None,
        tracing: Tracing | None = None,
    ) -> None:
        self._database = database
        self._subscriptions = subscriptions
        self._signals = signals
        self._clock = clock
        self._observe = observe
        self._tracing = tracing
        self._stopping = asyncio.Event()
        self._poll_now = asyncio.Event()
        self._settler = Settler(database)
        self._reactions = Reactions(
            database=database, subscriptions=subscriptions, clock=clock, observe=observe, tracing=tracing
        )
        self._deliveries: dict[str, Deliveries] = {}
        self._jobs: dict[str, JobRunner] = {}
        self._incidents = Incidents(clock, log.error)
        self._away = False
        subscriptions.every("messages.prune", PRUNE_EVERY, self._prune)
        subscriptions.every("messages.readdress", READDRESS_EVERY, self._readdress)

    async def run(self) -> None:
        """Deliver until cancelled, then drain: nothing more is claimed, what is under way gets a few seconds, and the rest
        is returned to the outbox for other processes.
        """
        if self._stopping.is_set():
            raise RuntimeError("a dispatcher that was stopped is not started again; build another one")
        work = asyncio.create_task(self._work(), name="dispatcher's work")
        try:
            await asyncio.shield(work)
        except asyncio.CancelledError:
            self._stop()
            await asyncio.wait([work], timeout=STOP_SECONDS + HANG_SECONDS)
            # A database that says nothing is not waited for: leases end by themselves.
            work.cancel()
            await asyncio.gather(work, return_exceptions=True)
            raise

    async def drain(self) -> int:
        """Handle everything that is due by now, and the messages that this causes; return how many it were."""
        self._fill()
        handled = 0
        while True:
            counts = [await self._reactions.react_to_due()]
            counts += [await deliveries.deliver_due() for deliveries in self._deliveries.values()]
            if not any(counts):
                return handled
            handled += sum(counts)

    async def run_jobs(self) -> None:
        """Run, once, every job that is due."""
        self._fill()
        for runner in self._jobs.values():
            await runner.run_if_due()

    def _fill(self) -> None:
        for name, channel in self._subscriptions.channels().items():
            if name != REACTIONS.name and name not in self._deliveries:
                self._deliveries[name] = Deliveries(
                    channel,
                    database=self._database,
                    subscriptions=self._subscriptions,
                    settler=self._settler,
                    clock=self._clock,
                    observe=self._observe,
                    tracing=self._tracing,
                )
        for name, job in self._subscriptions.jobs.items():
            if name not in self._jobs:
                self._jobs[name] = JobRunner(job, database=self._database, clock=self._clock)

    async def _work(self) -> None:
        self._fill()
        stop_listening = self._signals.listen(TOPIC, self._on_signal)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._repeat("the poll for what is due", self._poll))
                group.create_task(self._repeat("reactions", self._reactions.step))
                for deliveries in self._deliveries.values():
                    name = f"deliveries by {deliveries.channel.name}"
                    group.create_task(self._repeat(name, deliveries.step))
                for runner in self._jobs.values():
                    group.create_task(self._repeat(f"the job {runner.job.name}", runner.step))
        finally:
            stop_listening()
        await asyncio.gather(*(deliveries.finish(STOP_SECONDS) for deliveries in self._deliveries.values()))

    def _stop(self) -> None:
        self._stopping.set()
        self._poll_now.set()
        self._reactions.stop()
        for deliveries in self._deliveries.values():
            deliveries.stop()
        for runner in self._jobs.values():
            runner.stop()

    def _on_signal(self, channels: str) -> None:
        if not channels:
            self._poll_now.set()
        for name in channels.split():
            self._wake(name)

    def _wake(self, channel: str) -> None:
        if channel == REACTIONS.name:
            self._reactions.wake()
        elif channel in self._deliveries:
            self._deliveries[channel].wake()

    async def _poll(self) -> None:
        """Wake the channels on which something is due, and set timers for those on which something soon will be."""
        self._poll_now.clear()
        # SQLite is read while another process writes to it for long: it is back when it can be written to.
        async with self._database.transaction() if self._away else self._database.read() as db:
            due = await MessageRepository(db).next_due([REACTIONS.name, *self._deliveries])
        now = self._clock.now()
        if self._away:
            self._away = False
            log.info("the database is back; messages are delivered again")
        loop = asyncio.get_running_loop()
        for channel, due_at in due.items():
            seconds = (due_at - now).total_seconds()
            if seconds <= 0:
                self._wake(channel)
            elif seconds <= POLL_SECONDS:
                loop.call_later(seconds, self._wake, channel)
        try:
            # Jitter keeps many processes from polling in the same moment.
            async with asyncio.timeout(POLL_SECONDS * (0.9 + self._clock.chance() / 5)):
                await self._poll_now.wait()
        except TimeoutError:
            pass

    async def _repeat(self, name: str, step: Callable[[], Awaitable[None]]) -> None:
        """Repeat a step until the dispatcher stops; log what it raises, and pause before the next one."""
        failures = 0
        while not self._stopping.is_set():
            try:
                await step()
            except Exception as error:  # noqa: BLE001 - a loop that ended here would leave its messages undelivered
                failures += 1
                self._log_failure(name, error)
                pause = min(FIRST_PAUSE * 2 ** min(failures, 10), LONGEST_PAUSE)
                try:
                    async with asyncio.timeout(pause * (0.5 + self._clock.chance() / 2)):
                        await self._stopping.wait()
                except TimeoutError:
                    pass
            else:
                failures = 0

    def _log_failure(self, name: str, error: Exception) -> None:
        if is_away(error):
            if not self._away:
                self._away = True
                log.warning(
                    "the database is away; messages wait for it", reason=describe(error.__cause__ or error)
                )
        else:
            # A database that takes no write fails every loop alike.
            self._incidents.report("a loop of the dispatcher failed, and goes on", error, part=name)

    async def _prune(self) -> None:
        now = self._clock.now()
        for state, kept in ((MessageState.DONE, KEPT_DONE), (MessageState.DEAD, KEPT_DEAD)):
            deleted = PRUNE_CHUNK
            while deleted == PRUNE_CHUNK:
                async with self._database.transaction() as db:
                    deleted = await MessageRepository(db).prune(state, before=now - kept, limit=PRUNE_CHUNK)

    async def _readdress(self) -> None:
        """Move messages to the channels that their subscriptions have in this release; an older or newer one wrote them."""
        async with self._database.transaction() as db:
            messages = MessageRepository(db)
            await messages.readdress(
                {name: one.channel.name for name, one in self._subscriptions.by_name.items()}
            )
            buried = await messages.bury_unknown_channels(
                [REACTIONS.name, *self._subscriptions.channels()],
                now=self._clock.now(),
                longer=UNKNOWN_CHANNELS_KEPT,
            )
        if buried:
            log.warning("messages of unknown channels given up", number=buried)
