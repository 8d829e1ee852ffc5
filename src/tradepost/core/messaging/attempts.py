"""What comes of an attempt to deliver a message, and when the next one is."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from pydantic import ValidationError
from sqlalchemy.exc import DBAPIError

from tradepost.core.clock import Clock
from tradepost.core.database.faults import translate
from tradepost.core.errors import DatabaseUnavailable
from tradepost.core.messaging.messages import (
    Channel,
    Envelope,
    Postponed,
    Subscription,
    Subscriptions,
    Undeliverable,
    message_from,
)
from tradepost.core.messaging.outbox import ERROR_LENGTH, MessageState

TAKEN_OVER: Final = "the process that had it ended, or lost the database, before it said what became of it"
TAKEN_OVER_TOO_OFTEN: Final = 3
"""Attempts after which a message that is taken over once more waits first: it may be what ends the processes."""
FEWEST_ATTEMPTS: Final = 8
"""So many a message gets, however old it is: after days without a worker, a mail server that says "not now" to the whole
backlog must not be the end of it."""
STRANGER_PAUSE: Final = timedelta(minutes=1)
"""How long a message waits for a process that knows its subscription: of a newer version, or of an older one."""
LONGEST_POSTPONEMENT: Final = timedelta(days=1)


class Outcome(StrEnum):
    """What an attempt came to."""

    DONE = "done"
    RETRY = "retry"
    POSTPONED = "postponed"
    DEAD = "dead"
    RETURNED = "returned"
    """Nothing: it was broken off because the process was told to end, and does not count."""
    LOST = "lost"
    """Nobody knows: it took longer than its lease, and somebody else has the message now."""


@dataclass(frozen=True, slots=True)
class Claimed:
    """A message that this process has taken, until its lease ends or it is settled."""

    id: int
    type: str
    subscription: str
    channel: str
    payload: dict[str, Any]
    created_at: datetime
    expires_at: datetime
    attempts: int
    """This one included."""
    lease: str | None = None
    """What it can be settled with; a reaction needs none, since it is settled in the transaction that claimed it."""
    taken_over: bool = False


@dataclass(frozen=True, slots=True)
class Settlement:
    """What is to be noted of a claimed message. ``at`` is when it happened, ``due_at`` when the next attempt may begin."""

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


class Stranger(Exception):
    """Rows name a subscription that this version has not: a newer or an older one may know it."""


def recognised(
    subscriptions: Subscriptions, message: Claimed, *, reacts: bool
) -> tuple[Subscription, Envelope[Any]]:
    """Return who wants a stored message, and the message; ``Stranger`` or ``Undeliverable`` when there is no telling."""
    subscription = subscriptions.by_name.get(message.subscription)
    if subscription is None or (subscription.react is not None) is not reacts:
        raise Stranger(
            f"this version has no subscription {message.subscription} on channel {message.channel}"
        )
    try:
        fact = message_from(subscription.message, message.payload)
    except ValidationError as error:
        raise Undeliverable(f"what is stored is no {subscription.message.type}: {_faults(error)}") from error
    return subscription, Envelope(message.id, fact, message.created_at, message.attempts)


def settled(message: Claimed, channel: Channel, clock: Clock, error: BaseException | None) -> Settlement:
    """Return what comes of an attempt that ended with ``error``, or with none."""
    now = clock.now()
    match error:
        case None:
            return Settlement(message, Outcome.DONE, now, now)
        case Undeliverable():
            return Settlement(message, Outcome.DEAD, now, now, described(error))
        case Postponed(after=after):
            pause, outcome = min(max(after, timedelta(0)), LONGEST_POSTPONEMENT), Outcome.POSTPONED
        case Stranger():
            pause, outcome = STRANGER_PAUSE, Outcome.POSTPONED
        case _:
            pause, outcome = _pause(channel, message.attempts, clock), Outcome.RETRY
    is_early = outcome is Outcome.RETRY and message.attempts < FEWEST_ATTEMPTS
    if now >= message.expires_at and not is_early:
        return Settlement(message, Outcome.DEAD, now, now, described(error))
    return Settlement(message, outcome, now, now + pause, described(error))


def _pause(channel: Channel, attempts: int, clock: Clock) -> timedelta:
    """Double the pause with each attempt; spread by a quarter, so that what failed together does not return together."""
    doubled = channel.first_pause * 2.0 ** min(attempts - 1, 60)
    return timedelta(seconds=min(doubled, channel.longest_pause) * (0.75 + clock.chance() / 2))


def described(error: BaseException) -> str:
    """Say what went wrong in a line that may be stored and shown: no statement, no values, no control characters."""
    match error:
        case Undeliverable() | Postponed() | Stranger():
            words = str(error)
        case ValidationError():
            words = f"ValidationError: {_faults(error)}"
        case DBAPIError():
            words = f"{type(error.orig).__name__}: {error.orig}".partition("\n")[0]
        case TimeoutError():
            words = f"took too long{f': {error}' if str(error) else ''}"
        case _:
            words = f"{type(error).__name__}: {error}"
    return safe_text(words) or type(error).__name__


def safe_text(words: str) -> str:
    """Return what both engines can store and a terminal can show, at most ``ERROR_LENGTH`` characters of it."""
    printable = "".join(letter if letter.isprintable() else " " for letter in words[: 4 * ERROR_LENGTH])
    line = " ".join(printable.split())
    return line if len(line) <= ERROR_LENGTH else f"{line[: ERROR_LENGTH - 1]}…"


def _faults(error: ValidationError) -> str:
    return "; ".join(
        f"{'.'.join(map(str, fault['loc'])) or 'the whole'}: {fault['msg']}"
        for fault in error.errors(include_url=False, include_context=False, include_input=False)[:5]
    )


def is_away(error: BaseException) -> bool:
    """Tell whether the database could not be reached, which is no message's fault."""
    if isinstance(error, DatabaseUnavailable):
        return True
    if isinstance(error, DBAPIError) and isinstance(translate(error), DatabaseUnavailable):
        return error.connection_invalidated or isinstance(error.orig, (ConnectionError, TimeoutError))
    return False
