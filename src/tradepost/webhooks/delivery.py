"""The delivery of webhooks: one attempt under a per-receiver concurrency limit, recorded, with the pause before the next."""

import zlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import timedelta
from functools import partial
from typing import Final

from tradepost.accounts.permissions import PERMISSIONS, Permission
from tradepost.core.batching.coalescer import Coalescer
from tradepost.core.clock import Clock
from tradepost.core.database.engines import Database
from tradepost.core.messaging.messages import Channel, Envelope, Postponed
from tradepost.core.observability.tallies import WEBHOOK_ANSWERS
from tradepost.webhooks.catalogue import TEST
from tradepost.webhooks.concurrency_limit import ConcurrencyLimiter
from tradepost.webhooks.delivery_log import DeliveryAttempt, DeliveryLog
from tradepost.webhooks.messages import WebhookDue
from tradepost.webhooks.repository import DeliveryRepository, DueRow
from tradepost.webhooks.schemas import DeliveryState, WebhookScope
from tradepost.webhooks.sender import (
    ANSWER_TIMEOUT,
    CONCURRENCY,
    EXCERPT_TIMEOUT,
    GONE,
    Answer,
    WebhookSender,
)
from tradepost.webhooks.signing import Signer
from tradepost.webhooks.targets import TargetRules, UnacceptableTarget

PAUSES: Final = (
    timedelta(seconds=5),
    timedelta(minutes=1),
    timedelta(minutes=5),
    timedelta(minutes=30),
    timedelta(hours=2),
    timedelta(hours=5),
    timedelta(hours=10),
    timedelta(hours=14),
    timedelta(hours=20),
)
"""The pauses between attempts: ten attempts within a little more than two days."""
LONGEST_PAUSE: Final = timedelta(hours=24)
"""The longest ``Retry-After`` that is honoured."""
JITTER: Final = 0.2
"""The part by which a pause may be longer, so that what failed together is not tried together."""
LONGEST_LIFE: Final = timedelta(days=8)
"""The age at which a delivery ends even if its message was lost or is dead."""
KEPT: Final = timedelta(days=30)
MOST_KEPT: Final = 10_000
"""Deliveries that the log of one webhook keeps; the oldest go first, were they still to be sent."""
PRUNE_CHUNK: Final = 1000

CONCURRENCY_PER_RECEIVER: Final = 4
CONCURRENCY_PER_PERSON: Final = 8
"""One person may have twenty slow receivers."""

CHANNEL: Final = Channel(
    "webhooks",
    concurrency=CONCURRENCY,
    # Room for the database before and after.
    timeout=ANSWER_TIMEOUT + EXCERPT_TIMEOUT + 13.0,
    max_age=LONGEST_LIFE.total_seconds(),
)


