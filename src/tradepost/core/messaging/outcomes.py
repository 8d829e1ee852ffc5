"""A claimed message, the outcome of an attempt to deliver it, and the settlement that records it."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from tradepost.core.messaging.outbox import MessageState


class Outcome(StrEnum):
    """How an attempt ended."""

    DONE = "done"
    RETRY = "retry"
    POSTPONED = "postponed"
    DEAD = "dead"
    RETURNED = "returned"
    """Cancelled because the process is stopping: the attempt does not count."""
    LOST = "lost"
    """Unknown: the attempt outlived its lease, and another process has the message now."""


@dataclass(frozen=True, slots=True)
class Claimed:
    """A message that this process holds under a lease, until the lease ends or the message is settled."""

    id: int
    type: str
    subscription: str
    channel: str
    payload: dict[str, Any]
    created_at: datetime
    expires_at: datetime
    attempts: int
    """This one included."""
    traceparent: str | None
    lease: str | None = None
    """The token that settles it; a reaction needs none, since one transaction claims and settles it."""
    taken_over: bool = False


@dataclass(frozen=True, slots=True)
class Settlement:
    """What to record of a claimed message: ``at`` is when the attempt ended, ``due_at`` when the next one may begin."""

    message: Claimed
    outcome: Outcome
    at: datetime
    due_at: datetime
    error: str | None = None

    @property
    def state(self) -> MessageState:
        """The state that the message is in from now on."""
        match self.outcome:
            case Outcome.DONE:
                return MessageState.DONE
            case Outcome.DEAD:
                return MessageState.DEAD
            case _:
                return MessageState.PENDING
