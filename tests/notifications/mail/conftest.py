"""An application that sends its e-mails to a real SMTP server, which does as each test says."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.conftest import World, world_on
from tests.notifications.mail.sink import Sink
from tradepost.core.messaging.dispatcher import Dispatcher


@pytest_asyncio.fixture(scope="module")
async def module_sink() -> AsyncIterator[Sink]:
    """The module's mail server."""
    async with Sink.running() as sink:
        yield sink


@pytest_asyncio.fixture
async def sink(module_sink: Sink, world: World) -> AsyncIterator[Sink]:
    """The mail server, empty and well-behaved."""
    await module_sink.start()
    module_sink.reset()
    yield module_sink
    module_sink.let_go()
    await world.resources[Dispatcher].drain()


@pytest_asyncio.fixture(scope="module")
async def module_world(
    database_url: str, tmp_path_factory: pytest.TempPathFactory, module_sink: Sink
) -> AsyncIterator[World]:
    """The module's application."""
    async with world_on(database_url, tmp_path_factory.mktemp("data"), **module_sink.settings) as world:
        yield world
