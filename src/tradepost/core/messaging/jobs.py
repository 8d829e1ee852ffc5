"""Recurring jobs: a row per job says when it is due, and a lease on it keeps all processes but one away."""

import asyncio
from datetime import datetime, timedelta
from typing import Final

import structlog
from sqlalchemy import String, or_, select, update
from sqlalchemy.orm import Mapped, mapped_column

from tradepost.core.clock import Clock
from tradepost.core.database.elements import upsert
from tradepost.core.database.engines import Database
from tradepost.core.database.models import Base
from tradepost.core.database.repository import Repository
from tradepost.core.messaging.failures import describe, is_away
from tradepost.core.messaging.messages import NAME_LENGTH, RecurringJob
from tradepost.core.messaging.outbox import ERROR_LENGTH
from tradepost.core.observability.tallies import JOB_RUNS, JOB_SECONDS

LONGEST_POLL_SECONDS: Final = 60.0
"""Seconds until a process looks again at a job that another one holds."""
GRACE: Final = 15.0
"""Seconds beyond its time limit for which a run keeps others away."""
CLOCKS_DIFFER: Final = 300.0
"""Seconds by which the clocks of two machines may differ."""

log = structlog.stdlib.get_logger(__name__)


class ScheduledJob(Base):
    """When a job is due. One guarded statement claims it and one settles it, so that only one process succeeds."""

    __tablename__ = "jobs"

    name: Mapped[str] = mapped_column(String(NAME_LENGTH), primary_key=True)
    due_at: Mapped[datetime]
    """When it may begin; of one that is running, when its lease ends."""
    lease: Mapped[str | None] = mapped_column(String(64))
    ended_at: Mapped[datetime | None]
    error: Mapped[str | None] = mapped_column(String(ERROR_LENGTH))
    """Why its last run failed."""


class JobRepository(Repository):
    """When jobs are due."""

    async def ensure(self, name: str, *, due_at: datetime) -> None:
        """Have a row for a job, due at that moment if there was none."""
        await self.db.execute(upsert(ScheduledJob).values(name=name, due_at=due_at).on_conflict_do_nothing())

    async def due_at(self, name: str) -> datetime | None:
        """Return when a job is due."""
        return await self.db.scalar(select(ScheduledJob.due_at).where(ScheduledJob.name == name))

    async def claim(self, name: str, *, now: datetime, latest: datetime, lease: str, until: datetime) -> bool:
        """Claim a job that is due; False when it is not due, or another process holds it.

        A job that is due after ``latest`` was postponed by a clock that was far ahead: it counts as due now.
        """
        taken = await self.db.scalar(
            update(ScheduledJob)
            .where(ScheduledJob.name == name, or_(ScheduledJob.due_at <= now, ScheduledJob.due_at > latest))
            .values(lease=lease, due_at=until)
            .returning(ScheduledJob.name)
        )
        return taken is not None

    async def settle(
        self, name: str, lease: str, *, due_at: datetime, now: datetime, error: str | None
    ) -> None:
        """Set when a job is due again, unless another process has taken it over."""
        await self.db.execute(
            update(ScheduledJob)
            .where(ScheduledJob.name == name, ScheduledJob.lease == lease)
            .values(lease=None, due_at=due_at, ended_at=now, error=error)
        )


class JobRunner:
    """Runs one job when it is due and no other process does."""

    def __init__(self, job: RecurringJob, *, database: Database, clock: Clock) -> None:
        self.job = job
        self._database = database
        self._clock = clock
        self._known = False
        self._stop = asyncio.Event()
        self._running: asyncio.Task[str | None] | None = None

    def stop(self) -> None:
        """Begin no other run, and cancel the current one."""
        self._stop.set()
        if self._running is not None:
            self._running.cancel()

    async def step(self) -> None:
        """Run the job if this process can claim it, and wait until it may be due again."""
        pause = await self.run_if_due()
        try:
            # Jitter keeps the processes from looking in the same moment.
            async with asyncio.timeout(pause + min(1.0, self.job.seconds / 10) * self._clock.chance()):
                await self._stop.wait()
        except TimeoutError:
            pass

    async def run_if_due(self) -> float:
        """Run the job if it is due and free; return in how many seconds to look again."""
        name, lease, now = self.job.name, self._clock.token(), self._clock.now()
        until = now + timedelta(seconds=self.job.timeout + GRACE)
        latest = max(until, now + timedelta(seconds=self.job.seconds)) + timedelta(seconds=CLOCKS_DIFFER)
        async with self._database.transaction() as db:
            jobs = JobRepository(db)
            if not self._known:
                await jobs.ensure(name, due_at=now)
            taken = await jobs.claim(name, now=now, latest=latest, lease=lease, until=until)
            due_at = None if taken else await jobs.due_at(name)
        # Only after the commit: before it the row might still be rolled back.
        self._known = taken or due_at is not None
        if taken:
            return await self._run(lease)
        wait = 0.0 if due_at is None else (due_at - self._clock.now()).total_seconds()
        return min(max(wait, 0.0), LONGEST_POLL_SECONDS)

    async def _run(self, lease: str) -> float:
        pause = self.job.seconds
        # Stopped while the job was being claimed, there is no run to cancel: the claim is returned.
        if self._stop.is_set():
            return await self._settled(lease, pause=0.0, error=None)
        self._running = asyncio.create_task(self._attempt(), name=self.job.name)
        began, outcome = self._clock.monotonic(), "stopped"
        try:
            error = await self._running
            outcome = "done" if error is None else "failed"
        except asyncio.CancelledError:
            if not self._stop.is_set():
                raise
            error, pause = None, 0.0
        finally:
            JOB_RUNS.add(self.job.name, outcome)
            JOB_SECONDS.add(self.job.name, amount=self._clock.monotonic() - began)
            self._running.cancel()
            self._running = None
        return await self._settled(lease, pause=pause, error=error)

    async def _settled(self, lease: str, *, pause: float, error: str | None) -> float:
        now = self._clock.now()
        async with self._database.transaction() as db:
            await JobRepository(db).settle(
                self.job.name, lease, due_at=now + timedelta(seconds=pause), now=now, error=error
            )
        return min(pause, LONGEST_POLL_SECONDS)

    async def _attempt(self) -> str | None:
        try:
            async with asyncio.timeout(self.job.timeout):
                await self.job.run()
        except Exception as error:
            reason = describe(error.__cause__ or error) if is_away(error) else describe(error)
            log.warning(
                "a recurring job failed; it is run again at its next time",
                job=self.job.name,
                reason=reason,
                exc_info=None if is_away(error) else error,
            )
            return reason
        return None
