"""The rate limiter of many processes: the same algorithm as ``rate_limiter``, run by Redis in one script.

Hits that arrive while a script is under way go out with the next one, each judged by itself: the count is exact over all
processes, and Redis is asked once for many requests. Without Redis each process counts for itself, and says so.
"""

import asyncio
import hashlib
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from tradepost.core.batching.coalescer import Coalescer
from tradepost.core.clock import Clock
from tradepost.core.deadlines import Stage
from tradepost.core.errors import Unavailable
from tradepost.core.rate_limiter import LocalRateLimiter, Verdict
from tradepost.core.settings.settings import Rate

PATIENCE: Final = 1.0
"""Seconds for which a request waits for Redis, once, before each process counts for itself. Long beside an answer of Redis:
a busy machine must not turn one limit into several."""
PAUSE: Final = 1.0
"""Seconds before Redis is tried again, beside the requests."""
LANES: Final = 2
_GRACE: Final = 10
"""Turns of the loop in which an answer that has come is read, though the loop was late and the time is up."""
_MICROSECONDS: Final = 1_000_000

_SCRIPT: Final = """
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local answers = {}
for at, key in ipairs(KEYS) do
  local interval = tonumber(ARGV[3 * at - 2])
  local window = tonumber(ARGV[3 * at - 1])
  local cost = tonumber(ARGV[3 * at])
  local before = math.max(tonumber(redis.call('GET', key) or now), now)
  local after = before + cost * interval
  local wait = after - window - now
  if wait > 1 then
    answers[at] = {0, math.ceil(before - now), math.ceil(wait)}
  else
    redis.call('SET', key, string.format('%.3f', after), 'PX', math.ceil((after - now) / 1000) + 1)
    answers[at] = {1, math.ceil(after - now), 0}
  end
end
return answers
"""
"""Reads of each key when nothing of its hits is left, in microseconds of Redis's own clock, and moves it on."""

T = TypeVar("T")

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class _Hit:
    """One hit, equal to no other."""

    key: str
    rate: Rate
    cost: int


class SharedRateLimiter:
    """Counts hits in Redis; while that is away, silent or full, in this process alone.

    It goes back to Redis by itself, after a look that no request waits for.
    """

    def __init__(self, redis: "Redis", local: LocalRateLimiter, clock: Clock) -> None:
        self._redis = redis
        self._local = local
        self._monotonic = clock.monotonic
        self._script: Any = redis.register_script(_SCRIPT)
        self._hits: Coalescer[_Hit, Verdict] = Coalescer(
            self._judge, lanes=LANES, max_batch=128, stage=Stage.NOTHING
        )
        self._away_until: float | None = None
        self._look: asyncio.Task[None] | None = None

    async def hit(self, key: str, rate: Rate, *, cost: int = 1) -> Verdict:
        """Count ``cost`` hits on ``key``."""
        if cost > rate.limit:
            raise ValueError(f"{cost} at once can never be allowed by {rate}")
        if self._away_until is None:
            try:
                verdict = await self._hits.find(_Hit(key, rate, cost))
            except Unavailable:
                verdict = None
            if verdict is not None:
                return verdict
        elif self._monotonic() >= self._away_until and (self._look is None or self._look.done()):
            self._look = asyncio.create_task(self._look_for_redis(), name="look for redis")
        return await self._local.hit(key, rate, cost=cost)

    async def close(self) -> None:
        """Stop looking for Redis; the client of it is its owner's."""
        if self._look is not None:
            self._look.cancel()
            await asyncio.gather(self._look, return_exceptions=True)

    async def _judge(self, hits: Sequence[_Hit]) -> Mapping[_Hit, Verdict]:
        """Return the verdicts of Redis, or none of them when it fails: the callers then count here."""
        if self._away_until is not None:
            return {}
        arguments: list[float] = []
        for hit in hits:
            window = hit.rate.seconds * _MICROSECONDS
            arguments += (window / hit.rate.limit, window, hit.cost)
        asked = self._script(keys=[_name(hit.key) for hit in hits], args=arguments)
        try:
            answers = await _within(PATIENCE, asked)
        except (RedisError, OSError, TimeoutError) as error:
            self._leave(type(error).__name__)
            return {}
        return {hit: _verdict(hit.rate, *answer) for hit, answer in zip(hits, answers, strict=True)}

    def _leave(self, reason: str) -> None:
        if self._away_until is None:
            log.warning("rate limits are counted by each process for itself: Redis fails", reason=reason)
        self._away_until = self._monotonic() + PAUSE

    async def _look_for_redis(self) -> None:
        try:
            # Redis that is full answers a ping, and takes no count.
            await _within(PATIENCE, self._script(keys=[_name("look")], args=[1, _MICROSECONDS, 1]))
        except (RedisError, OSError, TimeoutError):
            self._away_until = self._monotonic() + PAUSE
        else:
            self._away_until = None
            log.info("rate limits are counted in Redis again")


def _name(key: str) -> str:
    """Return the name of a key in Redis. Its own may hold an address, or be of any length."""
    return (
        "tradepost:limit:" + hashlib.blake2b(key.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
    )


def _verdict(rate: Rate, allowed: int, left_us: int, wait_us: int) -> Verdict:
    reset_after = left_us / _MICROSECONDS
    interval = rate.seconds / rate.limit
    return Verdict(
        allowed=bool(allowed),
        limit=rate.limit,
        remaining=max(0, int((rate.seconds - reset_after) / interval + 1e-6)),
        reset_after=reset_after,
        retry_after=wait_us / _MICROSECONDS,
        is_shared=True,
    )


async def _within(seconds: float, work: Awaitable[T]) -> T:
    """Return the result of ``work``; ``TimeoutError`` after so many seconds.

    The lateness of this process's own loop is not held against Redis: an answer that has come by then is read.
    """
    task = asyncio.ensure_future(work)
    try:
        await asyncio.wait({task}, timeout=seconds)
        for _ in range(_GRACE):
            if task.done():
                return task.result()
            await asyncio.sleep(0)
        raise TimeoutError
    finally:
        if not task.done():
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
