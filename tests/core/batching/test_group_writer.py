"""Group writes: one transaction for many, and each caller is answered as if it had been alone in it."""

import asyncio
import gc
import weakref
from collections import Counter
from collections.abc import Sequence
from random import Random
from typing import Any

import pytest
from sqlalchemy.exc import IntegrityError, InterfaceError, OperationalError

from tradepost.core.batching.coalescer import MAX_WAITING
from tradepost.core.batching.group_writer import GroupWriter
from tradepost.core.deadlines import DeadlineExceeded
from tradepost.core.errors import Conflict, DatabaseUnavailable, Unavailable


class Store:
    """Writes numbers, a group at a time and all or nothing; negative ones are refused one by one.

    ``poison`` fails the group that it is in, ``away`` every group from then on. While ``held``, a group waits to be let go.
    """

    def __init__(self) -> None:
        self.groups: list[list[int]] = []
        self.written: list[int] = []
        self.poison: dict[int, Exception] = {}
        self.away: Exception | None = None
        self.held: asyncio.Event | None = None

    async def write(self, jobs: Sequence[int]) -> list[Any]:
        self.groups.append(list(jobs))
        await (self.held.wait() if self.held is not None else asyncio.sleep(0))
        for job in jobs:
            if job in self.poison:
                raise self.poison[job]
        if self.away is not None:
            raise self.away
        self.written += [job for job in jobs if job >= 0]
        return [Conflict(f"{job}") if job < 0 else job * job for job in jobs]

    def hold(self) -> None:
        self.held = asyncio.Event()

    def let_go(self) -> None:
        assert self.held is not None
        self.held.set()
        self.held = None


@pytest.fixture
def store() -> Store:
    return Store()


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def submitted(writer: GroupWriter[int, int], *jobs: int) -> list[asyncio.Task[int]]:
    """Submit jobs, one after the other, and wait until all are in the queue."""
    tasks = [asyncio.create_task(writer.submit(job)) for job in jobs]
    await settle()
    return tasks


async def outcomes(tasks: Sequence[asyncio.Task[int]]) -> list[Any]:
    """Return what each came to; a refusal as its words."""
    ended = await asyncio.gather(*tasks, return_exceptions=True)
    return [str(end) if isinstance(end, Exception) else end for end in ended]


async def in_one_group(store: Store, writer: GroupWriter[int, int], *jobs: int) -> list[asyncio.Task[int]]:
    """Submit jobs while another is being written, so that they are the next group, and let them go."""
    store.hold()
    (first,) = await submitted(writer, 0)
    tasks = await submitted(writer, *jobs)
    store.let_go()
    assert await first == 0
    return tasks


