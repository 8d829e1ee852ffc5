"""Work that many ask for at once."""

import asyncio

import pytest

from tradepost.core.batching.single_flight import SingleFlight
from tradepost.core.errors import Unavailable


class Work:
    """Counts how often it was begun, and ends when it is told to."""

    def __init__(self) -> None:
        self.begun = 0
        self.end = asyncio.Event()
        self.failure: Exception | None = None

    async def __call__(self) -> int:
        self.begun += 1
        number = self.begun
        await self.end.wait()
        if self.failure is not None:
            raise self.failure
        return number


async def test_many_callers_have_one_piece_of_work_done() -> None:
    flights: SingleFlight[str, int] = SingleFlight()
    work = Work()
    callers = [asyncio.create_task(flights.join("a", work)) for _ in range(1000)]
    await asyncio.sleep(0)
    work.end.set()
    assert await asyncio.gather(*callers) == [1] * 1000
    assert await flights.join("a", work) == 2, "nothing is remembered"


async def test_no_caller_takes_the_work_along() -> None:
    flights: SingleFlight[str, int] = SingleFlight()
    work = Work()
    first, second = (asyncio.create_task(flights.join("a", work)) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    work.end.set()
    assert await second == 1


async def test_a_failure_lasts_no_longer_than_itself() -> None:
    flights: SingleFlight[str, int] = SingleFlight()
    work = Work()
    work.end.set()
    work.failure = ValueError("no")
    for number in (1, 2):
        with pytest.raises(ValueError, match="no"):
            await flights.join("a", work)
        assert work.begun == number
    work.failure = None
    assert await flights.join("a", work) == 3


async def test_there_is_room_for_so_much_work_and_no_more() -> None:
    flights: SingleFlight[int, int] = SingleFlight(most=2)
    work = Work()
    callers = [asyncio.create_task(flights.join(key, work)) for key in (1, 2, 2)]
    await asyncio.sleep(0)
    with pytest.raises(Unavailable):
        await flights.join(3, work)
    await flights.close()
    assert all(caller.cancelled() for caller in (await asyncio.wait(callers))[0])
    work.end.set()
    assert await flights.join(3, work)
