"""Messages between domains, and the subscriptions to them.

A message is a fact in the past tense. It is added to the outbox in the transaction of the change that it tells of
(``outbox``), and reaches each subscriber after the commit (``dispatcher``): at least once, whatever dies in between.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, ClassVar, Final, Generic, TypeVar

from pydantic import TypeAdapter

from tradepost.core.database.sessions import WriteSession


class Message:
    """A fact: subclasses are frozen dataclasses of ids and plain values, never of rows, secrets or tokens.

    ``type`` is its name on the wire and in the table, ``items.created.v1``: a change of shape is a new version.
    """

    type: ClassVar[str]

    @property
    def weight(self) -> int:
        """How many messages it counts for where reactions share a transaction: as many as the people whom it tells."""
        return 1


@dataclass(frozen=True, slots=True)
class Traced:
    """A message with the trace context of its cause, for work that many requests share: the task's own is none of theirs."""

    message: Message
    traceparent: str | None


M = TypeVar("M", bound=Message)

NAME_LENGTH: Final = 64
"""Characters of a name that rows bear: of a type of messages, a subscription, a channel, a job."""


_shapes: dict[type[Message], TypeAdapter[Any]] = {}


def _shape(kind: type[Message]) -> TypeAdapter[Any]:
    return _shapes.get(kind) or _shapes.setdefault(kind, TypeAdapter(kind))


def payload_of(message: Message) -> dict[str, Any]:
    """Return a message's values as JSON has them."""
    values: dict[str, Any] = _shape(type(message)).dump_python(message, mode="json")
    return values


def message_from(kind: type[M], payload: Mapping[str, Any]) -> M:
    """Return the message that ``payload_of`` took apart; ``ValidationError`` when it does not fit ``kind``."""
    message: M = _shape(kind).validate_python(payload)
    return message


@dataclass(frozen=True, slots=True)
class Envelope(Generic[M]):
    """A message as a subscriber receives it. ``id`` is the same at every attempt: effects are made idempotent by it."""

    id: int
    message: M
    created_at: datetime
    attempts: int = 1
    """This attempt's number, from 1."""
    traceparent: str | None = None
    """The trace context of the request that caused it, for ``Traced``."""


React = Callable[[WriteSession, Sequence[Envelope[Any]]], Awaitable[None]]
Deliver = Callable[[Envelope[Any]], Awaitable[None]]


class Undeliverable(Exception):
    """Raised by a delivery that no other attempt can make succeed: the message is dead at once. Its text says why."""


class Postponed(Exception):
    """Raised by a delivery that wants its next attempt no earlier than ``after`` from now, as a ``Retry-After`` says."""

    def __init__(self, reason: str, after: timedelta) -> None:
        super().__init__(reason)
        self.after = after


@dataclass(frozen=True, slots=True)
class Channel:
    """A way of delivery with limits of its own, so that one that hangs delays no other."""

    name: str
    concurrency: int = 16
    """Deliveries at once in one process."""
    timeout: float = 30.0
    """Seconds one delivery may take."""
    first_pause: float = 5.0
    """Seconds before the second attempt; the pause doubles each time, with jitter."""
    longest_pause: float = 3600.0
    max_age: float = 3 * 24 * 3600.0
    """Seconds from when a message was first due until a failed attempt is its last, unless it was one of the first few."""
    grace: float = 15.0
    """Seconds by which a lease outlasts ``timeout``: to settle the message, and for clocks of machines that differ. The
    messages of a killed process wait for ``timeout`` and these."""


REACTIONS: Final = Channel("reactions", concurrency=100)
"""The one channel of all reactions: ``concurrency`` is how many messages, by their weights, share a transaction."""


@dataclass(frozen=True, slots=True)
class Subscription:
    """One subscriber of a type of message. Exactly one of ``react`` and ``deliver`` is set."""

    name: str
    """Unique, ``domain.what``: rows name it, so it outlives a release."""
    message: type[Message]
    channel: Channel
    react: React | None = None
    deliver: Deliver | None = None


Job = Callable[[], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class RecurringJob:
    """Work that repeats, in one process at a time."""

    name: str
    """Unique, ``domain.what``: the key of the row that says when the work is due."""
    seconds: float
    """From the end of one run to the beginning of the next."""
    run: Job
    timeout: float
    """Seconds one run may take; after a kill the job waits for them to pass."""


@dataclass
class Subscriptions:
    """The registry of subscriptions and jobs: ``bootstrap`` fills it from the domains' ``handlers``, then it is only read."""

    by_name: dict[str, Subscription] = field(default_factory=dict)
    by_type: dict[type[Message], list[Subscription]] = field(default_factory=dict)
    jobs: dict[str, RecurringJob] = field(default_factory=dict)

    def react(self, name: str, message: type[M], reaction: React) -> None:
        """Subscribe ``reaction``, which writes rows because of ``message``.

        It gets a group of messages, oldest first, and the transaction that also settles them: its effects happen exactly
        once. It awaits nothing but that session. One dispatcher at a time runs reactions, in the order of the messages.
        Subscriptions with the same ``reaction`` share one group, so it sees several types in one order; between different
        reactions there is none. When it raises, it gets its messages again one by one; the one that still fails is
        retried later, and others may overtake it.
        """
        self._add(Subscription(name, message, REACTIONS, react=reaction))

    def deliver(self, name: str, message: type[M], channel: Channel, delivery: Deliver) -> None:
        """Subscribe ``delivery``, which carries ``message`` to the world outside over ``channel``.

        It is called with no transaction open, under a lease, at least once, in no promised order. Returning means done;
        ``Undeliverable`` means never, ``Postponed`` not yet, any other exception a retry.
        """
        self._add(Subscription(name, message, channel, deliver=delivery))

    def every(self, name: str, seconds: float, job: Job, *, timeout: float = 60.0) -> None:
        """Run ``job`` at once and then ``seconds`` after each of its ends, in one process at a time.

        For pruning and sweeping, in short transactions of its own. When it raises or takes longer than ``timeout``, it runs
        again at its next time: it must be safe to stop anywhere.
        """
        if name in self.jobs or len(name) > NAME_LENGTH:
            raise ValueError(f"two jobs are called {name}, or it is too long")
        self.jobs[name] = RecurringJob(name, seconds, job, timeout)

    def _add(self, subscription: Subscription) -> None:
        if subscription.name in self.by_name:
            raise ValueError(f"two subscriptions are called {subscription.name}")
        for name in (subscription.name, subscription.message.type, subscription.channel.name):
            if len(name) > NAME_LENGTH:
                raise ValueError(f"a name of more than {NAME_LENGTH} characters: {name}")
        self.by_name[subscription.name] = subscription
        self.by_type.setdefault(subscription.message, []).append(subscription)

    def channels(self) -> dict[str, Channel]:
        """Return the channels that are in use, by name."""
        return {subscription.channel.name: subscription.channel for subscription in self.by_name.values()}
