"""The port through which a person who is deleted leaves what higher domains keep for them: they supply it.

It runs in the transaction of the deletion. A message would come later, and until then a seat would stay taken by nobody
while others wait for it.
"""

from datetime import datetime
from typing import Protocol

from tradepost.core.database.sessions import WriteSession


class Departures(Protocol):
    """What a person leaves behind: seats, and events that they organise. Runs in the caller's session, commits nothing."""

    async def leave_all(self, db: WriteSession, *, user_id: int, now: datetime) -> None:
        """Have a person leave everything; their row is locked FOR UPDATE, so nothing is added meanwhile."""
        ...
