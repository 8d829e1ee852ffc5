"""Statements about messages at their boundaries: the very moment at which one is due, was settled or expired.

The clock stands still unless it is moved.
"""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import update

from tests.clock import stopped_clock
from tests.core.messaging.post import FAST, Knocked, Post, Rang
from tradepost.core.database.engines import Database
from tradepost.core.database.sessions import WriteSession
from tradepost.core.messaging.dispatcher import UNKNOWN_CHANNELS_KEPT
from tradepost.core.messaging.messages import Channel, Envelope
from tradepost.core.messaging.outbox import MessageState, StoredMessage
from tradepost.core.messaging.repository import MessageRepository
from tradepost.core.messaging.retry_policy import FEWEST_ATTEMPTS

MOMENT = timedelta(microseconds=1)


@pytest.fixture
def post(database: Database) -> Post:
    return Post(database, clock=stopped_clock())


async def deliver(_envelope: Envelope[Any]) -> None:
    """Be done."""


async def test_a_reaction_comes_at_the_moment_at_which_it_is_due_and_its_next_try_too(post: Post) -> None:
    attempts: list[int] = []

    async def react(_db: WriteSession, envelopes: Sequence[Envelope[Rang]]) -> None:
        attempts.extend(envelope.attempts for envelope in envelopes)
        raise ValueError("broken")

    post.subscriptions.react("tests.react", Rang, react)
    await post.send(Rang(1))
    dispatcher, message = post.dispatcher(), await post.only()
    for attempt in range(1, FEWEST_ATTEMPTS):
        attempts.clear()
        assert await dispatcher.drain() == 1
        assert set(attempts) == {attempt}
        message = await post.only()
        assert (message.state, message.attempts, message.settled_at) == (MessageState.PENDING, attempt, None)
        post.clock.move(message.due_at - post.clock.now() - MOMENT)
        assert await dispatcher.drain() == 0
        post.clock.move(MOMENT)
    post.clock.move(message.expires_at - message.created_at)
    assert await dispatcher.drain() == 1
    message = await post.only()
    assert (message.state, message.attempts) == (MessageState.DEAD, FEWEST_ATTEMPTS)
    assert message.settled_at == post.clock.now()


async def test_each_channel_is_told_its_own_first_moment(post: Post) -> None:
    now = post.clock.now()
    post.subscriptions.deliver("tests.fast", Rang, FAST, deliver)
    post.subscriptions.deliver("tests.slow", Knocked, Channel("slow"), deliver)
    for seconds, message in ((5, Rang(1)), (3, Rang(2)), (7, Knocked(3)), (9, Knocked(4))):
        await post.send(message, due_at=now + timedelta(seconds=seconds))
    async with post.database.read() as db:
        due = await MessageRepository(db).next_due(["fast", "slow", "empty"])
    assert due == {"fast": now + timedelta(seconds=3), "slow": now + timedelta(seconds=7)}


async def test_what_was_settled_is_kept_for_its_whole_time(post: Post) -> None:
    post.subscriptions.deliver("tests.fast", Rang, FAST, deliver)
    await post.send(Rang(1))
    dispatcher = post.dispatcher()
    assert await dispatcher.drain() == 1
    before = post.clock.now() + MOMENT
    seen = []
    async with post.database.transaction() as db:
        messages = MessageRepository(db)
        for state, moment in (
            (MessageState.DEAD, before),
            (MessageState.DONE, before - MOMENT),
            (MessageState.DONE, before),
        ):
            seen.append(await messages.prune(state, before=moment, limit=10))
    assert seen == [0, 0, 1]


async def test_a_message_of_an_unknown_channel_is_given_up_when_it_has_waited_for_longer(post: Post) -> None:
    post.subscriptions.deliver("tests.fast", Rang, FAST, deliver)
    await post.send(Rang(1))
    async with post.database.transaction() as db:
        await db.execute(update(StoredMessage).values(channel="pigeon"))
    expires_at = (await post.only()).expires_at
    seen = []
    async with post.database.transaction() as db:
        messages = MessageRepository(db)
        for now in (expires_at + UNKNOWN_CHANNELS_KEPT, expires_at + UNKNOWN_CHANNELS_KEPT + MOMENT):
            seen.append(await messages.bury_unknown_channels(["fast"], now=now, longer=UNKNOWN_CHANNELS_KEPT))
    assert seen == [0, 1]
    dead = await post.only()
    assert (dead.state, dead.settled_at) == (MessageState.DEAD, now)
