"""Progress of work that is done piece by piece under a key: each piece keeps its answer in the transaction that does it.

A retry after a crash is given the answers of the pieces that were committed, and goes on after the last of them.
"""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager

from tradepost.core.database.engines import Database
from tradepost.core.database.sessions import WriteSession
from tradepost.core.idempotency.claim import Claim, Kept, Replayed
from tradepost.core.idempotency.errors import IdempotencyInFlight
from tradepost.core.idempotency.keys import IdempotencyKeys
from tradepost.core.idempotency.leases import KeyLeases
from tradepost.core.idempotency.repository import PieceRepository


class Progress:
    """How far the work of one key has come. ``last`` is the last line that is done, ``made`` how many things were made.

    ``ending`` is there once all is done: the end of the answer, after those of the pieces.
    """

    def __init__(self, claim: Claim, database: Database, keys: IdempotencyKeys, leases: KeyLeases) -> None:
        self.last = self.made = 0
        self.ending: Kept | None = None
        self._claim = claim
        self._database = database
        self._keys = keys
        self._leases = leases
        self._pieces = 0

    async def begin(self) -> None:
        """Claim the key; raises what ``IdempotencyKeys.begin`` does, but for work that was done before."""
        async with self._database.transaction() as db:
            try:
                await self._keys.begin(db, self._claim)
            except Replayed as earlier:
                self.ending = earlier.kept
                self._claim.replayed = True
            else:
                self._pieces, self.last, self.made = await PieceRepository(db).sums(self._claim.digest)

    def alive(self) -> AbstractAsyncContextManager[None]:
        """Keep the lease alive while the block works."""
        return self._leases.alive(self._claim)

    async def answers(self) -> AsyncIterator[bytes]:
        """Yield the answers of the pieces that were done by an earlier request, in their order."""
        number = 0
        more = True
        while more:
            async with self._database.read() as db:
                answer = await PieceRepository(db).answer(self._claim.digest, number)
            more = answer is not None
            if answer is not None:
                yield answer
            number += 1

    async def keep(self, db: WriteSession, answer: bytes, *, last: int, made: int) -> None:
        """Keep the answer of a piece as the last thing in its transaction; ``advance`` says that it was committed.

        ``IdempotencyInFlight`` when the lease has ended and another request goes on with the work.
        """
        if not await self._keys.renew(db, self._claim):
            raise IdempotencyInFlight
        await PieceRepository(db).add(self._claim.digest, self._pieces, answer, last=last, made=made)

    def advance(self, *, last: int, made: int) -> None:
        """Go on to the next piece."""
        self._pieces += 1
        self.last = last
        self.made += made

    async def tell(self, db: WriteSession) -> int | None:
        """Return how many things were made that nobody was told of, and note that somebody is told now.

        None when the lease has ended: whoever took the key over tells.
        """
        if not await self._keys.renew(db, self._claim):
            return None
        return await PieceRepository(db).tell(self._claim.digest)

    async def finish(self, db: WriteSession, ending: bytes, *, status: int = 200) -> None:
        """Settle the key with the end of the answer."""
        await self._keys.keep(db, self._claim, Kept(status, ending))

    async def pause(self, db: WriteSession) -> None:
        """Let a retry go on at once; without a piece that was done, the key is free."""
        if self._pieces:
            await self._keys.let_lapse(db, self._claim)
        else:
            await self._keys.forget(db, self._claim)


class ProgressKeeper:
    """Begins work that is done piece by piece. Lives as long as the process."""

    def __init__(self, database: Database, keys: IdempotencyKeys, leases: KeyLeases) -> None:
        self._database = database
        self._keys = keys
        self._leases = leases

    async def begin(self, claim: Claim) -> Progress:
        """Claim the key of a request, and return how far its work has come."""
        progress = Progress(claim, self._database, self._keys, self._leases)
        await progress.begin()
        return progress
