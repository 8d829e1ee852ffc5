"""Keys in a group commit: what was done before is answered, the rest is done, and its answers are kept, all in one transaction.

The statements are as many for one key as for a hundred: one that looks all keys up, and one that keeps them.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar

from tradepost.core.database.sessions import WriteSession
from tradepost.core.errors import TradepostError
from tradepost.core.idempotency.claim import Claim, Kept
from tradepost.core.idempotency.errors import IdempotencyInFlight, IdempotencyKeyReused
from tradepost.core.idempotency.keys import IdempotencyKeys
from tradepost.core.idempotency.repository import KeyRepository, Look

J = TypeVar("J")
R = TypeVar("R")

Work = Callable[[Sequence[J]], Awaitable[Sequence[R | TradepostError]]]


class Keyed(NamedTuple, Generic[J]):
    """A job for a group writer, and the claim of the request that wants it done, if it has a key."""

    job: J
    claim: Claim | None


@dataclass(frozen=True)
class Keeping(Generic[R]):
    """How a result is kept, and what a route is given for it once more."""

    keep: Callable[[R], Kept]
    read: Callable[[Kept], R]


async def each_once(
    keys: IdempotencyKeys, db: WriteSession, jobs: Sequence[Keyed[J]], work: Work[J, R], keeping: Keeping[R]
) -> list[R | TradepostError]:
    """Do those jobs that were not done before; return for each, in order, its result or the error that refuses it alone.

    Of two jobs with one key in a group, the second is answered with the first.
    """
    claimed = {at: job.claim for at, job in enumerate(jobs) if job.claim is not None}
    if not claimed:
        return list(await work([job.job for job in jobs]))
    repository = KeyRepository(db)
    group = _Group(keys, await repository.look({claim.digest for claim in claimed.values()}), keeping)
    for at, claim in claimed.items():
        group.sort(at, claim)
    fresh = [at for at in range(len(jobs)) if at not in group.outcomes and at not in group.twins]
    if fresh:
        results = await work([jobs[at].job for at in fresh])
        group.outcomes |= zip(fresh, results, strict=True)
    group.outcomes |= {at: group.outcomes[first] for at, first in group.twins.items()}
    # Last: what a row refers to is locked by the work, in the order of every transaction.
    if group.aged:
        await repository.remove(group.aged)
    answered = [
        (claimed[at], keeping.keep(outcome))
        for at in group.firsts.values()
        if not isinstance(outcome := group.outcomes[at], TradepostError)
    ]
    if answered:
        await keys.add(db, answered)
    return [group.outcomes[at] for at in range(len(jobs))]


class _Group(Generic[R]):
    """What is known of the jobs of a group before any is done."""

    def __init__(self, keys: IdempotencyKeys, looks: Mapping[bytes, Look], keeping: Keeping[R]) -> None:
        self.outcomes: dict[int, R | TradepostError] = {}
        self.firsts: dict[bytes, int] = {}
        """The job with each key that is done."""
        self.twins: dict[int, int] = {}
        """Jobs that are answered with another one of the group."""
        self.aged: list[bytes] = []
        """Keys that are too old to count."""
        self._fingerprints: dict[bytes, bytes | None] = {}
        self._keys = keys
        self._looks = looks
        self._keeping = keeping

    def sort(self, at: int, claim: Claim) -> None:
        """Find out what is to be done with a job."""
        claim.replayed = False
        digest = claim.digest
        first = self.firsts.get(digest)
        if first is None:
            try:
                kept = self._kept(claim)
            except TradepostError as refusal:
                self.outcomes[at] = refusal
                return
            if kept is None:
                self.firsts[digest] = at
                self._fingerprints[digest] = claim.fingerprint()
            else:
                self.outcomes[at] = self._keeping.read(kept)
                claim.replayed = True
        elif claim.fingerprint() == self._fingerprints[digest]:
            self.twins[at] = first
            claim.replayed = True
        else:
            self.outcomes[at] = IdempotencyKeyReused()

    def _kept(self, claim: Claim) -> Kept | None:
        look = self._looks[claim.digest]
        if look.row is not None:
            kept = self._keys.judged(claim, look.row)
            if kept is not None:
                return kept
        if not look.is_free:
            raise IdempotencyInFlight
        if look.row is not None:
            self.aged.append(claim.digest)
        return None
