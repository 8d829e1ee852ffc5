import asyncio

import pytest

from tradepost.core.database.gate import Gate
from tradepost.core.errors import Overloaded
from tradepost.core.overload.waits import PATIENCE


async def held(gate: Gate, *, gives_way: bool) -> None:
    async with gate.place(gives_way=gives_way):
        await asyncio.sleep(0)


@pytest.mark.parametrize("impatient", [True, False])
async def test_reads_give_way_after_a_while_in_overload_and_writes_do_not(*, impatient: bool) -> None:
    gate = Gate(1, timeout=10)
    gate._waits.impatient = impatient
    async with gate.place():
        waiting = [asyncio.create_task(held(gate, gives_way=gives_way)) for gives_way in (True, False)]
        await asyncio.sleep(PATIENCE + 0.05)
        late = asyncio.create_task(held(gate, gives_way=True))
        await asyncio.sleep(0)
        assert gate.waiting == 3
    read, write = await asyncio.gather(*waiting, return_exceptions=True)
    assert isinstance(read, Overloaded) is impatient
    assert write is None
    await late
    assert (gate.waiting, gate.held) == (0, 0)
