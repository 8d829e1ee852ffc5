"""The group writer in simulated schedules: jobs are refused, held up, poisonous; callers leave; the database goes and comes."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError

from tests.simulation.loop import SimulatedLoop, play, play_all
from tradepost.core.batching import group_writer
from tradepost.core.batching.group_writer import GroupWriter
from tradepost.core.database.postgres_connection import lock_patience
from tradepost.core.deadlines import Deadline, DeadlineExceeded, Stage, deadline, taken_back
from tradepost.core.errors import Conflict, DatabaseUnavailable

LONGEST = 0.2
"""Seconds that a transaction takes at most, without its waits for locks."""
HELD = group_writer.HELD_SECONDS


class LockNotAvailable(Exception):
    """What the driver raises for a lock that is held too long."""

    sqlstate = "55P03"


class Job:
    """Something to be written: whether it is refused, poisons its group, or needs a lock that is held until then."""

    def __init__(self, number: int, kind: str, held_until: float) -> None:
        self.number = number
        self.kind = kind
        self.held_until = held_until
        self.began = 0
        """Transactions that it was in."""
        self.patience: list[int] = []
        """How long its lock was waited for each time, in milliseconds."""


class Scene:
    """A group writer, and a database of all that it has written."""

    def __init__(self, loop: SimulatedLoop) -> None:
        chance = self.chance = loop.chance
        self.loop = loop
        self.max_group = chance.choice([1, 4, 64])
        self.writer: GroupWriter[Job, int] = GroupWriter(self.write, max_group=self.max_group)
        self.written: Counter[int] = Counter()
        self.in_groups = 0
        self.apart = 0
        self.away = chance.choice([0.0, 0.0, 0.1])
        self.troubled = chance.choice([0.0, 0.2])
        self.held_for = chance.choice([0.0, 0.3, 3.0, 2 * HELD])

    async def write(self, jobs: Sequence[Job]) -> list[Any]:
        patience = lock_patience.get()
        assert patience is not None
        apart = any(job.patience for job in jobs)
        assert len(jobs) == 1 or (not apart and len(jobs) <= self.max_group and patience == 250)
        for job in jobs:
            job.began += 1
        self.apart += apart
        self.in_groups += not apart
        assert self.in_groups <= 1
        assert self.apart <= group_writer.APART
        try:
            await self.work(jobs, patience)
        except asyncio.CancelledError:
            if taken_back():
                raise DeadlineExceeded from None
            raise
        finally:
            self.apart -= apart
            self.in_groups -= not apart
        self.written.update(job.number for job in jobs if job.kind != "refused")
        return [Conflict(str(job.number)) if job.kind == "refused" else job.number for job in jobs]

    async def work(self, jobs: Sequence[Job], patience: int) -> None:
        await asyncio.sleep(self.chance.uniform(0, LONGEST / 2))
        for job in jobs:
            if job.held_until > self.loop.time() + patience / 1000:
                await asyncio.sleep(patience / 1000)
                if len(jobs) == 1:
                    job.patience.append(patience)
                raise OperationalError("UPDATE", {}, LockNotAvailable())
            await asyncio.sleep(max(0.0, job.held_until - self.loop.time()))
            if job.kind == "poison":
                raise LookupError(job.number)
        if self.chance.random() < self.away:
            raise DatabaseUnavailable
        await asyncio.sleep(self.chance.uniform(0, LONGEST / 2))

    async def submit(self, job: Job) -> None:
        """Submit a job as a caller does, and look at what it is told."""
        limit, came = Deadline(), self.loop.time()
        deadline.set(limit)
        try:
            told: Any = await self.writer.submit(job)
        except asyncio.CancelledError:
            # Written or not, it is not written later.
            assert limit.stage is (Stage.WRITING if job.began else Stage.NOTHING)
            raise
        except Exception as error:  # noqa: BLE001 - what it may be is said below
            told = error
        assert job.patience == [25, 50, 100, 200, 400, *[500] * len(job.patience)][: len(job.patience)]
        assert self.written[job.number] == isinstance(told, int)
        match told:
            case Conflict():
                assert job.kind == "refused"
                assert str(told) == str(job.number)
            case LookupError():
                assert job.kind == "poison"
                assert told.args == (job.number,)
            case OperationalError():
                assert job.held_until > self.loop.time()
                assert HELD <= self.loop.time() - came <= HELD + 60
            case DatabaseUnavailable():
                assert self.away
            case _:
                assert told == job.number
                assert job.kind == "fine"
                assert limit.stage is Stage.WRITING

    async def caller(self, number: int) -> Job:
        chance = self.chance
        kind = chance.choice(["refused", "poison"]) if chance.random() < self.troubled else "fine"
        await asyncio.sleep(chance.choice([0, 0, chance.random()]))
        held = chance.random() < 0.2 and self.held_for
        job = Job(number, kind, self.loop.time() + chance.uniform(0, self.held_for) if held else 0.0)
        submission = asyncio.create_task(self.submit(job))
        leaves = chance.random() < 0.2
        if leaves:
            await asyncio.sleep(chance.choice([0, 0, chance.random()]))
            submission.cancel()
        try:
            await submission
        except asyncio.CancelledError:
            assert leaves
        if not held:
            self.unheld(job)
        return job

    def unheld(self, job: Job) -> None:
        """Look at one that needs no lock of another's: it was neither tried apart nor as often as those are."""
        assert not job.patience
        assert job.began <= 2

    async def play(self) -> None:
        began = self.loop.time()
        number = self.chance.choice([2, 10, 25])
        jobs = await asyncio.gather(*(self.caller(number) for number in range(number)))
        while self.in_groups or self.apart:  # noqa: ASYNC110 - their end is no event
            await asyncio.sleep(1)
        assert set(self.written.values()) <= {1}
        assert self.loop.time() - began < HELD + 60
        self.away = 0.0
        await self.submit(Job(number, "fine", 0.0))
        assert all(self.written[job.number] == 0 for job in jobs if job.kind != "fine")


