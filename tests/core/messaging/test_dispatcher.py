"""From the outbox to the subscribers: once, in order, again after a failure, and never by two at a time."""

import asyncio
import itertools
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select, update

from tests.core.messaging.post import FAST, Knocked, Post, Rang, running, until
from tradepost.core.database.engines import Database
from tradepost.core.database.sessions import WriteSession
from tradepost.core.messaging.backlog import Backlog
from tradepost.core.messaging.dispatcher import KEPT_DEAD, KEPT_DONE, PRUNE_CHUNK
from tradepost.core.messaging.messages import Channel, Envelope, Postponed, Undeliverable
from tradepost.core.messaging.outbox import MessageState, StoredMessage
from tradepost.core.messaging.outcomes import Outcome
from tradepost.core.messaging.retry_policy import FEWEST_ATTEMPTS, UNKNOWN_SUBSCRIPTION_PAUSE
from tradepost.tags.models import Tag


class Sink:
    """Keeps what is delivered to it, and fails as it is told to."""

    def __init__(self) -> None:
        self.got: list[Envelope[Any]] = []
        self.failures: dict[int, Exception] = {}
        self.held: asyncio.Event | None = None
        self.at_once = 0
        self.most_at_once = 0

    @property
    def numbers(self) -> list[int]:
        return [envelope.message.number for envelope in self.got]

    async def deliver(self, envelope: Envelope[Any]) -> None:
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            self.got.append(envelope)
            await (self.held.wait() if self.held else asyncio.sleep(0))
            if failure := self.failures.get(envelope.message.number):
                raise failure
        finally:
            self.at_once -= 1


@pytest.fixture
def post(database: Database) -> Post:
    return Post(database)


@pytest.fixture
def sink(post: Post) -> Sink:
    sink = Sink()
    post.subscriptions.deliver("tests.sink", Rang, FAST, sink.deliver)
    return sink


async def add_tag(db: WriteSession, name: str, clock: Any) -> None:
    db.add(Tag(name=name, created_at=clock.now(), updated_at=clock.now()))
    await db.flush()


async def tag_names(database: Database) -> list[str]:
    async with database.read() as db:
        return list(await db.scalars(select(Tag.name).order_by(Tag.id)))


# --- deliveries -------------------------------------------------------------------------------------------------------


async def test_a_message_is_delivered_once_and_then_done(post: Post, sink: Sink) -> None:
    await post.send(Rang(1), Rang(2), Knocked(3))
    assert len(await post.stored()) == 2, "nobody wants to know who knocked"
    dispatcher = post.dispatcher()
    assert await dispatcher.drain() == 2
    assert await dispatcher.drain() == 0
    assert sorted(sink.numbers) == [1, 2]
    for message in await post.stored():
        assert (message.state, message.attempts, message.lease, message.error) == (
            MessageState.DONE,
            1,
            None,
            None,
        )
        assert message.settled_at is not None
    assert post.seen == [("fast", Outcome.DONE)] * 2


async def test_a_transaction_that_is_rolled_back_sends_nothing(post: Post, sink: Sink) -> None:
    async def changes_its_mind() -> None:
        async with post.database.transaction() as db:
            await post.outbox.add(db, Rang(1))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await changes_its_mind()
    assert await post.dispatcher().drain() == 0
    assert sink.got == []


async def test_a_failed_attempt_is_tried_again_later_and_later(post: Post, sink: Sink) -> None:
    await post.send(Rang(1))
    sink.failures[1] = ValueError("the bell is\nbroken\x00")
    dispatcher = post.dispatcher()
    pauses = []
    for attempt in range(1, 6):
        before = post.clock.now()
        assert await dispatcher.drain() == 1
        message = await post.only()
        assert (message.state, message.attempts, message.lease) == (MessageState.PENDING, attempt, None)
        assert message.error == "ValueError: the bell is broken"
        pauses.append(round((message.due_at - before).total_seconds()))
        post.clock.move(pauses[-1] - 5)
        assert await dispatcher.drain() == 0, "not yet due"
        post.clock.move(10)
    assert pauses == [10, 20, 40, 80, 160]
    assert [envelope.attempts for envelope in sink.got] == [1, 2, 3, 4, 5]
    assert len({envelope.id for envelope in sink.got}) == 1
    sink.failures.clear()
    assert await dispatcher.drain() == 1
    done = await post.only()
    assert (done.state, done.attempts, done.error) == (MessageState.DONE, 6, None)


