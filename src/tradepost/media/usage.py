"""What media needs of the things that files belong to, and what becomes free when files go."""

from collections.abc import Collection, Iterable, Mapping
from typing import Protocol

from sqlalchemy.ext.asyncio import AsyncSession

from tradepost.core.database.sessions import WriteSession
from tradepost.media.repository import DoomedRow


class FileSubjects(Protocol):
    """What a higher domain knows about the things that files belong to. Runs in the caller's session."""

    async def shown(self, db: AsyncSession, subject_ids: Collection[int]) -> Collection[int]:
        """Return which of these things everybody may see."""
        ...

    async def detach(self, db: WriteSession, *, subject_id: int, url: str) -> None:
        """Have a thing not name a file any more; locks the thing."""
        ...


def freed(doomed: Iterable[DoomedRow]) -> Mapping[int, tuple[int, int]]:
    """Return the files and bytes that become free for each owner of doomed files."""
    totals: dict[int, tuple[int, int]] = {}
    for _, owner_id, size in doomed:
        files, total = totals.get(owner_id, (0, 0))
        totals[owner_id] = (files + 1, total + size)
    return totals
