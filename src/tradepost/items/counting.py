"""Kept counts of items: folding their differences, and holding them against the truth."""

from typing import Final

from tradepost.core.database.engines import Database
from tradepost.core.database.sessions import WriteSession
from tradepost.items.repository.counts import Difference, ItemCountRepository

FOLD_SECONDS: Final = 2.0
"""Seconds between two foldings: a read adds up what is not folded yet, so there should be little of it."""
FOLD_BATCH: Final = 10_000
"""Differences that one transaction folds."""


async def count_anew(db: WriteSession) -> None:
    """Make every count what the rows themselves say, in the transaction of somebody who wrote them past the triggers."""
    counts = ItemCountRepository(db)
    while True:
        seen = await counts.find_repairs()
        wrong = await counts.find_differences()
        if await counts.claim_repair(seen):
            await counts.repair(wrong)
            return


class ItemCounting:
    """Looks after the counts that the database's triggers keep. Lives as long as the process."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def fold(self) -> None:
        """Fold every difference into the counts, in short transactions; safe to stop anywhere, and beside another."""
        more = True
        while more:
            async with self._database.transaction() as db:
                more = await ItemCountRepository(db).fold(FOLD_BATCH)

    async def differences(self) -> list[Difference]:
        """Return the counts that are not what the rows themselves say; writers go on meanwhile."""
        _, wrong = await self._look()
        return wrong

    async def _look(self) -> tuple[int, list[Difference]]:
        # On SQLite every transaction is a writer's, and would keep the others out for as long as it reads.
        reading = self._database.read() if self._database.is_sqlite else self._database.transaction()
        async with reading as db:
            counts = ItemCountRepository(db)
            await counts.take_time()
            # Before the differences: a repair in between is noticed, and its differences are not added once more.
            return await counts.find_repairs(), await counts.find_differences()

    async def repair(self) -> None:
        """Make every count what the rows themselves say; writers go on meanwhile, and another repair is noticed."""
        if self._database.is_sqlite:
            # Its triggers count out only where there is a row to count in, even between the look and the repair.
            _, wrong = await self._look()
            async with self._database.transaction() as db:
                await ItemCountRepository(db).make_rows(wrong)
        while True:
            seen, wrong = await self._look()
            if not wrong:
                return
            async with self._database.transaction() as db:
                counts = ItemCountRepository(db)
                if await counts.claim_repair(seen):
                    await counts.repair(wrong)
            return