async def test_a_message_that_always_fails_is_dead_in_the_end(post: Post, sink: Sink) -> None:
    await post.send(Rang(1))
    sink.failures[1] = ValueError("broken")
    dispatcher = post.dispatcher()
    attempts = 0
    while (await post.only()).state is MessageState.PENDING:
        attempts += await dispatcher.drain()
        post.clock.move(FAST.longest_pause * 1.3)
    assert FAST.max_age / FAST.longest_pause / 2 < attempts < FAST.max_age / FAST.longest_pause + 20
    dead = await post.only()
    assert (dead.state, dead.error) == (MessageState.DEAD, "ValueError: broken")
    assert await dispatcher.drain() == 0
    assert post.seen[-1] == ("fast", Outcome.DEAD)


async def test_a_message_that_waited_for_long_is_tried_all_the_same(post: Post, sink: Sink) -> None:
    await post.send(Rang(1))
    post.clock.move(2 * FAST.max_age)
    await post.dispatcher().drain()
    assert (await post.only()).state is MessageState.DONE


async def test_a_message_that_waited_for_long_gets_more_than_one_attempt(post: Post, sink: Sink) -> None:
    await post.send(Rang(1))
    sink.failures[1] = ValueError("too many at once")
    dispatcher = post.dispatcher()
    post.clock.move(2 * FAST.max_age)
    for attempts in range(1, FEWEST_ATTEMPTS + 1):
        assert (await post.only()).state is MessageState.PENDING
        assert await dispatcher.drain() == 1
        assert (await post.only()).attempts == attempts
        post.clock.move(FAST.longest_pause * 1.3)
    assert (await post.only()).state is MessageState.DEAD


async def test_the_age_counts_from_when_a_message_is_first_due(post: Post, sink: Sink) -> None:
    await post.send(Rang(1), due_at=post.clock.now() + timedelta(days=30))
    sink.failures[1] = ValueError("broken")
    dispatcher = post.dispatcher()
    assert await dispatcher.drain() == 0
    post.clock.move(timedelta(days=31))
    assert await dispatcher.drain() == 1
    assert (await post.only()).state is MessageState.PENDING


async def test_what_can_never_be_delivered_is_dead_at_once(post: Post, sink: Sink) -> None:
    await post.send(Rang(1))
    sink.failures[1] = Undeliverable("nobody lives there " + "x" * 1000)
    assert await post.dispatcher().drain() == 1
    message = await post.only()
    assert message.state is MessageState.DEAD
    assert message.error is not None
    assert message.error.startswith("nobody lives there")
    assert len(message.error) == 500


async def test_what_is_postponed_waits_as_long_as_was_asked_for(post: Post, sink: Sink) -> None:
    await post.send(Rang(1))
    sink.failures[1] = Postponed("too many bells", timedelta(seconds=77))
    before = post.clock.now()
    await post.dispatcher().drain()
    message = await post.only()
    assert (message.state, message.error) == (MessageState.PENDING, "too many bells")
    assert 76 < (message.due_at - before).total_seconds() < 80


async def test_a_delivery_that_takes_too_long_is_broken_off_and_tried_again(post: Post) -> None:
    sink = Sink()
    sink.held = asyncio.Event()
    post.subscriptions.deliver("tests.slow", Rang, replace(FAST, timeout=0.05), sink.deliver)
    await post.send(Rang(1))
    await post.dispatcher().drain()
    message = await post.only()
    assert (message.state, message.error) == (MessageState.PENDING, "took too long: more than 0.05 s")
    assert sink.at_once == 0


