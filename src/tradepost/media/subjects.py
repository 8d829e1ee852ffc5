"""The port through which media reaches the things that files belong to: ``items`` supplies it, and ``bootstrap`` puts it in."""

from collections.abc import Collection
from typing import Protocol

from tradepost.core.database.sessions import ReadSession, WriteSession


class FileSubjects(Protocol):
    """What a higher domain knows about the things that files belong to. Runs in the caller's session and commits nothing."""

    async def shown(self, db: ReadSession | WriteSession, subject_ids: Collection[int]) -> Collection[int]:
        """Return the ids of those things among these that everybody may see."""
        ...

    async def detach(self, db: WriteSession, *, subject_id: int, url: str) -> None:
        """Make a thing stop naming a file; locks the thing."""
        ...
