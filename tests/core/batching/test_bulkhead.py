"""A bulkhead: so many at once, so many in the queue, for so long, whatever becomes of those who wait."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tradepost.core.batching.bulkhead import Bulkhead
from tradepost.core.errors import Unavailable


def bulkhead(size: int = 1, *, waiting: int = 2, patience: float = 5.0) -> Bulkhead:
    return Bulkhead(size, waiting=waiting, refusal=Unavailable, patience=patience)


@asynccontextmanager
async def full(places: Bulkhead) -> AsyncIterator[None]:
    for _ in range(places.size):
        await places.enter()
    yield
    for _ in range(places.size):
        places.leave()


async def test_places_are_handed_on_in_the_order_of_coming() -> None:
    places, order = bulkhead(2, waiting=10), []

    async def work(number: int) -> None:
        async with places.place():
            order.append(number)
            assert places.held <= 2
            await asyncio.sleep(0)

    async with full(places):
        callers = [asyncio.create_task(work(number)) for number in range(6)]
        await asyncio.sleep(0)
        assert (places.held, places.waiting, order) == (2, 6, [])
    await asyncio.gather(*callers)
    assert order == list(range(6))
    assert (places.held, places.waiting, places.refused) == (0, 0, 0)


async def test_who_finds_the_queue_full_is_refused_at_once() -> None:
    places = bulkhead(waiting=2)
    async with full(places):
        callers = [asyncio.create_task(places.enter()) for _ in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(Unavailable) as refused:
            await places.enter()
        assert refused.value.headers["Retry-After"]
        assert places.refused == 1
    await callers[0]
    places.leave()
    await callers[1]
    places.leave()
    assert places.held == 0


async def test_who_waits_too_long_is_refused_and_leaves_the_queue() -> None:
    places = bulkhead(patience=0.05)
    async with full(places):
        with pytest.raises(Unavailable):
            await places.enter()
        assert (places.waiting, places.refused) == (0, 1)
    await places.enter()
    places.leave()
    assert places.held == 0


async def test_no_place_is_lost_with_who_leaves_the_queue() -> None:
    """Also in the very moment in which it is handed over."""
    for turns in range(3):
        places = bulkhead(waiting=3)
        await places.enter()
        callers = [asyncio.create_task(places.enter()) for _ in range(3)]
        await asyncio.sleep(0)
        if turns == 0:
            callers[0].cancel()
            places.leave()
        elif turns == 1:
            places.leave()
            callers[0].cancel()
        else:
            callers[0].cancel()
            callers[1].cancel()
            places.leave()
        ends = await asyncio.gather(*callers[:1], return_exceptions=True)
        assert isinstance(ends[0], asyncio.CancelledError)
        for caller in callers[2 if turns == 2 else 1 :]:
            await asyncio.wait_for(caller, 5)
            places.leave()
        await asyncio.gather(*callers, return_exceptions=True)
        assert (places.held, places.waiting) == (0, 0)


async def test_a_place_is_given_back_by_the_work_and_not_by_its_caller() -> None:
    places = bulkhead()
    job: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    await places.enter()
    caller = asyncio.create_task(places.until_done(job))
    await asyncio.sleep(0)
    caller.cancel()
    await asyncio.gather(caller, return_exceptions=True)
    assert places.held == 1
    job.set_exception(OSError("seen by nobody"))
    await asyncio.sleep(0)
    assert places.held == 0
