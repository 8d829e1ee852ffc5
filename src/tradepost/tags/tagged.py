"""What tags need of the items that bear them."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from sqlalchemy.ext.asyncio import AsyncSession


class TagUsage(Protocol):
    """What ``items`` knows about the tags on them. Runs in the caller's session and commits nothing."""

    async def counts(self, db: AsyncSession, names: Sequence[str]) -> dict[str, int]:
        """Return how many items bear each of these tags; a tag that none bears may be left out."""
        ...

    async def note_change(self, db: AsyncSession, *, tag: str, now: datetime) -> None:
        """Count a change on every item that bears a tag: how it shows is about to be another, or already is."""
        ...

    async def move(self, db: AsyncSession, *, source: str, target: str) -> None:
        """Give every item that bears ``source`` the tag ``target`` instead; none bears it twice afterwards."""
        ...