def test_each_is_told_what_became_of_its_own_job() -> None:
    async def scene(loop: SimulatedLoop) -> None:
        await Scene(loop).play()

    play_all(200, scene)


def test_whoever_needs_no_lock_waits_for_nobody_elses() -> None:
    """Some need a lock that is held for minutes: whoever comes meanwhile is answered as soon as ever."""

    async def scene(loop: SimulatedLoop) -> None:
        scene = Scene(loop)
        scene.away = scene.troubled = 0.0
        scene.max_group = 64
        scene.writer = GroupWriter(scene.write)
        took: list[float] = []

        async def free(number: int) -> None:
            await asyncio.sleep(loop.chance.uniform(0, 8))
            came = loop.time()
            await scene.writer.submit(Job(number, "fine", 0.0))
            took.append(loop.time() - came)

        async def held(number: int) -> None:
            await asyncio.sleep(loop.chance.uniform(0, 8))
            with pytest.raises(OperationalError):
                await scene.writer.submit(Job(number, "fine", 1e9))

        await asyncio.gather(
            *(free(number) for number in range(12)), *(held(-number) for number in range(1, 4))
        )
        # At worst: the group before it waits for a lock and is done one by one, and its own likewise.
        assert max(took) <= 2 * (group_writer.GROUP_PATIENCE / 1000 + LONGEST) + 15 * (LONGEST + 0.025)
        assert sorted(took)[6] <= 1.5
        assert set(scene.written) == set(range(12))

    play_all(60, scene)


def test_who_is_held_up_tries_again_later_and_later() -> None:
    async def scene(loop: SimulatedLoop) -> tuple[list[float], float]:
        pauses: list[float] = []
        last = 0.0

        async def write(_jobs: Sequence[str]) -> Sequence[int]:
            nonlocal last
            pauses.append(loop.time() - last)
            last = loop.time()
            raise OperationalError("UPDATE", {}, LockNotAvailable())

        writer: GroupWriter[str, int] = GroupWriter(write)
        with pytest.raises(OperationalError):
            await writer.submit("held")
        return pauses, loop.time()

    pauses, ended = play(0, scene)
    assert pauses == pytest.approx([0, 0.02, 0.04, 0.08, 0.16, 0.32, *[0.5] * (len(pauses) - 6)])
    assert HELD <= ended < HELD + 0.5
