"""What the tests of faults share: each module has a ``server`` of its own, on which faults are on."""

from collections.abc import AsyncIterator

import httpx
import pytest_asyncio

from tests.flows.live import LiveServer


@pytest_asyncio.fixture
async def api(server: LiveServer) -> AsyncIterator[httpx.AsyncClient]:
    """A stranger, who in ``local`` may make faults; none is left in force."""
    async with server.client() as client:
        yield client
        assert (await client.delete("/admin/faults")).status_code == 200
