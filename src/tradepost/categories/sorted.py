"""The port through which categories reach the items in them: ``items`` supplies it, and ``bootstrap`` puts it in."""

from datetime import datetime
from typing import Protocol

from tradepost.core.database.sessions import ReadSession, WriteSession


class SortedItems(Protocol):
    """What a higher domain knows of the items of categories, and does to them. Runs in the caller's session."""

    async def counts(self, db: ReadSession | WriteSession) -> dict[int, int]:
        """Return how many active items are right in each category; one without any may be left out."""
        ...

    async def move(
        self, db: ReadSession | WriteSession, *, source_id: int, target_id: int, now: datetime
    ) -> None:
        """Put every item of one category into another, and count a change on each."""
        ...