async def test_no_more_are_taken_than_there_are_places_for(post: Post, sink: Sink) -> None:
    sink.held = asyncio.Event()
    await post.send(*(Rang(number) for number in range(30)))
    async with running(post.dispatcher()):
        await until(lambda: sink.at_once == FAST.concurrency)
        await asyncio.sleep(0.05)
        taken = [message for message in await post.stored() if message.lease is not None]
        assert len(taken) == FAST.concurrency
        sink.held.set()
        await until(lambda: post.seen.count(("fast", Outcome.DONE)) == 30)
    assert sorted(sink.numbers) == list(range(30))
    assert sink.most_at_once == FAST.concurrency


async def test_a_hanging_channel_delays_no_other(post: Post, sink: Sink) -> None:
    hanging = Sink()
    hanging.held = asyncio.Event()
    post.subscriptions.deliver("tests.hanging", Rang, Channel("hanging", concurrency=2), hanging.deliver)
    reacted: list[int] = []

    async def react(_session: WriteSession, envelopes: Sequence[Envelope[Rang]]) -> None:
        reacted.extend(envelope.message.number for envelope in envelopes)

    post.subscriptions.react("tests.react", Rang, react)
    async with running(post.dispatcher()):
        await post.send(*(Rang(number) for number in range(20)))
        await until(lambda: len(sink.got) == 20 and len(reacted) == 20)
        assert len(hanging.got) == 2
        hanging.held.set()
        await until(lambda: len(hanging.got) == 20)


async def test_a_poisonous_message_blocks_nobody(post: Post, sink: Sink) -> None:
    sink.failures[0] = ValueError("poison")
    await post.send(*(Rang(number) for number in range(20)))
    await post.dispatcher().drain()
    states = Counter(message.state for message in await post.stored())
    assert states == {MessageState.DONE: 19, MessageState.PENDING: 1}


async def test_a_message_that_nobody_can_read_is_dead_and_says_why(post: Post, sink: Sink) -> None:
    await post.send(Rang(1))
    async with post.database.transaction() as db:
        await db.execute(update(StoredMessage).values(payload={"number": "secret words"}))
    await post.dispatcher().drain()
    message = await post.only()
    assert message.state is MessageState.DEAD
    assert message.error is not None
    assert "number" in message.error
    assert "secret words" not in message.error


@pytest.mark.parametrize("channel", ["fast", "reactions"])
async def test_a_subscription_of_another_release_is_waited_for(post: Post, sink: Sink, channel: str) -> None:
    await post.send(Rang(1))
    async with post.database.transaction() as db:
        await db.execute(update(StoredMessage).values(subscription="tests.newer", channel=channel))
    dispatcher = post.dispatcher()
    before = post.clock.now()
    await dispatcher.drain()
    message = await post.only()
    assert (message.state, message.lease) == (MessageState.PENDING, None)
    assert message.error == f"this version has no subscription tests.newer on channel {channel}"
    assert message.due_at - before >= UNKNOWN_SUBSCRIPTION_PAUSE
    post.clock.move(FAST.max_age + 1)
    await dispatcher.drain()
    assert (await post.only()).state is MessageState.DEAD


async def test_messages_on_a_channel_of_another_release_are_readdressed_or_given_up(
    post: Post, sink: Sink
) -> None:
    await post.send(Rang(1), Rang(2))
    async with post.database.transaction() as db:
        await db.execute(update(StoredMessage).values(channel="pigeon"))
        newest = (await db.scalars(select(StoredMessage.id).order_by(-StoredMessage.id))).first()
        await db.execute(
            update(StoredMessage).where(StoredMessage.id == newest).values(subscription="tests.gone")
        )
    dispatcher = post.dispatcher()
    assert await dispatcher.drain() == 0
    await dispatcher.run_jobs()
    assert await dispatcher.drain() == 1
    assert sink.numbers == [1]
    post.clock.move(2 * FAST.max_age + 1)
    await dispatcher.run_jobs()
    assert [message.state for message in await post.stored()] == [MessageState.DEAD]


