"""Three and ten times what can be answered, over real sockets: what fits is served as ever, the rest is refused at once.

The work is a wait on a gate, so that the capacity is the same on every machine. ``python -m tests.load.overload`` measures a
whole server.
"""

import asyncio
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import pytest
from fastapi import FastAPI

from tests.load.crowd import PROBE, Job
from tests.web.apps import new_app, new_router, served
from tradepost.core.database.gate import Gate
from tradepost.web.overload.door import DOOR_KEY

ROOT: Final = Path(__file__).parents[2]
PLACES: Final = 4
WORK: Final = 0.16
CAPACITY: Final = PLACES / WORK
LEAD, OVERLOADED, AFTER = 1.0, 4.0, 4.0


def slow_app() -> FastAPI:
    """An application that does four things at once, each in 160 ms."""
    router, gate = new_router(), Gate(PLACES, timeout=60.0)

    @router.get("/work")
    async def work() -> str:
        async with gate.place(gives_way=True):
            await asyncio.sleep(WORK)
        return "done"

    def probes(app: FastAPI) -> None:
        for path in ("/livez", "/metrics"):
            app.get(path)(lambda: "alive")

    return new_app(router, extend=probes, DB_POOL_SIZE=PLACES, OVERLOAD_CONTROL=True)


async def crowd(port: int, times: float) -> list[tuple[float, int, int, float]]:
    """Send a crowd, and return what came of each request."""
    request = "GET /api/v1/work HTTP/1.1\r\nHost: x\r\n\r\n"
    phases = [(LEAD, CAPACITY / 2), (OVERLOADED, CAPACITY * times), (AFTER, CAPACITY / 2)]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.load.crowd"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        cwd=ROOT,
    )
    came, _ = await process.communicate(
        json.dumps(asdict(Job(port, [request], phases, patience=30.0))).encode()
    )
    result: dict[str, Any] = json.loads(came)
    assert not result["faults"]
    return [tuple(each) for each in result["asked"]]


@pytest.mark.parametrize("times", [3, 10])
async def test_what_fits_is_served_and_the_rest_refused(times: float) -> None:
    app = slow_app()
    async with served(app, **{DOOR_KEY: app.state.door}) as port:
        asked = await crowd(port, times)
    app.state.door.close()
    assert {status for _, kind, status, _ in asked if kind == PROBE} == {200}
    requests = [(due - LEAD, status, took) for due, kind, status, took in asked if kind != PROBE]
    assert {status for _, status, _ in requests} == {200, 503}
    # Half a second is more than the step takes. A busy machine is given more everywhere: without control the last would wait
    # for three seconds at least, and the one in the middle for half of that.
    assert all(status == 200 for due, status, _ in requests if due < -0.5)
    during = [(status, took) for due, status, took in requests if 1 <= due < OVERLOADED]
    good = sorted(took for status, took in during if status == 200)
    refused = sorted(took for status, took in during if status == 503)
    assert len(good) >= 0.4 * CAPACITY * (OVERLOADED - 1)
    assert good[len(good) // 2] < 1
    assert refused[len(refused) // 2] < 0.5
    late = [status for due, status, _ in requests if due > OVERLOADED + 2]
    assert late.count(200) >= 0.9 * len(late)
