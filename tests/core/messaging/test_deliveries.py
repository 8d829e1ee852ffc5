"""A channel's deliveries at their edges: when they claim again, what they settle until when, and what a stop leaves alone.

The clock stands still unless it is moved.
"""

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest
from sqlalchemy import update

from tests.clock import stopped_clock
from tests.core.messaging.post import FAST, Post, Rang, until
from tests.core.observability.telling import Telling
from tradepost.core.database.engines import Database
from tradepost.core.errors import DatabaseUnavailable
from tradepost.core.messaging import deliveries as delivering
from tradepost.core.messaging.deliveries import Deliveries, Settler
from tradepost.core.messaging.messages import Envelope, Undeliverable
from tradepost.core.messaging.outbox import MessageState, StoredMessage
from tradepost.core.messaging.outcomes import Outcome
from tradepost.core.messaging.retry_policy import TAKEN_OVER_TOO_OFTEN
from tradepost.core.observability.server_timing import timing
from tradepost.core.observability.spans import Span, Tracing
from tradepost.core.observability.trace_context import traceparent

LASTS = FAST.timeout + FAST.grace
CAUSE = f"00-{'1' * 32}-{'2' * 16}-01"


class Bell:
    """Keeps what was delivered to it; ``held`` keeps it from ending."""

    def __init__(self, post: Post) -> None:
        self.post = post
        self.held = asyncio.Event()
        self.held.set()
        self.got: list[int] = []
        self.contexts: list[tuple[str | None, Span | None]] = []
        self.takes = 0.0
        self.failure: Exception | None = None

    async def deliver(self, envelope: Envelope[Rang]) -> None:
        self.got.append(envelope.message.number)
        spent = timing.get()
        self.contexts.append((traceparent.get(), None if spent is None else spent.span))
        self.post.clock.move(self.takes)
        await self.held.wait()
        if self.failure is not None:
            raise self.failure


@pytest.fixture
def post(database: Database) -> Post:
    return Post(database, clock=stopped_clock())


@pytest.fixture
def bell(post: Post) -> Bell:
    bell = Bell(post)
    post.subscriptions.deliver("tests.bell", Rang, FAST, bell.deliver)
    return bell


def deliveries_of(
    post: Post, *, tracing: Tracing | None = None, took: list[float] | None = None
) -> Deliveries:
    def observe(channel: str, outcome: Outcome, seconds: float) -> None:
        post.seen.append((channel, outcome))
        if took is not None:
            took.append(seconds)

    return Deliveries(
        FAST,
        database=post.database,
        subscriptions=post.subscriptions,
        settler=Settler(post.database),
        clock=post.clock,
        observe=observe,
        tracing=tracing,
    )


async def step(deliveries: Deliveries) -> None:
    """Take a step, for which nobody has to give a signal."""
    async with asyncio.timeout(30):
        await deliveries.step()


async def test_what_is_due_at_this_very_moment_is_claimed(post: Post, bell: Bell) -> None:
    await post.send(Rang(1))
    took: list[float] = []
    bell.takes = 2.0
    assert await deliveries_of(post, took=took).deliver_due() == 1
    assert post.seen == [("fast", Outcome.DONE)]
    assert took == [2.0]