# --- leases -----------------------------------------------------------------------------------------------------------


async def test_a_lease_that_ended_is_taken_over_and_its_first_holder_settles_nothing(
    post: Post, sink: Sink
) -> None:
    await post.send(Rang(1))
    sink.held = asyncio.Event()
    first = asyncio.create_task(post.dispatcher().drain())
    await until(lambda: len(sink.got) == 1)
    second = post.dispatcher()
    assert await second.drain() == 0, "it is leased"
    post.clock.move(FAST.timeout + FAST.grace + 1)
    sink.failures[1] = Undeliverable("the first says never")
    other = asyncio.create_task(second.drain())
    await until(lambda: len(sink.got) == 2)
    held = await post.only()
    sink.held.set()
    await first
    await other
    assert [envelope.attempts for envelope in sink.got] == [1, 2]
    assert held.lease is not None
    assert sorted(outcome for _, outcome in post.seen) == [Outcome.DEAD, Outcome.LOST]


@pytest.mark.parametrize("failure", [None, Undeliverable("never"), ValueError("broken")])
async def test_settling_after_a_lost_lease_changes_nothing(
    post: Post, sink: Sink, failure: Exception | None
) -> None:
    await post.send(Rang(1))
    if failure is not None:
        sink.failures[1] = failure
    sink.held = asyncio.Event()
    draining = asyncio.create_task(post.dispatcher().drain())
    await until(lambda: len(sink.got) == 1)
    async with post.database.transaction() as db:
        await db.execute(update(StoredMessage).values(lease="somebody else"))
    before = await post.only()
    sink.held.set()
    await draining
    after = await post.only()
    assert {name: getattr(after, name) for name in StoredMessage.__table__.columns.keys()} == {  # noqa: SIM118
        name: getattr(before, name)
        for name in StoredMessage.__table__.columns.keys()  # noqa: SIM118
    }
    assert post.seen == [("fast", Outcome.LOST)]


async def test_a_message_on_which_processes_end_again_and_again_waits_in_between(
    post: Post, sink: Sink
) -> None:
    await post.send(Rang(1))
    taken = 0
    for _ in range(8):
        # As a process leaves it that was killed in the middle.
        async with post.database.transaction() as db:
            await db.execute(
                update(StoredMessage).values(
                    lease="killed", due_at=post.clock.now(), attempts=StoredMessage.attempts + 1
                )
            )
        await post.dispatcher().drain()
        message = await post.only()
        if message.state is MessageState.DONE:
            taken += 1
            async with post.database.transaction() as db:
                await db.execute(update(StoredMessage).values(state="pending", settled_at=None))
        else:
            assert message.lease is None
            assert message.due_at > post.clock.now()
    assert taken == 1


