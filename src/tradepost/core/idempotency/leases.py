"""Keys under a lease: for work of several transactions, such as an upload, which no single one could undo.

The key is claimed in a short transaction before the work begins, and its lease is renewed while it goes on. A process that is
killed renews none: another request takes the key over when the lease has ended, and the first cannot settle it any more.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import timedelta
from typing import Final

import structlog
from sqlalchemy.exc import SQLAlchemyError

from tradepost.core.database.engines import Database
from tradepost.core.database.sessions import WriteSession
from tradepost.core.errors import TradepostError
from tradepost.core.finishing import alongside, finished
from tradepost.core.idempotency.claim import Claim, Kept
from tradepost.core.idempotency.keys import LEASE, IdempotencyKeys

RENEWAL: Final = LEASE / 3
"""From one renewal to the next: two may fail before the lease ends."""

log = structlog.stdlib.get_logger(__name__)


class KeyLeases:
    """Holds keys for work that takes longer than a transaction. Lives as long as the process."""

    def __init__(self, database: Database, keys: IdempotencyKeys, *, renewal: timedelta = RENEWAL) -> None:
        self._database = database
        self._keys = keys
        self._renewal = renewal

    @asynccontextmanager
    async def held(self, claim: Claim) -> AsyncIterator[None]:
        """Hold a key while the block works; raises what ``IdempotencyKeys.begin`` does.

        At its end the key is free again, unless it was settled.
        """
        async with self._database.transaction() as db:
            await self._keys.begin(db, claim)
        claim.settle = self._settle
        try:
            async with self.alive(claim):
                yield
        finally:
            claim.settle = None
            if not claim.is_settled:
                await finished(self._release(claim))

    def alive(self, claim: Claim) -> AbstractAsyncContextManager[None]:
        """Renew the lease of a claim while the block works."""
        return alongside({"idempotency lease": self._renew(claim)})

    async def complete(self, claim: Claim, kept: Kept) -> None:
        """Keep the answer of work that is done and committed.

        Where the work settled the key itself, the answer takes the place of what it kept, if it says more. An answer that
        cannot be kept is answered all the same: what leaves its key to this may be done twice without harm.
        """
        if claim.kept == kept:
            return
        try:
            async with self._database.transaction() as db:
                if claim.is_settled:
                    await self._keys.amend(db, claim, kept)
                else:
                    await self._settle(db, claim, kept)
        except (TradepostError, SQLAlchemyError) as error:
            log.warning(
                "the answer to a request with an idempotency key could not be kept", reason=repr(error)
            )

    async def _settle(self, db: WriteSession, claim: Claim, kept: Kept) -> None:
        await self._keys.keep(db, claim, kept)

        def note() -> None:
            claim.is_settled, claim.kept = True, kept

        db.after_commit(note)

    async def _renew(self, claim: Claim) -> None:
        lives = True
        while lives:
            await asyncio.sleep(self._renewal.total_seconds())
            try:
                async with self._database.transaction() as db:
                    lives = await self._keys.renew(db, claim)
            except (TradepostError, SQLAlchemyError) as error:
                # The next renewal may still be in time.
                log.warning("the lease of an idempotency key could not be renewed", reason=repr(error))

    async def _release(self, claim: Claim) -> None:
        try:
            async with self._database.transaction() as db:
                await self._keys.forget(db, claim)
        except (TradepostError, SQLAlchemyError) as error:
            # It is free when its lease ends.
            log.warning("an idempotency key could not be released", reason=repr(error))
