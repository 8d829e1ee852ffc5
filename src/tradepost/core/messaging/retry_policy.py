"""The retry policy: exponential back-off with jitter, an age after which a message is dead, and a floor of attempts."""

from datetime import timedelta
from typing import Any, Final

from pydantic import ValidationError

from tradepost.core.clock import Clock
from tradepost.core.messaging.failures import UnknownSubscription, describe, describe_fields
from tradepost.core.messaging.messages import (
    Channel,
    Envelope,
    Postponed,
    Subscription,
    Subscriptions,
    Undeliverable,
    message_from,
)
from tradepost.core.messaging.outcomes import Claimed, Outcome, Settlement

TAKEN_OVER: Final = (
    "the process that held its lease ended or lost the database before it recorded the outcome"
)
TAKEN_OVER_TOO_OFTEN: Final = 3
"""Attempts after which a message that is taken over once more waits first: it may be what kills the processes."""
FEWEST_ATTEMPTS: Final = 8
"""Attempts that every message gets, however old it is: after days without a worker, a mail server that answers "not now"
to the whole backlog must not kill all of it."""
UNKNOWN_SUBSCRIPTION_PAUSE: Final = timedelta(minutes=1)
"""How long a message waits for a process that knows its subscription: of a newer version, or of an older one."""
LONGEST_POSTPONEMENT: Final = timedelta(days=1)


def recognised(
    subscriptions: Subscriptions, message: Claimed, *, reacts: bool
) -> tuple[Subscription, Envelope[Any]]:
    """Return the subscription and the envelope of a stored message, or raise ``UnknownSubscription`` or ``Undeliverable``."""
    subscription = subscriptions.by_name.get(message.subscription)
    if subscription is None or (subscription.react is not None) is not reacts:
        raise UnknownSubscription(
            f"this version has no subscription {message.subscription} on channel {message.channel}"
        )
    try:
        fact = message_from(subscription.message, message.payload)
    except ValidationError as error:
        raise Undeliverable(
            f"what is stored is no {subscription.message.type}: {describe_fields(error)}"
        ) from error
    return subscription, Envelope(message.id, fact, message.created_at, message.attempts, message.traceparent)


def settlement_after(
    message: Claimed, channel: Channel, clock: Clock, error: BaseException | None
) -> Settlement:
    """Decide the outcome of an attempt that ended with ``error``, or with none, and when the next attempt is due."""
    now = clock.now()
    match error:
        case None:
            return Settlement(message, Outcome.DONE, now, now)
        case Undeliverable():
            return Settlement(message, Outcome.DEAD, now, now, describe(error))
        case Postponed(after=after):
            pause, outcome = min(max(after, timedelta(0)), LONGEST_POSTPONEMENT), Outcome.POSTPONED
        case UnknownSubscription():
            pause, outcome = UNKNOWN_SUBSCRIPTION_PAUSE, Outcome.POSTPONED
        case _:
            pause, outcome = _back_off(channel, message.attempts, clock), Outcome.RETRY
    is_early = outcome is Outcome.RETRY and message.attempts < FEWEST_ATTEMPTS
    if now >= message.expires_at and not is_early:
        return Settlement(message, Outcome.DEAD, now, now, describe(error))
    return Settlement(message, outcome, now, now + pause, describe(error))


def _back_off(channel: Channel, attempts: int, clock: Clock) -> timedelta:
    """Double the pause with each attempt; jitter of a quarter keeps what failed together from returning together."""
    doubled = channel.first_pause * 2.0 ** min(attempts - 1, 60)
    return timedelta(seconds=min(doubled, channel.longest_pause) * (0.75 + clock.chance() / 2))
