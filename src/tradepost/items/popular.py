"""The most viewed items, remembered."""

from collections.abc import Sequence
from typing import Final

from tradepost.core.cache import Remembered
from tradepost.core.clock import Clock
from tradepost.core.database import Database
from tradepost.items.repository import ItemRepository
from tradepost.items.schemas import item_json

MOST: Final = 100
"""As many as a client may ask for."""


class PopularItems:
    """Asks the database once in ``seconds`` at the most, however many clients ask; as old as that it may be.

    What this process deletes or hides is gone from it at once.
    """

    def __init__(self, database: Database, clock: Clock, *, seconds: float) -> None:
        self._database = database
        self._remembered: Remembered[Sequence[tuple[int, bytes]]] = Remembered(clock, seconds)

    async def top(self, limit: int) -> list[bytes]:
        """Return at most ``limit`` active items, the most viewed first, each as the JSON of ``ItemRead``."""
        return [body for _, body in (await self._remembered.get(self._load))[:limit]]

    def forget(self, item_id: int) -> None:
        """Drop an item that strangers may no longer see."""
        self._remembered.adjust(lambda items: [item for item in items if item[0] != item_id])

    def forget_all(self) -> None:
        """Have them read anew: rows were changed past the services."""
        self._remembered.forget()

    async def _load(self) -> Sequence[tuple[int, bytes]]:
        async with self._database.read() as session:
            return [(row.id, item_json(row)) for row in await ItemRepository(session).most_viewed(MOST)]
