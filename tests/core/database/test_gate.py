import asyncio

import pytest

from tradepost.core.database import gate as gate_module
from tradepost.core.database.gate import Gate
from tradepost.core.errors import Overloaded


async def held(gate: Gate, *, gives_way: bool) -> None:
    async with gate.place(gives_way=gives_way):
        await asyncio.sleep(0)


@pytest.mark.parametrize("impatient", [True, False])
async def test_reads_give_way_after_a_while_in_overload_and_writes_do_not(
    monkeypatch: pytest.MonkeyPatch, *, impatient: bool
) -> None:
    # Long enough for a machine that stands still for a moment.
    monkeypatch.setattr(gate_module, "PATIENCE", 0.3)
    gate = Gate(1, timeout=10)
    gate._waits.impatient = impatient
    gate._waits.back_after = lambda: 7
    async with gate.place():
        waiting = [asyncio.create_task(held(gate, gives_way=gives_way)) for gives_way in (True, False)]
        await asyncio.sleep(0.35)
        late = asyncio.create_task(held(gate, gives_way=True))
        await asyncio.sleep(0)
        assert gate.waiting == 3
    read, write = await asyncio.gather(*waiting, return_exceptions=True)
    assert isinstance(read, Overloaded) is impatient
    assert not isinstance(read, Overloaded) or read.headers == {"Retry-After": "7"}
    assert write is None
    await late
    assert (gate.waiting, gate.held) == (0, 0)
