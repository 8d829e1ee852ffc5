"""Hints over Redis publish and subscribe, where there is a Redis."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

from redis.asyncio import Redis
from redis.asyncio.client import PubSub
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from tradepost.core.clock import Clock
from tradepost.core.signals.signals import Line, Listener, SharedSignals

CHANNEL: Final = "tradepost:signals"
TIMEOUT: Final = 2.0
"""Seconds for connecting, and for an answer."""


def open_redis(url: str) -> Redis:
    """Return a client of the Redis at ``url``, which connects when it is first used.

    It does not try again by itself: whoever uses it has something to do instead while Redis is away.
    """
    return Redis.from_url(
        url,
        socket_connect_timeout=TIMEOUT,
        socket_timeout=TIMEOUT,
        retry=Retry(NoBackoff(), 0),
        decode_responses=True,
    )


class _RedisLine:
    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def say(self, word: str) -> None:
        await self._redis.publish(CHANNEL, word)

    async def check(self) -> None:
        await self._redis.ping()


def redis_signals(redis: Redis, clock: Clock) -> SharedSignals:
    """Return hints between all processes that share this Redis."""

    @asynccontextmanager
    async def connect(heard: Listener, broken: Callable[[], None]) -> AsyncIterator[Line]:
        # Those from before a gap are dead, and the first word on each would be lost.
        await redis.connection_pool.disconnect(inuse_connections=False)
        async with redis.pubsub(ignore_subscribe_messages=True) as subscription:
            await subscription.subscribe(CHANNEL)
            hearing = asyncio.create_task(_hear(subscription, heard), name="redis signals")
            # However it ends, and be it in good order, nothing is heard any more.
            hearing.add_done_callback(lambda _task: broken())
            try:
                yield _RedisLine(redis)
            finally:
                hearing.cancel()
                await asyncio.gather(hearing, return_exceptions=True)

    return SharedSignals(connect, clock)


async def _hear(subscription: PubSub, heard: Listener) -> None:
    async for message in subscription.listen():
        heard(str(message["data"]))
