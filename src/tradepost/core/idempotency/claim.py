"""A claim: the right of one request to do its work under its key, and what is kept of the answer."""

from collections.abc import Awaitable, Callable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Final

from tradepost.core.database.sessions import WriteSession

Headers = Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Kept:
    """The answer that is kept: a success, or what a group writer makes one of."""

    status: int
    answer: bytes
    headers: Headers = ()


class Replayed(Exception):
    """Raised instead of doing work that was done before: carries the answer that was kept, and of what request it is."""

    def __init__(self, kept: Kept, fingerprint: bytes | None) -> None:
        super().__init__("the work was done before")
        self.kept = kept
        self.fingerprint = fingerprint


Settle = Callable[[WriteSession, "Claim", Kept], Awaitable[None]]


@dataclass(eq=False, slots=True)
class Claim:
    """One request with a key, on its way from the layer that read the key to the transaction that keeps the answer.

    ``fingerprint`` returns None while the body has not come whole. ``db`` is the transaction in which the row was claimed and
    waits for its answer; ``replayed`` says that the answer is that of an earlier request.

    ``settle`` is there while the key is held under a lease; then ``is_settled`` says that ``kept`` was committed.
    """

    digest: bytes
    user_id: int
    fingerprint: Callable[[], bytes | None] = lambda: None
    lease: str | None = None
    db: WriteSession | None = None
    replayed: bool = False
    settle: Settle | None = None
    is_settled: bool = False
    kept: Kept | None = None

    def whole_fingerprint(self) -> bytes:
        """Return the fingerprint of a request that is answered, and so has come whole."""
        fingerprint = self.fingerprint()
        if fingerprint is None:
            raise RuntimeError("the answer was made before the request had come whole")
        return fingerprint


CLAIM: Final[ContextVar[Claim | None]] = ContextVar("idempotency_claim", default=None)
"""The claim of the request that this task answers, for work that is handed to a group or takes several transactions.

Read it in the request's own task and pass it on: a task that is started in a request for others inherits the variable.
"""


_JSON: Final = (("content-type", "application/json"),)


async def settle(
    db: WriteSession, claim: Claim | None, answer: Callable[[], bytes], *, status: int = 200
) -> None:
    """Settle a key that is held under a lease, if there is one, as the last thing in the last transaction of the work.

    For work that must not be done twice: a crash between its commit and its answer leaves the answer, the JSON that ``answer``
    returns. ``IdempotencyInFlight`` when the lease has ended and another request does the work: it is to be undone.
    """
    if claim is not None and claim.settle is not None:
        await claim.settle(db, claim, Kept(status, answer(), _JSON))


class KeepsKeys:
    """A base of what looks idempotency keys up and keeps answers in transactions of its own: it reads ``CLAIM``."""
