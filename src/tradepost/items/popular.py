"""The most viewed items, from a cache that is refreshed at most once a second."""

from collections.abc import Sequence
from typing import Final

from tradepost.core.batching.cache import Remembered
from tradepost.core.clock import Clock
from tradepost.core.database.engines import Database
from tradepost.items.repository.items import ItemRepository
from tradepost.items.repository.views import ItemViewRepository
from tradepost.items.schemas import ItemStatus, item_json

MOST: Final = 100
"""As many as a client may ask for."""
FRESH: Final = 1.0
"""Seconds by which what is shown of an item may lag behind other processes' writes."""


class PopularItems:
    """Ranks all items at most once in ``seconds``, and reads those on the list anew at most once a second.

    So the order may be ``seconds`` old; an item that was changed, hidden or deleted shows it within a second, and at once
    if ``ItemService`` changed it in this process.
    """

    def __init__(self, database: Database, clock: Clock, *, seconds: float) -> None:
        self._database = database
        self._ranking: Remembered[Sequence[int]] = Remembered(clock, seconds, name="popular_ranking")
        self._shown: Remembered[Sequence[bytes]] = Remembered(clock, min(FRESH, seconds), name="popular")

    async def top(self, limit: int) -> list[bytes]:
        """Return at most ``limit`` active items, the most viewed first, each as the JSON of ``ItemRead``."""
        return list((await self._shown.get(self._look))[:limit])

    def forget_shown(self) -> None:
        """Have the items looked at anew: one of them may have been changed."""
        self._shown.forget()

    def forget_all(self) -> None:
        """Have them ranked anew: rows were changed past the services."""
        self._ranking.forget()
        self._shown.forget()

    async def _look(self) -> Sequence[bytes]:
        async with self._database.read() as db:
            views = ItemViewRepository(db)
            ranking = await self._ranking.get(lambda: views.find_most_viewed(MOST))
            rows = {row.id: row for row in await ItemRepository(db).find_rows(ranking)}
        shown = (rows[item_id] for item_id in ranking if item_id in rows)
        return [item_json(row) for row in shown if row.status == ItemStatus.ACTIVE]
