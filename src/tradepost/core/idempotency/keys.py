"""The rules of idempotency keys: who may go on, who gets the answer that was kept, and who is refused."""

import math
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from tradepost.core.clock import Clock
from tradepost.core.database.engines import Database
from tradepost.core.database.faults import violations
from tradepost.core.database.sessions import WriteSession
from tradepost.core.errors import Unauthenticated
from tradepost.core.idempotency.claim import Claim, Kept, Replayed
from tradepost.core.idempotency.errors import IdempotencyInFlight, IdempotencyKeyReused
from tradepost.core.idempotency.repository import KeyRepository, KeyRow, PieceRepository

LEASE: Final = timedelta(seconds=30)
"""How long a key is held for work that gives no sign of life."""
LONGEST_RETRY: Final = 5
"""Seconds after which a client asks again at the latest, if the work under way is still alive."""
CHUNK: Final = 500
"""Keys that are pruned in one transaction: short enough not to hold up other writers."""

LockPerson = Callable[[WriteSession, int], Awaitable[bool]]
"""Keeps a person from being deleted until the transaction ends; tells whether there is such a person."""


class IdempotencyKeys:
    """Claims keys, and keeps answers, in the caller's transaction. Lives as long as the process.

    ``lifetime`` is how long an answer is kept; an older row counts as none.
    """

    def __init__(
        self, database: Database, clock: Clock, *, lifetime: timedelta, lock_person: LockPerson
    ) -> None:
        self._database = database
        self._clock = clock
        self._lifetime = lifetime
        self._lock_person = lock_person

    async def begin(self, db: WriteSession, claim: Claim) -> None:
        """Claim a key as the first thing in a transaction.

        ``Replayed`` when the work was done before, ``IdempotencyInFlight`` while another request does it,
        ``IdempotencyKeyReused`` when the key was sent with another request.
        """
        keys = KeyRepository(db)
        claim.lease = self._clock.token()
        row = self._row(claim)
        # The person of a token may have been deleted since it was checked.
        with violations(foreign_key=Unauthenticated):
            is_ours = await keys.claim(row)
        if is_ours:
            claim.db = db
            return
        seen = await keys.find(claim.digest)
        if seen is None:
            # Another transaction holds the lock of the key, and has not committed.
            raise IdempotencyInFlight
        kept = self.judged(claim, seen)
        if kept is not None:
            raise Replayed(kept, seen.fingerprint)
        # A person before what is theirs: who deletes them locks them first, and then the rows of their keys.
        if not await self._lock_person(db, claim.user_id):
            raise Unauthenticated
        if not await keys.take_over(seen, row):
            raise IdempotencyInFlight
        await self._take_pieces_over(db, claim, seen)
        claim.db = db

    async def _take_pieces_over(self, db: WriteSession, claim: Claim, seen: KeyRow) -> None:
        """Go on with pieces that the same request has done, or begin anew where they are too old to count."""
        pieces = PieceRepository(db)
        if seen.created_at < self._oldest():
            await pieces.remove(claim.digest)
        elif seen.fingerprint != claim.fingerprint() and (await pieces.sums(claim.digest))[0]:
            raise IdempotencyKeyReused

    async def keep(self, db: WriteSession, claim: Claim, kept: Kept) -> None:
        """Keep the answer as the last thing in the transaction of the work.

        ``IdempotencyInFlight`` when the lease ended and another request took the key over: the work is to be undone.
        """
        fingerprint = claim.whole_fingerprint()
        if not await KeyRepository(db).settle(claim.digest, claim.lease, fingerprint=fingerprint, kept=kept):
            raise IdempotencyInFlight

    async def amend(self, db: WriteSession, claim: Claim, kept: Kept) -> None:
        """Keep an answer in place of the one that this claim was settled with."""
        await KeyRepository(db).amend(claim.digest, claim.fingerprint(), kept)

    async def renew(self, db: WriteSession, claim: Claim) -> bool:
        """Hold a key for longer; False when it is settled, or another request has taken it over."""
        return await KeyRepository(db).renew(claim.digest, claim.lease, until=self._clock.now() + LEASE)

    async def let_lapse(self, db: WriteSession, claim: Claim) -> None:
        """Let another request take a key over at once."""
        await KeyRepository(db).renew(claim.digest, claim.lease, until=self._clock.now())

    async def forget(self, db: WriteSession, claim: Claim) -> None:
        """Let go of a key without an answer."""
        await KeyRepository(db).release(claim.digest, claim.lease)

    async def prune(self) -> None:
        """Delete keys that are too old to count, in short transactions; stopped anywhere, the next run does the rest."""
        pruned = CHUNK
        while pruned == CHUNK:
            async with self._database.transaction() as db:
                pruned = await KeyRepository(db).prune(before=self._oldest(), limit=CHUNK)

    def _oldest(self) -> datetime:
        return self._clock.now() - self._lifetime

    async def add(self, db: WriteSession, answered: Sequence[tuple[Claim, Kept]]) -> None:
        """Keep keys that nobody has claimed, each with its answer."""
        await KeyRepository(db).add(answered, at=self._clock.now())

    def _row(self, claim: Claim) -> dict[str, Any]:
        now = self._clock.now()
        return {
            "digest": claim.digest,
            "user_id": claim.user_id,
            "fingerprint": claim.fingerprint(),
            "lease": claim.lease,
            "lease_until": now + LEASE,
            "created_at": now,
        }

    def judged(self, claim: Claim, seen: KeyRow) -> Kept | None:
        """Return the answer that was kept under a key; None when the key may be taken over."""
        now = self._clock.now()
        if seen.created_at < self._oldest():
            return None
        if seen.status is None and seen.lease_until <= now:
            return None
        fingerprint = claim.fingerprint()
        if None not in {fingerprint, seen.fingerprint} and fingerprint != seen.fingerprint:
            raise IdempotencyKeyReused
        if seen.status is None:
            left = (seen.lease_until - now).total_seconds()
            raise IdempotencyInFlight(retry_after=max(1, min(LONGEST_RETRY, math.ceil(left))))
        return Kept(seen.status, seen.answer, [(name, value) for name, value in seen.headers])
