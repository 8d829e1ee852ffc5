"""Recurring jobs: run when due, by one process of all, and again whatever became of the last run."""

import asyncio
from typing import Any

import pytest
from sqlalchemy import select

from tests.clock import MovableClock
from tests.core.messaging.post import until
from tradepost.core.database.engines import Database
from tradepost.core.messaging.jobs import GRACE, JobRepository, JobRunner, ScheduledJob
from tradepost.core.messaging.messages import RecurringJob, Subscriptions


class Chore:
    """A job that counts its runs; it fails, or hangs, as it is told."""

    def __init__(self) -> None:
        self.runs = 0
        self.failure: Exception | None = None
        self.held: asyncio.Event | None = None

    async def __call__(self) -> None:
        self.runs += 1
        if self.held is not None:
            await self.held.wait()
        if self.failure is not None:
            raise self.failure


@pytest.fixture
def clock() -> MovableClock:
    return MovableClock()


@pytest.fixture
def chore() -> Chore:
    return Chore()


def runner(database: Database, clock: MovableClock, chore: Chore, *, timeout: float = 60.0) -> JobRunner:
    return JobRunner(RecurringJob("tests.chore", 300.0, chore, timeout), database=database, clock=clock)


async def row(database: Database) -> ScheduledJob:
    async with database.read() as db:
        return (await db.scalars(select(ScheduledJob))).one()


async def test_a_job_runs_at_once_and_then_at_its_times(
    database: Database, clock: MovableClock, chore: Chore
) -> None:
    one, other = (runner(database, clock, chore) for _ in range(2))
    for runs in (1, 2, 3):
        assert await one.run_if_due() == 60.0
        assert chore.runs == runs
        assert 0 < await other.run_if_due() <= 60.0
        assert chore.runs == runs
        clock.move(301)
        one, other = other, one


async def test_one_of_many_runs_it(database: Database, clock: MovableClock, chore: Chore) -> None:
    databases = [Database(database.options) for _ in range(6)]
    chore.held = asyncio.Event()
    tasks = [asyncio.create_task(runner(each, clock, chore).run_if_due()) for each in databases]
    await until(lambda: sum(task.done() for task in tasks) == 5)
    chore.held.set()
    await asyncio.gather(*tasks)
    assert chore.runs == 1
    for each in databases:
        await each.close()


async def test_a_job_that_fails_is_run_again_at_its_next_time(
    database: Database, clock: MovableClock, chore: Chore
) -> None:
    chore.failure = ValueError("no broom")
    one = runner(database, clock, chore)
    await one.run_if_due()
    failed = await row(database)
    assert (failed.error, failed.lease) == ("ValueError: no broom", None)
    chore.failure = None
    clock.move(301)
    await one.run_if_due()
    assert chore.runs == 2
    assert (await row(database)).error is None


async def test_a_job_that_takes_too_long_is_broken_off(
    database: Database, clock: MovableClock, chore: Chore
) -> None:
    chore.held = asyncio.Event()
    await runner(database, clock, chore, timeout=0.05).run_if_due()
    assert (await row(database)).error == "took too long"


async def test_a_stop_hands_the_job_back(database: Database, clock: MovableClock, chore: Chore) -> None:
    chore.held = asyncio.Event()
    one = runner(database, clock, chore)
    task = asyncio.create_task(one.run_if_due())
    await until(lambda: chore.runs == 1)
    one.stop()
    await task
    handed_back = await row(database)
    assert (handed_back.lease, handed_back.due_at <= clock.now()) == (None, True)


async def test_a_stop_while_a_job_is_being_taken_begins_no_run(
    database: Database, clock: MovableClock, chore: Chore, monkeypatch: pytest.MonkeyPatch
) -> None:
    chore.held = asyncio.Event()
    one = runner(database, clock, chore)
    claim = JobRepository.claim

    async def interrupted(*args: Any, **values: Any) -> bool:
        taken = await claim(*args, **values)
        one.stop()
        return taken

    monkeypatch.setattr(JobRepository, "claim", interrupted)
    async with asyncio.timeout(20):
        await one.run_if_due()
    assert chore.runs == 0
    handed_back = await row(database)
    assert (handed_back.lease, handed_back.due_at <= clock.now()) == (None, True)


async def test_a_clock_that_was_a_year_ahead_puts_no_job_off_for_a_year(
    database: Database, clock: MovableClock, chore: Chore
) -> None:
    clock.move(365 * 24 * 3600)
    await runner(database, clock, chore).run_if_due()
    clock.move(-365 * 24 * 3600)
    one = runner(database, clock, chore)
    await one.run_if_due()
    assert chore.runs == 2
    clock.move(-200)
    await one.run_if_due()
    assert chore.runs == 2, "clocks that differ a little do not make a job run more often"


async def test_a_killed_process_holds_a_job_up_until_its_lease_ends(
    database: Database, clock: MovableClock, chore: Chore
) -> None:
    hung = chore.held = asyncio.Event()
    killed = asyncio.create_task(runner(database, clock, chore).run_if_due())
    await until(lambda: chore.runs == 1)
    chore.held = None
    other = runner(database, clock, chore)
    await other.run_if_due()
    assert chore.runs == 1
    clock.move(60 + GRACE + 1)
    await other.run_if_due()
    assert chore.runs == 2
    due_at = (await row(database)).due_at
    # What the first would say now counts for nothing.
    hung.set()
    await killed
    assert (await row(database)).due_at == due_at


def test_no_two_jobs_have_one_name(chore: Chore) -> None:
    subscriptions = Subscriptions()
    subscriptions.every("tests.chore", 1, chore)
    with pytest.raises(ValueError, match=r"tests\.chore"):
        subscriptions.every("tests.chore", 1, chore)
