"""Reactions: rows written because of messages, exactly once and in the order of the messages."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

import structlog

from tradepost.core.clock import Clock
from tradepost.core.database.engines import Database
from tradepost.core.database.sessions import WriteSession
from tradepost.core.messaging.deliveries import ObserveAttempt
from tradepost.core.messaging.failures import UnknownSubscription, is_away
from tradepost.core.messaging.messages import REACTIONS, Envelope, React, Subscriptions, Undeliverable
from tradepost.core.messaging.outcomes import Claimed, Outcome, Settlement
from tradepost.core.messaging.repository import MessageRepository
from tradepost.core.messaging.retry_policy import recognised, settlement_after
from tradepost.core.observability.spans import Tracing

TIMEOUT: Final = REACTIONS.timeout

log = structlog.stdlib.get_logger(__name__)


@dataclass(slots=True)
class _Share:
    """The messages of a group that one reaction gets."""

    react: React
    envelopes: list[Envelope[Any]] = field(default_factory=list)


class Reactions:
    """Runs reactions: one transaction claims, handles and settles a group of messages.

    An advisory lock lets one dispatcher at a time run them, which keeps the order of the messages.
    """

    def __init__(
        self,
        *,
        database: Database,
        subscriptions: Subscriptions,
        clock: Clock,
        observe: ObserveAttempt,
        tracing: Tracing | None = None,
    ) -> None:
        self._database = database
        self._subscriptions = subscriptions
        self._clock = clock
        self._observe = observe
        self._tracing = tracing
        self._changed = asyncio.Event()
        self._changed.set()
        self._stopping = False
        self._left_some = True

    def wake(self) -> None:
        """Look for due messages."""
        self._changed.set()

    def stop(self) -> None:
        """Begin no other group."""
        self._stopping = True
        self._changed.set()

    async def step(self) -> None:
        """Wait until something may be due, and react to everything that is."""
        await self._changed.wait()
        self._changed.clear()
        try:
            self._left_some = True
            while self._left_some and not self._stopping:
                await self.react_to_due()
        except BaseException:
            self._changed.set()
            raise

    async def react_to_due(self) -> int:
        """React to one group of messages; return how many it held, 0 when none is due or somebody else is at it."""
        group: list[Claimed] = []
        self._left_some = False
        try:
            async with asyncio.timeout(TIMEOUT), self._database.transaction() as db:
                messages = MessageRepository(db)
                if not await messages.try_lock_reactions():
                    return 0
                group = await messages.lock_due_reactions_for_update(
                    now=self._clock.now(), limit=REACTIONS.concurrency
                )
                reacted = await self._react(db, group)
            # What comes meanwhile wakes: a look for what is not there would cost as much as this one.
            self._left_some = len(group) == REACTIONS.concurrency or reacted < len(group)
        except Exception as error:
            if not group or is_away(error):
                raise
            log.debug("a group of reactions failed; one by one now", size=len(group), exc_info=error)
            for message in group:
                await self._react_to_one(message.id)
            self._left_some = True
        return len(group)

    async def _react_to_one(self, message_id: int) -> None:
        message: Claimed | None = None
        try:
            async with asyncio.timeout(TIMEOUT), self._database.transaction() as db:
                messages = MessageRepository(db)
                if not await messages.try_lock_reactions():
                    return
                message = await messages.lock_due_reaction_for_update(message_id, now=self._clock.now())
                if message is None:
                    return
                await self._react(db, [message])
        except Exception as error:
            if message is None or is_away(error):
                raise
            settlement = self._put_off(message, error)
            # When this commits, the database was there all the time, and the message is at fault.
            async with self._database.transaction() as db:
                await MessageRepository(db).not_reacted(settlement)

    def _put_off(self, message: Claimed, error: Exception) -> Settlement:
        """Return the settlement of a reaction that failed, and log it."""
        settlement = settlement_after(message, REACTIONS, self._clock, error)
        self._observe(REACTIONS.name, settlement.outcome, 0.0)
        log.warning(
            "message given up"
            if settlement.outcome is Outcome.DEAD
            else "reaction failed, to be tried again",
            message_id=message.id,
            subscription=message.subscription,
            attempts=message.attempts,
            due_at=settlement.due_at,
            reason=settlement.error,
            exc_info=None if isinstance(error, (UnknownSubscription, Undeliverable)) else error,
        )
        return settlement

    async def _react(self, db: WriteSession, group: Sequence[Claimed]) -> int:
        """React to as many messages of a group as one transaction may weigh; return how many that are."""
        messages = MessageRepository(db)
        shares: list[_Share] = []
        readable: list[int] = []
        weight = 0
        for message in group:
            try:
                subscription, envelope = recognised(self._subscriptions, message, reacts=True)
            except (UnknownSubscription, Undeliverable) as error:
                # Known before any reaction ran: the rest of the group need not be handled one by one because of it.
                await messages.not_reacted(self._put_off(message, error))
                continue
            if subscription.react is None:
                raise TypeError(f"{subscription.name} does not react")
            weight += envelope.message.weight
            if readable and weight > REACTIONS.concurrency:
                # The rest of the group, which is pending still, is the beginning of the next one.
                break
            share = next((share for share in shares if share.react == subscription.react), None)
            if share is None:
                share = _Share(subscription.react)
                shares.append(share)
            share.envelopes.append(envelope)
            readable.append(message.id)
        for share in shares:
            began = self._clock.monotonic()
            await share.react(db, share.envelopes)
            if self._tracing is not None:
                db.after_commit(partial(self._trace, share, began=began))
        if readable:
            await db.flush()
            await messages.reacted(readable, now=self._clock.now())
            db.after_commit(lambda: self._observe_done(len(readable)))
        return len(readable)

    def _observe_done(self, number: int) -> None:
        for _ in range(number):
            self._observe(REACTIONS.name, Outcome.DONE, 0.0)

    def _trace(self, share: _Share, *, began: float) -> None:
        """Tell of the spans of a share: all its messages had one transaction, and each has a trace of its own."""
        if self._tracing is None:
            return
        ago = self._clock.monotonic() - began
        for envelope in share.envelopes:
            self._tracing.begin(
                f"react {type(envelope.message).type}", kind="consumer", cause=envelope.traceparent, ago=ago
            ).end(facts={"tradepost.message.id": envelope.id, "tradepost.group.size": len(share.envelopes)})
