"""Places at a receiver are few, and who waits is told when to come back."""

import asyncio
from contextlib import AsyncExitStack
from itertools import pairwise

import pytest

from tests.clock import MovableClock, stopped_clock
from tradepost.core.clock import SystemClock
from tradepost.core.messaging.messages import Postponed
from tradepost.webhooks.turns import LONGEST_WAIT, Turns


def impatient(clock: MovableClock | None = None) -> Turns:
    return Turns(clock or stopped_clock(), patience=0)


async def waits(turns: Turns, places: dict[str, int], count: int) -> list[float]:
    found = []
    for _ in range(count):
        with pytest.raises(Postponed) as caught:
            async with turns.turn(places):
                pass
        found.append(caught.value.after.total_seconds())
    return found


async def test_as_many_as_there_are_places() -> None:
    turns = impatient()
    async with AsyncExitStack() as inside:
        for _ in range(3):
            await inside.enter_async_context(turns.turn({"a": 3}))
        assert len(await waits(turns, {"a": 3}, 2)) == 2
        async with turns.turn({"b": 3}):
            pass
    async with turns.turn({"a": 3}):
        pass
    assert not turns._doors


async def test_any_full_door_is_a_full_door() -> None:
    turns = impatient()
    async with turns.turn({"receiver": 2, "person": 1}):
        await waits(turns, {"other": 2, "person": 1}, 1)
        async with turns.turn({"receiver": 2, "another": 1}):
            await waits(turns, {"receiver": 2, "a third": 1}, 1)
    assert not turns._doors


async def test_who_is_sent_away_comes_again_as_places_come_free() -> None:
    clock = stopped_clock()
    turns = impatient(clock)
    async with turns.turn({"a": 2}):
        async with turns.turn({"a": 2}):
            clock.move(10)
            found = await waits(turns, {"a": 2}, 200)
        gaps = [after - before for before, after in pairwise(found)]
        assert gaps[0] == pytest.approx(5, rel=0.01), "ten seconds each at least, two at once"
        assert found[-1] == LONGEST_WAIT


async def test_at_a_quick_door_one_waits() -> None:
    turns = Turns(SystemClock(), patience=30)
    entered = 0

    async def visit() -> None:
        nonlocal entered
        async with turns.turn({"a": 2, "b": 3}):
            entered += 1
            await asyncio.sleep(0.001)

    await asyncio.gather(*(visit() for _ in range(100)))
    assert entered == 100
    assert not turns._doors


async def test_who_has_waited_in_vain_is_sent_away() -> None:
    turns = Turns(SystemClock(), patience=0.2)
    async with turns.turn({"a": 1}):
        (after,) = await waits(turns, {"a": 1}, 1)
        assert after > 0
        task = asyncio.create_task(waits(turns, {"a": 1}, 1))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert not turns._doors


async def test_a_place_comes_free_whatever_happens() -> None:
    turns = impatient()
    for _ in range(3):
        with pytest.raises(ZeroDivisionError):
            async with turns.turn({"a": 1}):
                raise ZeroDivisionError
    assert not turns._doors
