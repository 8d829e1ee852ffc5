"""Messages beside a database that is in trouble: all come, and as soon as ever afterwards (``tests/load/message_faults.py``)."""

import asyncio
from collections.abc import Iterator

import pytest

from tests.faults.stoppable import StoppablePostgres, stoppable_postgres
from tests.load.message_faults import FAULTS, measure


@pytest.fixture(scope="module")
def stoppable() -> Iterator[StoppablePostgres]:
    with stoppable_postgres() as server:
        yield server


# A server that crashes in the middle of a greeting leaves asyncpg a socket that nobody closes but the collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("name", FAULTS)
async def test_no_message_is_lost_to_a_fault(stoppable: StoppablePostgres, name: str) -> None:
    await asyncio.to_thread(stoppable.start)
    # That all come, and that nothing waits in the end, is what this waits for.
    found = await measure(stoppable, name, rate=40, seconds=0.8, number=list(FAULTS).index(name))
    assert found.lost == 0
    assert found.sent >= 40
    assert found.rates[2] > 0
