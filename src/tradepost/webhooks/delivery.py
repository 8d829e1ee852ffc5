"""Carries planned deliveries to their receivers, and writes down what came of it."""

import zlib
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Final

from tradepost.accounts.permissions import PERMISSIONS, Permission
from tradepost.core.batching.coalescer import Coalescer
from tradepost.core.clock import Clock
from tradepost.core.database.engines import Database
from tradepost.core.messaging.messages import Channel, Envelope, Postponed
from tradepost.webhooks.attempts import Attempt, AttemptLog
from tradepost.webhooks.facts import TEST
from tradepost.webhooks.messages import WebhookDue
from tradepost.webhooks.repository import DeliveryRepository, DueRow
from tradepost.webhooks.schemas import DeliveryState, Scope
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
from tradepost.webhooks.turns import Turns

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
"""Between attempts: five seconds at first, and ten attempts within a little more than two days in all."""
LONGEST_PAUSE: Final = timedelta(hours=24)
"""As long as a ``Retry-After`` is heeded."""
SPREAD: Final = 0.2
"""By what part a pause may be longer, so that what failed together is not tried together."""
LONGEST_LIFE: Final = timedelta(days=8)
"""After which a delivery is over, whatever became of the message that should have had it sent."""
KEPT: Final = timedelta(days=30)
PRUNE_CHUNK: Final = 1000

PLACES_PER_RECEIVER: Final = 4
PLACES_PER_PERSON: Final = 8
"""One person may have twenty receivers, all of them slow."""

CHANNEL: Final = Channel(
    "webhooks",
    concurrency=CONCURRENCY,
    # Room for the database before and after.
    timeout=ANSWER_TIMEOUT + EXCERPT_TIMEOUT + 13.0,
    max_age=LONGEST_LIFE.total_seconds(),
)


class WebhookDeliverer:
    """Sends deliveries over the channel for webhooks.

    A delivery that is over, whichever way, is no dead message: its own log says what became of it, and its owner can
    have it sent again. What the operator sees as dead is only what went wrong on our side.
    """

    def __init__(
        self,
        database: Database,
        *,
        sender: WebhookSender,
        signer: Signer,
        rules: TargetRules,
        log: AttemptLog,
        clock: Clock,
    ) -> None:
        self._database = database
        self._sender = sender
        self._signer = signer
        self._rules = rules
        self._log = log
        self._clock = clock
        self._turns = Turns(clock)
        self._reads = Coalescer(self._find)

    async def deliver(self, envelope: Envelope[WebhookDue]) -> None:
        """Make one attempt, unless nobody wants it any more; ``Postponed`` when there is to be another."""
        due = await self._reads.get(envelope.message.delivery_id)
        if due is None or due.state is not DeliveryState.PENDING:
            return
        if reason := _unwanted(due):
            await self._cancel(due.id, reason)
            return
        async with self._turns.turn(self._places(due)):
            started = self._clock.monotonic()
            answer = await self._attempt(due)
            took = timedelta(seconds=self._clock.monotonic() - started)
        pause = None if answer.delivered else _pause(due, answer)
        if await self._log.note(Attempt(due, answer, took, self._clock.now(), pause)) and pause is not None:
            raise Postponed(answer.error or "", pause)

    async def clear_up(self) -> None:
        """End deliveries that should be over long since, and delete what is older than the log goes back."""
        now = self._clock.now()
        async with self._database.transaction() as db:
            await DeliveryRepository(db).give_up(
                before=now - LONGEST_LIFE, now=now, reason="It could not be sent in time"
            )
        deleted = PRUNE_CHUNK
        while deleted == PRUNE_CHUNK:
            async with self._database.transaction() as db:
                deleted = await DeliveryRepository(db).prune(before=now - KEPT, limit=PRUNE_CHUNK)

    async def _find(self, delivery_ids: Sequence[int]) -> Mapping[int, DueRow]:
        async with self._database.read() as db:
            return {row.id: row for row in await DeliveryRepository(db).find_due(delivery_ids)}

    def _places(self, due: DueRow) -> dict[str, int]:
        try:
            receiver = self._rules.read(due.url).origin
        except UnacceptableTarget:
            receiver = due.url
        return {f"receiver {receiver}": PLACES_PER_RECEIVER, f"person {due.user_id}": PLACES_PER_PERSON}

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


def _unwanted(due: DueRow) -> str | None:
    """Say why a delivery is not to be sent, if so. What its owner may see counts now, not when it was planned."""
    if not due.is_active:
        return "The webhook is switched off"
    if not due.owner_is_active:
        return "The account of its owner is switched off"
    if due.scope is Scope.ALL and Permission.ADMIN_ACCESS not in PERMISSIONS[due.role]:
        return "Its owner may not be told of everybody's facts any more"
    return None


def _pause(due: DueRow, answer: Answer) -> timedelta | None:
    """Return how long to wait after a failure, or None when this was the last attempt."""
    if answer.status == GONE or due.event_type == TEST or due.attempts >= len(PAUSES):
        return None
    # Not by chance but by the delivery: what is planned for the same second is spread all the same.
    part = zlib.crc32(f"{due.id}.{due.attempts}".encode()) / 2**32
    pause = PAUSES[int(due.attempts)] * (1 + SPREAD * part)
    return max(pause, min(timedelta(seconds=answer.retry_after), LONGEST_PAUSE))