async def test_a_claim_that_failed_is_made_again(
    post: Post, bell: Bell, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away() -> None:
        raise DatabaseUnavailable

    await post.send(Rang(1))
    deliveries = deliveries_of(post)
    with monkeypatch.context() as patch:
        patch.setattr(post.database, "transaction", away)
        with pytest.raises(DatabaseUnavailable):
            await step(deliveries)
    await step(deliveries)
    await until(lambda: bell.got == [1] and not deliveries.running)


async def test_where_all_places_were_filled_more_may_be_due(post: Post, bell: Bell) -> None:
    await post.send(*(Rang(number) for number in range(FAST.concurrency + 1)))
    deliveries = deliveries_of(post)
    seen = []
    for _ in range(2):
        await step(deliveries)
        await until(lambda: not deliveries.running)
        seen.append((len(bell.got), deliveries._something_due))
    assert seen == [(FAST.concurrency, True), (FAST.concurrency + 1, False)]


async def test_a_stop_does_not_cancel_what_is_being_settled(post: Post, bell: Bell) -> None:
    await post.send(Rang(1))
    bell.held.clear()
    deliveries = deliveries_of(post)
    await step(deliveries)
    await until(lambda: bell.got == [1])
    async with post.database.transaction() as db:
        # The settlement waits for this.
        await db.execute(update(StoredMessage).values(error="held"))
        bell.held.set()
        await until(lambda: not deliveries._delivering)
        deliveries.stop()
        await deliveries.finish(0.01)
        assert deliveries.running == 1
    await until(lambda: not deliveries.running)
    message = await post.only()
    assert (message.state, message.attempts) == (MessageState.DONE, 1)
    assert post.seen == [("fast", Outcome.DONE)]


async def test_a_cancellation_that_is_no_stop_leaves_a_message_to_its_lease(post: Post, bell: Bell) -> None:
    await post.send(Rang(1))
    bell.held.clear()
    deliveries = deliveries_of(post)
    await step(deliveries)
    await until(lambda: bell.got == [1])
    (task,) = deliveries._running
    task.cancel()
    await asyncio.wait([task])
    message = await post.only()
    assert (message.state, message.attempts) == (MessageState.PENDING, 1)
    assert message.lease is not None
    assert post.seen == []


@pytest.mark.parametrize(
    ("takes", "fault", "outcome"),
    [
        (LASTS - 0.5, DatabaseUnavailable(), Outcome.DONE),
        # The next try would begin as the lease ends.
        (LASTS - 0.25, DatabaseUnavailable(), Outcome.LOST),
        (0.0, ZeroDivisionError(), Outcome.LOST),
    ],
)
async def test_a_settlement_is_tried_again_for_as_long_as_the_lease_lasts(
    post: Post,
    bell: Bell,
    monkeypatch: pytest.MonkeyPatch,
    *,
    takes: float,
    fault: Exception,
    outcome: Outcome,
) -> None:
    monkeypatch.setattr(delivering, "SETTLE_PAUSE", 0.25)
    transaction, faults = post.database.transaction, [fault]

    def failing_once() -> Any:
        if bell.got and faults:
            raise faults.pop()
        return transaction()

    await post.send(Rang(1))
    bell.takes = takes
    monkeypatch.setattr(post.database, "transaction", failing_once)
    assert await deliveries_of(post).deliver_due() == 1
    assert post.seen == [("fast", outcome)]
    assert not faults
    assert ((await post.only()).lease is None) is (outcome is Outcome.DONE)


@pytest.mark.parametrize(("before", "got"), [(TAKEN_OVER_TOO_OFTEN - 1, [1]), (TAKEN_OVER_TOO_OFTEN, [])])
async def test_what_was_taken_over_too_often_waits_first(
    post: Post, bell: Bell, before: int, got: list[int]
) -> None:
    await post.send(Rang(1))
    async with post.database.transaction() as db:
        # As a process leaves it that was killed in the middle.
        await db.execute(update(StoredMessage).values(lease="killed", attempts=before))
    assert await deliveries_of(post).deliver_due() == 1
    assert bell.got == got
    assert (await post.only()).attempts == before + 1


@pytest.fixture
async def caused(post: Post, bell: Bell) -> StoredMessage:
    """Return a message that a trace has caused."""
    before = traceparent.set(CAUSE)
    await post.send(Rang(1))
    traceparent.reset(before)
    return await post.only()


async def test_a_delivery_goes_on_with_the_trace_of_its_message(
    post: Post, bell: Bell, caused: StoredMessage
) -> None:
    assert await deliveries_of(post).deliver_due() == 1
    assert bell.contexts == [(CAUSE, None)]
    # And the next one begins its own.
    assert traceparent.get() is None


@pytest.mark.parametrize(
    ("failure", "outcome", "word"),
    [(None, Outcome.DONE, None), (Undeliverable("never"), Outcome.DEAD, "dead")],
)
async def test_where_spans_are_sent_it_has_its_own(
    post: Post,
    bell: Bell,
    caused: StoredMessage,
    *,
    failure: Exception | None,
    outcome: Outcome,
    word: str | None,
) -> None:
    bell.failure = failure
    tracing = Telling()
    assert await deliveries_of(post, tracing=tracing).deliver_due() == 1
    (span,) = tracing.spans
    assert span.begun == ("deliver tests.bell", CAUSE)
    facts: Mapping[str, str | int] = {
        "tradepost.message.id": caused.id,
        "tradepost.attempt": 1,
        "tradepost.outcome": outcome.value,
    }
    assert span.ends == [(facts, word)]
    assert bell.contexts == [(span.context, span)]


async def test_one_that_is_not_recorded_has_no_parts(post: Post, bell: Bell, caused: StoredMessage) -> None:
    tracing = Telling(recorded=False)
    assert await deliveries_of(post, tracing=tracing).deliver_due() == 1
    (span,) = tracing.spans
    assert bell.contexts == [(span.context, None)]
