"""The pruning of inboxes by age and by number, so that they do not grow without bound."""

from datetime import timedelta
from typing import Final

from tradepost.core.clock import Clock
from tradepost.core.database.engines import Database
from tradepost.notifications.inbox.repository import InboxPruningRepository

KEPT_FOR: Final = timedelta(days=90)
"""How long a notification is kept, read or unread."""
KEPT_EACH: Final = 1_000
"""How many of the newest numbers of one person are kept."""
CHUNK: Final = 1_000
"""Notifications in one transaction: short enough not to hold up other writers."""
INBOXES: Final = 100
"""Inboxes in one transaction."""


class InboxPruner:
    """Deletes notifications that are old or too many, and records the highest number in the inbox.

    A stream that was behind learns from that number that it missed something.
    """

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def prune(self) -> None:
        """Prune in short transactions; stopped anywhere, the next run does the rest."""
        while await self._prune_some():
            pass

    async def _prune_some(self) -> bool:
        """Prune one chunk; tell whether there may be more."""
        before = self._clock.now() - KEPT_FOR
        async with self._database.transaction() as db:
            inboxes = InboxPruningRepository(db)
            user_ids = {
                *await inboxes.lock_overfull_for_update(keep=KEPT_EACH, limit=INBOXES),
                *await inboxes.lock_aged_for_update(before=before, limit=INBOXES),
            }
            surplus = await inboxes.lock_surplus_for_update(
                user_ids, keep=KEPT_EACH, before=before, limit=CHUNK
            )
            if surplus:
                await inboxes.prune(surplus)
            # Numbers whose notifications people deleted themselves; rows that are locked elsewhere wait for the next run.
            noted = await inboxes.record_gaps(user_ids, keep=KEPT_EACH)
            return noted or bool(surplus)
