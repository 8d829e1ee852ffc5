"""Keeping search in step with items that were changed past it, in short transactions: reads and writes go on.

Every writer of this version makes an item's texts with the item. What is left is what the previous version wrote, what a
renamed or merged tag changed on many items at once, and all texts once the rule of folding is another.
"""

from collections.abc import Callable
from typing import Final

import structlog

from tradepost.core.database.engines import Database
from tradepost.core.search.vocabulary import Vocabulary
from tradepost.core.wire.folding import RULE
from tradepost.items.repository.texts import ItemTextRepository

BATCH: Final = 500
"""Items whose texts are made in one transaction."""
EVERY: Final = 5.0
"""Seconds between two looks for stale items."""
LONGEST: Final = 600.0
"""Seconds that one run may take; the next one goes on where it ended."""

log = structlog.stdlib.get_logger(__name__)


class ItemIndexer:
    """Makes the texts of items anew."""

    def __init__(self, database: Database, vocabulary: Vocabulary) -> None:
        self._database = database
        self._vocabulary = vocabulary

    async def refresh(self, report: Callable[[int], None] = lambda _number: None) -> int:
        """Make anew what is stale, and everything if the rule of folding is newer than the texts; return how many.

        ``report`` is called with the number of each batch.
        """
        number = await self._follow_rule(report)
        found = BATCH
        while found == BATCH:
            async with self._database.transaction() as db:
                found = await ItemTextRepository(db, self._vocabulary).refresh_stale(BATCH)
            if found:
                report(found)
            number += found
        if number:
            log.info("texts of items indexed anew", items=number)
        return number

    async def rebuild(self, report: Callable[[int], None] = lambda _number: None) -> int:
        """Make everything anew, from the first item on; return how many."""
        async with self._database.transaction() as db:
            texts = ItemTextRepository(db, self._vocabulary)
            await texts.rule()
            await texts.note_rule(rule=0, through=0)
        return await self.refresh(report)

    async def run(self) -> None:
        """Do what is to be done: a recurring job."""
        await self.refresh()

    async def _follow_rule(self, report: Callable[[int], None]) -> int:
        number = 0
        while True:
            async with self._database.transaction() as db:
                texts = ItemTextRepository(db, self._vocabulary)
                rule, through = await texts.rule()
                if rule >= RULE:
                    return number
                made = await texts.refresh_after(through or 0, BATCH)
                if not made:
                    await texts.note_rule(rule=RULE, through=None)
                    return number
                await texts.note_rule(rule=rule, through=made[-1])
            number += len(made)
            report(len(made))
