"""Keeps inboxes from growing for ever."""

from datetime import timedelta
from typing import Final

from tradepost.core.clock import Clock
from tradepost.core.database.engines import Database
from tradepost.notifications.inbox.repository import InboxRepository

KEPT_FOR: Final = timedelta(days=90)
"""How long a notification is kept, be it read or not."""
KEPT_EACH: Final = 1_000
"""How many of the newest numbers of one person are kept."""
CHUNK: Final = 1_000
"""Notifications in one transaction: short enough not to hold up other writers."""
INBOXES: Final = 100
"""Inboxes in one transaction."""


class InboxPruner:
    """Removes what is old or too much, and has the inbox remember up to where: streams that were behind must know."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def prune(self) -> None:
        """Remove what is to be removed by now, in short transactions; whenever it is ended, the rest is for next time."""
        while await self._prune_some():
            pass

    async def _prune_some(self) -> bool:
        """Tell whether there may be more."""
        before = self._clock.now() - KEPT_FOR
        async with self._database.transaction() as db:
            inbox = InboxRepository(db)
            user_ids = {
                *await inbox.hold_overfull(keep=KEPT_EACH, limit=INBOXES),
                *await inbox.hold_aged(before=before, limit=INBOXES),
            }
            surplus = await inbox.hold_surplus(user_ids, keep=KEPT_EACH, before=before, limit=CHUNK)
            if surplus:
                await inbox.prune(surplus)
            # What people deleted themselves fills nothing any more; what somebody else holds just now is for next time.
            noted = await inbox.note_gaps(user_ids, keep=KEPT_EACH)
            return noted or bool(surplus)
