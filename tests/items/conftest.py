"""Applications that remember nothing of the test before, and write views when a test says so."""

import pytest

from tests.conftest import World
from tradepost.items.popular import PopularItems
from tradepost.items.public_total import PublicTotal
from tradepost.items.view_counter import ViewCounter


@pytest.fixture
def world(world: World) -> World:
    """The module's application on empty tables, without what it remembers of earlier ones.

    The views that its requests count wait for ``flush``: the task in the background has a counter of its own.
    """
    parts = world.parts
    parts.put(ViewCounter, ViewCounter(parts.database))
    parts.put(PublicTotal, PublicTotal(parts.clock))
    parts.put(
        PopularItems, PopularItems(parts.database, parts.clock, seconds=parts.settings.CACHE_POPULAR_SECONDS)
    )
    return world