class TestGroups:
    async def test_a_job_alone_waits_for_nobody(self, store: Store) -> None:
        writer: GroupWriter[int, int] = GroupWriter(store.write)
        assert [await writer.submit(job) for job in (3, 4)] == [9, 16]
        assert store.groups == [[3], [4]]

    async def test_what_comes_during_a_group_is_the_next_one_in_order(self, store: Store) -> None:
        sizes: list[int] = []
        writer: GroupWriter[int, int] = GroupWriter(store.write, max_group=4, observe=sizes.append)
        tasks = await in_one_group(store, writer, *range(1, 11))
        assert await outcomes(tasks) == [job * job for job in range(1, 11)]
        assert store.groups == [[0], [1, 2, 3, 4], [5, 6, 7, 8], [9, 10]]
        assert store.written == list(range(11))
        assert sizes == [1, 4, 4, 2]

    async def test_a_group_is_waited_for_while_others_are_about_to_come(self, store: Store) -> None:
        pauses = iter([0.0, 0.05, 0.05])
        writer: GroupWriter[int, int] = GroupWriter(store.write, pause=lambda: next(pauses))
        assert await writer.submit(1) == 1
        tasks = await submitted(writer, 2)
        assert store.groups == [[1]]
        tasks += await submitted(writer, 3)
        assert await outcomes(tasks) == [4, 9]
        assert store.groups == [[1], [2, 3]]

        gone, kept = await submitted(writer, 4, 5)
        gone.cancel()
        assert await kept == 25
        assert store.groups[2:] == [[5]]

    async def test_who_leaves_while_a_group_is_waited_for_has_written_nothing(self, store: Store) -> None:
        writer: GroupWriter[int, int] = GroupWriter(store.write, pause=lambda: 0.01)
        tasks = await submitted(writer, 1, 2)
        for task in tasks:
            task.cancel()
        await asyncio.sleep(0.03)
        assert store.groups == []
        assert await writer.submit(3) == 9

    async def test_two_that_are_equal_are_two(self, store: Store) -> None:
        writer: GroupWriter[int, int] = GroupWriter(store.write)
        tasks = await in_one_group(store, writer, 7, 7, 7)
        assert await outcomes(tasks) == [49] * 3
        assert store.written == [0, 7, 7, 7]

    async def test_there_is_never_more_than_one_under_way(self, store: Store) -> None:
        under_way = most = 0

        async def write(jobs: Sequence[int]) -> list[Any]:
            nonlocal under_way, most
            under_way += 1
            most = max(most, under_way)
            done = await store.write(jobs)
            under_way -= 1
            return done

        writer: GroupWriter[int, int] = GroupWriter(write, max_group=3)

        async def client(number: int) -> None:
            for step in range(5):
                await writer.submit(10 * number + step)

        await asyncio.gather(*(client(number) for number in range(10)))
        assert most == 1
        # Each client's own are written in the order in which it sent them.
        for number in range(10):
            assert [job for job in store.written if job // 10 == number] == list(
                range(10 * number, 10 * number + 5)
            )


class TestFailures:
    async def test_one_that_is_refused_is_refused_alone(self, store: Store) -> None:
        writer: GroupWriter[int, int] = GroupWriter(store.write)
        tasks = await in_one_group(store, writer, 1, -2, 3, -2)
        assert await outcomes(tasks) == [1, "-2", 9, "-2"]
        # Nobody had to be written again for it.
        assert store.groups == [[0], [1, -2, 3, -2]]

    async def test_a_group_that_fails_is_written_one_by_one_and_the_culprit_fails_alone(
        self, store: Store
    ) -> None:
        writer: GroupWriter[int, int] = GroupWriter(store.write)
        store.poison = {2: IntegrityError("INSERT", {}, ValueError("2")), 5: LookupError("5")}
        tasks = await in_one_group(store, writer, 1, 2, -3, 4, 5, 6)
        assert (await outcomes(tasks))[2:] == ["-3", 16, "5", 36]
        with pytest.raises(IntegrityError):
            await tasks[1]
        assert store.groups == [[0], [1, 2, -3, 4, 5, 6], [1], [2], [-3], [4], [5], [6]]
        assert store.written == [0, 1, 4, 6]
        # The next ones are a group again.
        assert await outcomes(await in_one_group(store, writer, 7, 8)) == [49, 64]
        assert store.groups[-2:] == [[0], [7, 8]]

    async def test_one_that_is_told_to_come_back_does_not_send_the_others_away(self, store: Store) -> None:
        writer: GroupWriter[int, int] = GroupWriter(store.write)
        store.poison = {1: Unavailable("1")}
        tasks = await in_one_group(store, writer, 1, 2, 3)
        assert await outcomes(tasks) == ["1", 4, 9]

    async def test_an_error_goes_with_who_is_told_of_it(self, store: Store) -> None:
        """Nothing in its frames has it: it would wait for the garbage collector, with all that they hold."""
        writer: GroupWriter[int, int] = GroupWriter(store.write)
        told: list[weakref.ref[Conflict]] = []
        gc.collect()
        gc.disable()
        try:
            await writer.submit(-1)
        except Conflict as error:
            told.append(weakref.ref(error))
        finally:
            await settle()
            gone = [error() is None for error in told]
            gc.enable()
        assert gone == [True]

    async def test_one_that_fails_alone_is_not_tried_again(self, store: Store) -> None:
        writer: GroupWriter[int, int] = GroupWriter(store.write)
        store.poison = {2: LookupError("2")}
        with pytest.raises(LookupError):
            await writer.submit(2)
        assert store.groups == [[2]]

    @pytest.mark.parametrize(
        "error",
        [
            DatabaseUnavailable(),
            OperationalError("BEGIN", {}, ConnectionRefusedError("away")),
            InterfaceError("COMMIT", {}, ValueError("gone"), connection_invalidated=True),
            # Whether a commit happened that broke off like this is open: written again, it might be there twice.
            ConnectionResetError("peer"),
            TimeoutError(),
        ],
        ids=repr,
    )
    async def test_while_the_database_is_away_all_fail_at_once(self, store: Store, error: Exception) -> None:
        writer: GroupWriter[int, int] = GroupWriter(store.write, max_group=3)
        store.away = error
        store.hold()
        tasks = await submitted(writer, *range(1, 8))
        store.let_go()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
        assert [type(end) for end in ended] == [type(error)] * 7
        # Once for each group, never once for each job: each might wait for its time limit.
        assert store.groups == [[1, 2, 3], [4, 5, 6], [7]]
        store.away = None
        assert await writer.submit(8) == 64
        assert store.written == [8]

    async def test_when_the_database_goes_while_jobs_are_written_one_by_one_the_rest_fail_at_once(
        self, store: Store
    ) -> None:
        writer: GroupWriter[int, int] = GroupWriter(store.write)
        store.poison = {2: LookupError("2"), 4: DatabaseUnavailable()}
        tasks = await in_one_group(store, writer, 1, 2, 3, 4, 5, 6, 7)
        ended = await asyncio.gather(*tasks, return_exceptions=True)
        assert ended[0] == 1
        assert isinstance(ended[1], LookupError)
        assert ended[2] == 9
        assert all(isinstance(end, DatabaseUnavailable) for end in ended[3:])
        assert store.groups == [[0], [1, 2, 3, 4, 5, 6, 7], [1], [2], [3], [4]]
        assert store.written == [0, 1, 3]

    async def test_a_wrong_number_of_outcomes_leaves_nobody_waiting(self, store: Store) -> None:
        async def write(jobs: Sequence[int]) -> list[Any]:
            return (await store.write(jobs))[1:]

        writer: GroupWriter[int, int] = GroupWriter(write)
        tasks = await submitted(writer, 1, 2, 3)
        async with asyncio.timeout(20):
            ended = await asyncio.gather(*tasks, return_exceptions=True)
        assert [type(end) for end in ended] == [ValueError] * 3


