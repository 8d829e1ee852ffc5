"""The port through which tags reach the items that bear them: ``items`` supplies it, and ``bootstrap`` puts it in."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from sqlalchemy import Select

from tradepost.core.database.sessions import ReadSession, WriteSession


class TaggedItems(Protocol):
    """What a higher domain knows about the items that bear a tag. Runs in the caller's session and commits nothing."""

    async def counts(self, db: ReadSession | WriteSession, names: Sequence[str]) -> dict[str, int]:
        """Return how many active items bear each of these tags; a tag that none bears may be left out."""
        ...

    def numbers(self) -> Select[str, int]:
        """Return the statement for how many active items bear each tag, ``key`` and ``n``; some that none bears are left out."""
        ...

    async def note_change(self, db: ReadSession | WriteSession, *, tag: str, now: datetime) -> None:
        """Count a change on every item that bears a tag, because the tag is about to look different or to go."""
        ...

    async def move(self, db: ReadSession | WriteSession, *, source: str, target: str) -> None:
        """Give every item that bears ``source`` the tag ``target`` instead; none bears it twice afterwards."""
        ...