class WebhookDeliverer:
    """Sends deliveries over the channel of webhooks.

    A delivery that failed for good is no dead message: the owner sees it in the log and can send it again. Dead messages
    of this channel are faults on our side alone.
    """

    def __init__(
        self,
        database: Database,
        *,
        sender: WebhookSender,
        signer: Signer,
        rules: TargetRules,
        log: DeliveryLog,
        clock: Clock,
    ) -> None:
        self._database = database
        self._sender = sender
        self._signer = signer
        self._rules = rules
        self._log = log
        self._clock = clock
        self._limiter = ConcurrencyLimiter(clock)
        self._reads = Coalescer(self._find)

    async def deliver(self, envelope: Envelope[WebhookDue]) -> None:
        """Make one attempt unless the delivery is no longer wanted; raise ``Postponed`` when another is to follow."""
        due = await self._reads.find(envelope.message.delivery_id)
        if due is None or due.state is not DeliveryState.PENDING:
            return
        if reason := _reason_to_cancel(due):
            await self._cancel(due.id, reason)
            return
        async with self._limiter.slot(self._limits(due)):
            started = self._clock.monotonic()
            answer = await self._attempt(due)
            took = timedelta(seconds=self._clock.monotonic() - started)
        WEBHOOK_ANSWERS.add("none" if answer.status is None else f"{answer.status // 100}xx")
        pause = None if answer.delivered else _pause(due, answer)
        attempt = DeliveryAttempt(due, answer, took, self._clock.now(), pause)
        if await self._log.record(attempt) and pause is not None:
            raise Postponed(answer.error or "", pause)

    async def clear_up(self) -> None:
        """End deliveries that are older than ``LONGEST_LIFE``, and prune the log, so many at a time."""
        now = self._clock.now()
        await self._in_chunks(
            lambda deliveries: deliveries.give_up(
                before=now - LONGEST_LIFE, now=now, reason="It could not be sent in time", limit=PRUNE_CHUNK
            )
        )
        await self._in_chunks(lambda deliveries: deliveries.prune(before=now - KEPT, limit=PRUNE_CHUNK))
        after = 0
        while True:
            async with self._database.read() as db:
                crowded = await DeliveryRepository(db).find_crowded(after, keep=MOST_KEPT, limit=PRUNE_CHUNK)
            for webhook_id, last in crowded:
                if last is not None:
                    await self._in_chunks(partial(_cut, webhook_id, last))
            if len(crowded) < PRUNE_CHUNK:
                return
            after = crowded[-1][0]

    async def _in_chunks(self, step: Callable[[DeliveryRepository], Awaitable[int]]) -> None:
        """Repeat a step, each in a transaction of its own, until it finds less than it could have taken."""
        done = PRUNE_CHUNK
        while done == PRUNE_CHUNK:
            async with self._database.transaction() as db:
                done = await step(DeliveryRepository(db))

    async def _find(self, delivery_ids: Sequence[int]) -> Mapping[int, DueRow]:
        async with self._database.read() as db:
            return {row.id: row for row in await DeliveryRepository(db).find_due(delivery_ids)}

    def _limits(self, due: DueRow) -> dict[str, int]:
        try:
            receiver = self._rules.read(due.url).origin
        except UnacceptableTarget:
            receiver = due.url
        return {
            f"receiver {receiver}": CONCURRENCY_PER_RECEIVER,
            f"person {due.user_id}": CONCURRENCY_PER_PERSON,
        }

    async def _attempt(self, due: DueRow) -> Answer:
        now = self._clock.now()
        body = due.body.encode()
        nonces = [due.nonce]
        if due.previous_nonce is not None and now < due.previous_until:
            nonces.append(due.previous_nonce)
        headers = self._signer.headers(due.webhook_id, nonces, message_id=due.message_id, now=now, body=body)
        return await self._sender.send(due.url, headers, body)

    async def _cancel(self, delivery_id: int, reason: str) -> None:
        async with self._database.transaction() as db:
            await DeliveryRepository(db).cancel(id=delivery_id, now=self._clock.now(), reason=reason)


async def _cut(webhook_id: int, last: int, deliveries: DeliveryRepository) -> int:
    return await deliveries.cut(webhook_id, last=last, limit=PRUNE_CHUNK)


def _reason_to_cancel(due: DueRow) -> str | None:
    """Return why a delivery must not be sent, or None. The owner's permissions count now, not at the fan-out."""
    if not due.is_active:
        return "The webhook is switched off"
    if not due.owner_is_active:
        return "The account of its owner is switched off"
    if due.scope is WebhookScope.ALL and Permission.ADMIN_ACCESS not in PERMISSIONS[due.role]:
        return "Its owner may not be told of everybody's facts any more"
    return None


def _pause(due: DueRow, answer: Answer) -> timedelta | None:
    """Return the pause after a failure, or None when it was the last attempt."""
    if answer.status == GONE or due.event_type == TEST or due.attempts >= len(PAUSES):
        return None
    # Jitter from the delivery's id instead of a random number: the same attempt always gets the same pause.
    part = zlib.crc32(f"{due.id}.{due.attempts}".encode()) / 2**32
    pause = PAUSES[int(due.attempts)] * (1 + JITTER * part)
    return max(pause, min(timedelta(seconds=answer.retry_after), LONGEST_PAUSE))
