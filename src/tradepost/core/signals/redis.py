"""Signals over Redis publish and subscribe, where there is a Redis."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

from redis.asyncio import Redis
from redis.asyncio.client import PubSub
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from tradepost.core.clock import Clock
from tradepost.core.signals.signals import SharedSignals, Transport

CHANNEL: Final = "tradepost:signals"
TIMEOUT: Final = 2.0
"""Seconds for connecting, and for an answer."""


def open_redis(url: str) -> Redis:
    """Return a client of the Redis at ``url``, which connects when it is first used.

    It does not try again by itself: every caller has something to do instead while Redis is away.
    """
    return Redis.from_url(
        url,
        socket_connect_timeout=TIMEOUT,
        socket_timeout=TIMEOUT,
        retry=Retry(NoBackoff(), 0),
        decode_responses=True,
    )


class _RedisTransport:
    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def send(self, payload: str) -> None:
        await self._redis.publish(CHANNEL, payload)

    async def check(self) -> None:
        await self._redis.ping()


def redis_signals(redis: Redis, clock: Clock) -> SharedSignals:
    """Return signals between all processes that share this Redis."""

    @asynccontextmanager
    async def connect(
        received: Callable[[str], None], broken: Callable[[], None]
    ) -> AsyncIterator[Transport]:
        # Connections from before a gap are dead, and the first payload on each would be lost.
        await redis.connection_pool.disconnect(inuse_connections=False)
        async with redis.pubsub(ignore_subscribe_messages=True) as subscription:
            await subscription.subscribe(CHANNEL)
            receiving = asyncio.create_task(_receive(subscription, received), name="redis signals")
            # However it ends, and be it in good order, nothing is received any more.
            receiving.add_done_callback(lambda _task: broken())
            try:
                yield _RedisTransport(redis)
            finally:
                receiving.cancel()
                await asyncio.gather(receiving, return_exceptions=True)

    return SharedSignals(connect, clock)


async def _receive(subscription: PubSub, received: Callable[[str], None]) -> None:
    async for message in subscription.listen():
        received(str(message["data"]))
