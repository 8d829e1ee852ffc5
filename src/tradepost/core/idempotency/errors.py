"""The refusals of a request with an idempotency key."""

from typing import Final

from tradepost.core.errors import Conflict, Unprocessable

HEADER: Final = "Idempotency-Key"


class IdempotencyInFlight(Conflict):
    """The same request is under way: its answer is not there yet, and doing it again would do it twice."""

    code = "IDEMPOTENCY_IN_FLIGHT"
    detail = "A request with this Idempotency-Key is under way"

    def __init__(self, *, retry_after: int = 1) -> None:
        super().__init__(headers={"Retry-After": str(retry_after)})


class IdempotencyKeyReused(Unprocessable):
    """The key was sent with another request before."""

    code = "IDEMPOTENCY_KEY_REUSED"
    detail = "The Idempotency-Key was used for another request"

    def __init__(self) -> None:
        super().__init__(
            ("header", HEADER), "The key was sent with another query or body before", kind="reused"
        )