class TestCallersWhoLeave:
    async def test_what_has_begun_is_written_and_what_has_not_is_not(self, store: Store) -> None:
        writer: GroupWriter[int, int] = GroupWriter(store.write)
        store.hold()
        (begun,) = await submitted(writer, 1)
        waiting = await submitted(writer, 2, 3, 4)
        for left in (begun, waiting[1]):
            left.cancel()
        await settle()
        store.let_go()
        assert [await waiting[0], await waiting[2]] == [4, 16]
        assert [task.cancelled() for task in (begun, waiting[1])] == [True, True]
        assert store.groups == [[1], [2, 4]]

    async def test_in_the_middle_of_a_group_touches_no_other(self, store: Store) -> None:
        writer: GroupWriter[int, int] = GroupWriter(store.write)
        store.poison = {3: LookupError("3")}
        store.hold()
        (first,) = await submitted(writer, 0)
        tasks = await submitted(writer, 1, 2, 3, 4)
        held, store.held = store.held, asyncio.Event()
        assert held is not None
        held.set()
        await first
        await settle()
        assert store.groups[-1] == [1, 2, 3, 4]
        tasks[0].cancel()
        tasks[2].cancel()
        store.let_go()
        assert [await tasks[1], await tasks[3]] == [4, 16]
        assert store.written == [0, 1, 2, 4]

    async def test_when_all_have_left_nothing_is_written(self, store: Store) -> None:
        writer: GroupWriter[int, int] = GroupWriter(store.write)
        store.hold()
        (first,) = await submitted(writer, 1)
        for task in await submitted(writer, 2, 3):
            task.cancel()
        await settle()
        store.let_go()
        assert await first == 1
        await settle()
        assert store.groups == [[1]]
        assert await writer.submit(4) == 16

    async def test_a_group_that_all_have_left_is_not_written_one_by_one(self) -> None:
        groups: list[list[int]] = []
        goes_on = asyncio.Event()

        async def write(jobs: Sequence[int]) -> Sequence[int]:
            groups.append(list(jobs))
            if len(groups) == 1:
                await goes_on.wait()
                return jobs
            raise DeadlineExceeded

        writer: GroupWriter[int, int] = GroupWriter(write)
        tasks = [*await submitted(writer, 0), *await submitted(writer, 1, 2)]
        goes_on.set()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
        assert [type(end) for end in ended] == [int, DeadlineExceeded, DeadlineExceeded]
        assert groups == [[0], [1, 2]]


