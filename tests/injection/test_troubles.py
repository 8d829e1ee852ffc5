"""What a process has for a while on purpose takes nothing from it that was not asked for."""

import asyncio
import threading

from tests.conftest import World
from tradepost.core.clock import SkewedClock, SystemClock
from tradepost.injection.grammar import parsed
from tradepost.injection.journal import Journal
from tradepost.injection.troubles import MOST_BURNERS, Troubles


def burning() -> int:
    """Return how many threads burn the processor."""
    return sum(thread.name == "fault on purpose" for thread in threading.enumerate())


async def test_burners_are_bounded_and_leave_other_threads_alone(world: World) -> None:
    clock = SkewedClock(SystemClock())
    troubles = Troubles(world.database, clock, Journal(world.database, clock.right, replica="here:1"))
    began: list[str] = []
    (fault,) = parsed("cpu=30s").faults
    try:
        for _ in range(MOST_BURNERS + 2):
            troubles.begin(fault, began.append)
        assert began == ["30s"] * MOST_BURNERS
        # Whoever reads a file meanwhile need not wait for one of them to end.
        assert await asyncio.to_thread(burning) == MOST_BURNERS
    finally:
        await troubles.close()
    # Nor does the process, for its end.
    for thread in threading.enumerate():
        if thread.name == "fault on purpose":
            await asyncio.to_thread(thread.join)