@pytest.mark.parametrize("number", [2, 4])
async def test_several_dispatchers_never_handle_one_message_at_the_same_time(post: Post, number: int) -> None:
    handled: Counter[int] = Counter()
    reacted: Counter[int] = Counter()
    order: list[int] = []
    in_hand: set[int] = set()

    async def deliver(envelope: Envelope[Rang]) -> None:
        assert envelope.id not in in_hand
        in_hand.add(envelope.id)
        handled[envelope.message.number] += 1
        await asyncio.sleep(0.001)
        in_hand.discard(envelope.id)

    async def react(_session: WriteSession, envelopes: Sequence[Envelope[Rang]]) -> None:
        await asyncio.sleep(0)
        reacted.update(envelope.message.number for envelope in envelopes)
        order.extend(envelope.id for envelope in envelopes)

    post.subscriptions.deliver("tests.deliver", Rang, FAST, deliver)
    post.subscriptions.react("tests.react", Rang, react)
    databases = [Database(post.database.options) for _ in range(number)]
    numbers = itertools.count()
    total = 400
    try:
        async with running(*(post.dispatcher(database) for database in databases)):
            for _ in range(total // 10):
                await post.send(*(Rang(next(numbers)) for _ in range(10)))
            await until(lambda: post.seen.count(("fast", Outcome.DONE)) == total)
            await until(lambda: post.seen.count(("reactions", Outcome.DONE)) == total)
    finally:
        for database in databases:
            await database.close()
    assert handled == Counter(range(total))
    assert reacted == Counter(range(total))
    assert order == sorted(order)


# --- reactions --------------------------------------------------------------------------------------------------------


async def test_reactions_get_groups_in_order_and_write_exactly_once(post: Post) -> None:
    groups: list[list[int]] = []

    async def react(db: WriteSession, envelopes: Sequence[Envelope[Any]]) -> None:
        groups.append([envelope.message.number for envelope in envelopes])
        for envelope in envelopes:
            await add_tag(db, f"rang {envelope.message.number}", post.clock)

    # One reaction to two types sees them in one order.
    post.subscriptions.react("tests.rang", Rang, react)
    post.subscriptions.react("tests.knocked", Knocked, react)
    await post.send(*(Rang(number) if number % 3 else Knocked(number) for number in range(250)))
    dispatcher = post.dispatcher()
    assert await dispatcher.drain() == 250
    assert await dispatcher.drain() == 0
    assert [len(group) for group in groups] == [100, 100, 50]
    assert [number for group in groups for number in group] == list(range(250))
    assert len(await tag_names(post.database)) == 250


async def test_a_poisonous_message_fails_alone(post: Post) -> None:
    async def react(db: WriteSession, envelopes: Sequence[Envelope[Rang]]) -> None:
        for envelope in envelopes:
            await add_tag(db, f"rang {envelope.message.number}", post.clock)
            if envelope.message.number == 3:
                raise ValueError("poison")

    post.subscriptions.react("tests.rang", Rang, react)
    await post.send(*(Rang(number) for number in range(6)))
    dispatcher = post.dispatcher()
    await dispatcher.drain()
    assert await tag_names(post.database) == [f"rang {number}" for number in (0, 1, 2, 4, 5)]
    states = [(message.state, message.attempts, message.error) for message in await post.stored()]
    assert states.pop(3) == (MessageState.PENDING, 1, "ValueError: poison")
    assert set(states) == {(MessageState.DONE, 1, None)}
    post.clock.move(6)
    await dispatcher.drain()
    assert (await post.stored())[3].attempts == 2
    for _ in range(FEWEST_ATTEMPTS - 2):
        post.clock.move(4 * 24 * 3600)
        await dispatcher.drain()
    assert (await post.stored())[3].state is MessageState.DEAD


async def test_a_statement_that_the_database_refuses_is_the_messages_own_trouble(post: Post) -> None:
    async def react(db: WriteSession, envelopes: Sequence[Envelope[Rang]]) -> None:
        for envelope in envelopes:
            await add_tag(db, "the same" if envelope.message.number else "another", post.clock)

    post.subscriptions.react("tests.rang", Rang, react)
    await post.send(Rang(0), Rang(1), Rang(2))
    await post.dispatcher().drain()
    assert await tag_names(post.database) == ["another", "the same"]
    failed = (await post.stored())[2]
    assert failed.state is MessageState.PENDING
    assert failed.error is not None
    assert "INSERT" not in failed.error


async def test_what_comes_of_a_reaction_is_delivered_too(post: Post, sink: Sink) -> None:
    async def react(db: WriteSession, envelopes: Sequence[Envelope[Knocked]]) -> None:
        await post.outbox.add(db, *(Rang(envelope.message.number) for envelope in envelopes))

    post.subscriptions.react("tests.knocked", Knocked, react)
    await post.send(Knocked(7))
    assert await post.dispatcher().drain() == 2
    assert sink.numbers == [7]


# --- running, and stopping --------------------------------------------------------------------------------------------


async def test_a_commit_wakes_the_dispatcher_and_what_is_due_later_comes_later(
    post: Post, sink: Sink
) -> None:
    async with running(post.dispatcher()):
        await asyncio.sleep(0.05)
        loop = asyncio.get_running_loop()
        sent = loop.time()
        await post.send(Rang(1))
        await until(lambda: sink.numbers == [1])
        await post.send(Rang(2), due_at=post.clock.now() + timedelta(seconds=1.5))
        await until(lambda: sink.numbers == [1, 2])
        assert loop.time() - sent > 1.4


async def test_what_no_signal_told_of_is_found_all_the_same(post: Post, sink: Sink) -> None:
    stranger = Post(post.database, clock=post.clock, subscriptions=post.subscriptions)
    async with running(post.dispatcher()):
        await asyncio.sleep(0.05)
        await stranger.send(Rang(1))
        await until(lambda: sink.numbers == [1])


async def test_a_stop_waits_for_what_is_under_way(post: Post, sink: Sink) -> None:
    sink.held = asyncio.Event()
    await post.send(Rang(1))
    async with running(post.dispatcher()):
        await until(lambda: sink.at_once == 1)
        asyncio.get_running_loop().call_later(0.2, sink.held.set)
    assert (await post.only()).state is MessageState.DONE


async def test_a_stop_hands_back_what_does_not_end(
    post: Post, sink: Sink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tradepost.core.messaging.dispatcher.STOP_SECONDS", 2.0)
    sink.held = asyncio.Event()
    await post.send(*(Rang(number) for number in range(20)))
    async with running(post.dispatcher()):
        await until(lambda: sink.at_once == FAST.concurrency)
    for message in await post.stored():
        assert (message.state, message.lease, message.attempts) == (MessageState.PENDING, None, 0)
        assert message.due_at <= post.clock.now()
    sink.held = None
    assert await post.dispatcher().drain() == 20


# --- recurring jobs ---------------------------------------------------------------------------------------------------


async def test_settled_messages_are_pruned_in_time(post: Post, sink: Sink) -> None:
    sink.failures[0] = Undeliverable("never")
    await post.send(*(Rang(number) for number in range(PRUNE_CHUNK + 5)))
    dispatcher = post.dispatcher()
    await dispatcher.drain()
    await dispatcher.run_jobs()
    assert len(await post.stored()) == PRUNE_CHUNK + 5
    post.clock.move(KEPT_DONE + timedelta(seconds=1))
    await dispatcher.run_jobs()
    assert [message.state for message in await post.stored()] == [MessageState.DEAD]
    post.clock.move(KEPT_DEAD - KEPT_DONE + timedelta(seconds=1))
    await dispatcher.run_jobs()
    assert await post.stored() == []


# --- what is shown of it ----------------------------------------------------------------------------------------------


async def test_the_backlog_says_how_many_wait_for_how_long(post: Post, sink: Sink) -> None:
    shown: dict[str, tuple[int, int, float]] = {}

    def show(channel: str, *, waiting: int, dead: int, lag: float) -> None:
        shown[channel] = (waiting, dead, lag)

    backlog = Backlog(post.database, post.subscriptions, post.clock, show)
    await backlog.measure()
    assert shown == {"fast": (0, 0, 0.0), "reactions": (0, 0, 0.0)}
    sink.failures[0] = Undeliverable("never")
    await post.send(Rang(0))
    await post.dispatcher().drain()
    await post.send(Rang(1), Rang(2))
    post.clock.move(60)
    await backlog.measure()
    waiting, dead, lag = shown["fast"]
    assert (waiting, dead) == (2, 1)
    assert lag >= 60
