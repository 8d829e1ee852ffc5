"""The concurrency limit of a receiver holds, and a delivery that finds it full is postponed until a slot is free."""

import asyncio
from contextlib import AsyncExitStack
from itertools import pairwise

import pytest

from tests.clock import MovableClock, stopped_clock
from tradepost.core.clock import SystemClock
from tradepost.core.messaging.messages import Postponed
from tradepost.webhooks.concurrency_limit import LONGEST_POSTPONEMENT, ConcurrencyLimiter


def impatient(clock: MovableClock | None = None) -> ConcurrencyLimiter:
    return ConcurrencyLimiter(clock or stopped_clock(), patience=0)


async def postponements(limiter: ConcurrencyLimiter, keys: dict[str, int], count: int) -> list[float]:
    found = []
    for _ in range(count):
        with pytest.raises(Postponed) as caught:
            async with limiter.slot(keys):
                pass
        found.append(caught.value.after.total_seconds())
    return found


async def test_as_many_at_once_as_the_limit_says() -> None:
    limiter = impatient()
    async with AsyncExitStack() as inside:
        for _ in range(3):
            await inside.enter_async_context(limiter.slot({"a": 3}))
        assert len(await postponements(limiter, {"a": 3}, 2)) == 2
        async with limiter.slot({"b": 3}):
            pass
    async with limiter.slot({"a": 3}):
        pass
    assert not limiter._limits


async def test_one_full_limit_is_enough_to_postpone() -> None:
    limiter = impatient()
    async with limiter.slot({"receiver": 2, "person": 1}):
        await postponements(limiter, {"other": 2, "person": 1}, 1)
        async with limiter.slot({"receiver": 2, "another": 1}):
            await postponements(limiter, {"receiver": 2, "a third": 1}, 1)
    assert not limiter._limits


async def test_the_postponed_come_again_as_slots_become_free() -> None:
    clock = stopped_clock()
    limiter = impatient(clock)
    async with limiter.slot({"a": 2}):
        async with limiter.slot({"a": 2}):
            clock.move(10)
            found = await postponements(limiter, {"a": 2}, 200)
        gaps = [after - before for before, after in pairwise(found)]
        assert gaps[0] == pytest.approx(5, rel=0.01), "ten seconds each at least, two at once"
        assert found[-1] == LONGEST_POSTPONEMENT


async def test_a_slot_that_is_free_soon_is_waited_for() -> None:
    limiter = ConcurrencyLimiter(SystemClock(), patience=30)
    entered = 0

    async def visit() -> None:
        nonlocal entered
        async with limiter.slot({"a": 2, "b": 3}):
            entered += 1
            await asyncio.sleep(0.001)

    await asyncio.gather(*(visit() for _ in range(100)))
    assert entered == 100
    assert not limiter._limits


async def test_a_wait_in_vain_ends_in_a_postponement() -> None:
    limiter = ConcurrencyLimiter(SystemClock(), patience=0.2)
    async with limiter.slot({"a": 1}):
        (after,) = await postponements(limiter, {"a": 1}, 1)
        assert after > 0
        task = asyncio.create_task(postponements(limiter, {"a": 1}, 1))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert not limiter._limits


async def test_a_slot_becomes_free_whatever_happens() -> None:
    limiter = impatient()
    for _ in range(3):
        with pytest.raises(ZeroDivisionError):
            async with limiter.slot({"a": 1}):
                raise ZeroDivisionError
    assert not limiter._limits