class TestTheQueue:
    async def test_is_bounded(self, store: Store) -> None:
        writer: GroupWriter[int, int] = GroupWriter(store.write)
        store.hold()
        tasks = await submitted(writer, *range(MAX_WAITING))
        for job in (-1, -2):
            with pytest.raises(Unavailable) as refused:
                await writer.submit(job)
            assert refused.value.headers == {"Retry-After": "1"}
        # There is room again for as many as leave.
        tasks[1000].cancel()
        await settle()
        tasks += await submitted(writer, MAX_WAITING)
        with pytest.raises(Unavailable):
            await writer.submit(-3)
        store.let_go()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
        assert isinstance(ended.pop(1000), asyncio.CancelledError)
        assert ended == [job * job for job in range(MAX_WAITING + 1) if job != 1000]
        assert store.written == [job for job in range(MAX_WAITING + 1) if job != 1000]
        assert max(map(len, store.groups)) == 64
        assert await writer.submit(2) == 4

    async def test_does_not_grow_by_callers_who_leave(self, store: Store) -> None:
        """Clients that give up and come again while nothing moves must not fill the memory."""
        writer: GroupWriter[int, int] = GroupWriter(store.write)
        store.hold()
        (first,) = await submitted(writer, 0)
        for _ in range(3):
            for task in await submitted(writer, *range(1, 3_000)):
                task.cancel()
            await settle()
        tasks = await submitted(writer, 1, 2)
        store.let_go()
        assert await outcomes([first, *tasks]) == [0, 1, 4]
        assert store.groups == [[0], [1, 2]]


@pytest.mark.parametrize("seed", range(10))
async def test_whatever_happens_each_is_told_what_became_of_it(seed: int, store: Store) -> None:
    """Some jobs are refused, some break their group, some callers leave, and now and then the store is away."""
    chance = Random(seed)
    jobs = list(range(1, 300))
    refused = {-job for job in chance.sample(jobs, 40)}
    store.poison = {job: LookupError(job) for job in chance.sample(jobs, 8)}
    told: dict[int, Any] = {}
    writer: GroupWriter[int, int] = GroupWriter(store.write, max_group=chance.choice([1, 3, 16, 64]))

    async def one(job: int) -> None:
        for _ in range(chance.randrange(40)):
            await asyncio.sleep(0)
        submission = asyncio.create_task(writer.submit(job))
        if chance.random() < 0.1:
            for _ in range(chance.randrange(4)):
                await asyncio.sleep(0)
            submission.cancel()
        (told[job],) = await asyncio.gather(submission, return_exceptions=True)

    async def trouble() -> None:
        for _ in range(6):
            await asyncio.sleep(0)
            store.away = chance.choice([None, None, DatabaseUnavailable()])
        store.away = None

    async with asyncio.timeout(60):
        await asyncio.gather(*(one(-job if -job in refused else job) for job in jobs), trouble())
    written = Counter(store.written)
    assert set(written.values()) == {1}
    assert len(told) == len(jobs)
    for job, outcome in told.items():
        if isinstance(outcome, int):
            assert outcome == job * job
            assert job in written
        elif isinstance(outcome, asyncio.CancelledError):
            # Who left was told nothing: both may be.
            continue
        else:
            assert job not in written
            assert isinstance(outcome, (Conflict if job < 0 else LookupError) | DatabaseUnavailable)
            assert job < 0 or job in store.poison or isinstance(outcome, DatabaseUnavailable)
