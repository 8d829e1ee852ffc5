"""Machines whose clocks differ: the database's counts, and nothing is told late."""

from datetime import UTC, datetime, timedelta

import pytest

from tests.conftest import World
from tradepost.core.clock import AlignedClock, SkewedClock, SystemClock
from tradepost.core.database.engines import Database
from tradepost.core.database.shared_clock import align, clock_work

WRONG = timedelta(seconds=30)


@pytest.fixture(params=[WRONG, -WRONG], ids=["ahead", "behind"])
def machine(request: pytest.FixtureRequest) -> SkewedClock:
    """The clock of a machine that is wrong."""
    clock = SkewedClock(SystemClock())
    clock.ahead = request.param
    return clock


def error_of(clock: AlignedClock) -> timedelta:
    # The database of the tests is on this machine.
    return abs(clock.now() - datetime.now(UTC))


async def test_a_wrong_clock_is_corrected_and_a_right_one_left_alone(
    world: World, machine: SkewedClock
) -> None:
    if world.database.is_sqlite:
        # One machine alone has its database with it.
        assert clock_work(world.database, AlignedClock(machine)) == {}
        return
    clock = AlignedClock(machine)
    assert error_of(clock) > WRONG / 2
    await align(world.database, clock)
    assert error_of(clock) < WRONG / 2
    # Somebody sets the machine right, and then there is nothing to correct.
    machine.ahead = timedelta()
    await align(world.database, clock)
    assert clock.ahead == timedelta()


async def test_whose_clock_follows(database: Database, world: World) -> None:
    """A process's own, also beneath a skew that is made on purpose; one that somebody supplies, as tests do, is theirs."""
    own = AlignedClock(SystemClock())
    for clock in (own, SkewedClock(own)):
        work = clock_work(database, clock)
        assert list(work) == ([] if database.is_sqlite else ["clock"])
        for task in work.values():
            task.close()
    assert clock_work(database, SkewedClock(world.clock)) == clock_work(database, SystemClock()) == {}
