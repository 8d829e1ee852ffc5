"""Applications that remember nothing of the test before."""

import pytest

from tests.conftest import World
from tradepost.items.popular import PopularItems
from tradepost.items.public_total import PublicTotal


@pytest.fixture
def world(world: World) -> World:
    """The module's application on empty tables, without what it remembers of earlier ones."""
    parts = world.parts
    parts.put(PublicTotal, PublicTotal(parts.clock))
    parts.put(
        PopularItems, PopularItems(parts.database, parts.clock, seconds=parts.settings.CACHE_POPULAR_SECONDS)
    )
    return world
