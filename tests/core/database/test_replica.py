"""What is known of a standby's lag, by positions that the two servers say."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

from tests.clock import NOON, MovableClock
from tradepost.core.database.engines import Database
from tradepost.core.database.replica import MOST_LAG, Replica


class Server:
    """Says one number."""

    def __init__(self) -> None:
        self.position = 0

    @asynccontextmanager
    async def read(self) -> AsyncIterator["Server"]:
        yield self

    async def scalar(self, _statement: Any) -> int:
        return self.position


async def test_many_looks_in_a_second_leave_nothing_forgotten() -> None:
    """Each export looks once more: what is remembered are seconds all the same, not looks."""
    clock, primary, standby = MovableClock(stopped_at=NOON), Server(), Server()
    replica = Replica(cast("Database", standby), primary=cast("Database", primary), clock=clock)
    for tenth in range(200):
        primary.position = tenth
        standby.position = max(0, tenth - 30)
        await replica.look()
        clock.move(0.1)
        if tenth > 60:
            assert replica.is_good, "it is three seconds behind, and that is known"
            assert replica.lag is not None
            assert 2.9 < replica.lag <= MOST_LAG
    standby.position = 0
    await replica.look()
    assert not replica.is_good
