"""The port through which categories reach the items in them: ``items`` supplies it, and ``bootstrap`` puts it in."""

from datetime import datetime
from typing import Protocol

from sqlalchemy.ext.asyncio import AsyncSession


class SortedItems(Protocol):
    """What a higher domain does to the items of a category. Runs in the caller's session and commits nothing."""

    async def move(self, db: AsyncSession, *, source_id: int, target_id: int, now: datetime) -> None:
        """Put every item of one category into another, and count a change on each."""
        ...
