"""The rate limiter in simulated schedules: over no window it lets more through than its rule, and no less than it says."""

import asyncio
from collections import defaultdict

import pytest

from tests.simulation.loop import SimulatedClock, SimulatedLoop, play_all
from tradepost.core.rate_limiter import LocalRateLimiter
from tradepost.core.settings.settings import Rate

LITTLE = 1e-5


class Scene:
    """Some who hit keys as it comes, and some who come back when they are told to."""

    def __init__(self, loop: SimulatedLoop) -> None:
        chance = self.chance = loop.chance
        self.loop = loop
        self.limiter = LocalRateLimiter(SimulatedClock(loop))
        self.rates = [
            Rate(limit=chance.choice([1, 2, 5, 30]), seconds=chance.choice([1, 10, 60])) for _ in range(4)
        ]
        self.let_through: dict[int, list[tuple[float, int]]] = defaultdict(list)

    async def hit(self, key: int) -> float:
        """Hit a key; return after how many seconds to come back, 0 when this was let through."""
        rate, now = self.rates[key], self.loop.time()
        cost = self.chance.randint(1, min(3, rate.limit))
        verdict = await self.limiter.hit(str(key), rate, cost=cost)
        interval = rate.seconds / rate.limit
        # What the rule has left, from all that was let through: what was taken comes back one by one.
        taken, at = 0.0, 0.0
        for moment, hits in self.let_through[key]:
            taken, at = max(0.0, taken - (moment - at) / interval) + hits, moment
        left = rate.limit - max(0.0, taken - (now - at) / interval)
        assert verdict.limit == rate.limit
        assert not verdict.is_shared
        if verdict.allowed:
            assert cost <= left + LITTLE
            self.let_through[key].append((now, cost))
            left -= cost
            assert verdict.retry_after == 0
        else:
            assert cost > left - LITTLE
            assert verdict.retry_after == pytest.approx((cost - left) * interval, abs=LITTLE)
        assert verdict.remaining in {int(left - LITTLE), int(left + LITTLE)}
        assert verdict.reset_after == pytest.approx((rate.limit - left) * interval, abs=LITTLE)
        return verdict.retry_after

    async def client(self) -> None:
        chance = self.chance
        for _ in range(chance.randrange(15)):
            key = chance.randrange(4)
            pause = await self.hit(key)
            if pause and chance.random() < 0.5:
                # A moment before is too early, unless somebody else came; a moment later it is not.
                await asyncio.sleep(pause)
                continue
            await asyncio.sleep(chance.choice([0, 0, chance.random(), 20 * chance.random()]))

    def in_every_window(self) -> None:
        """Look at every window from one hit to another: a burst, and what came back meanwhile."""
        for key, hits in self.let_through.items():
            rate = self.rates[key]
            for first in range(len(hits)):
                total = 0
                for moment, cost in hits[first:]:
                    total += cost
                    back = (moment - hits[first][0]) * rate.limit / rate.seconds
                    assert total <= rate.limit + back + LITTLE


def test_no_window_sees_more_than_a_burst_and_what_came_back() -> None:
    async def scene(loop: SimulatedLoop) -> None:
        scene = Scene(loop)
        await asyncio.gather(*(scene.client() for _ in range(loop.chance.choice([1, 5]))))
        scene.in_every_window()

    play_all(300, scene)


def test_who_comes_back_when_told_to_is_let_through() -> None:
    async def scene(loop: SimulatedLoop) -> None:
        scene = Scene(loop)
        for _ in range(20):
            key = loop.chance.randrange(4)
            rate = scene.rates[key]
            cost = loop.chance.randint(1, rate.limit)
            verdict = await scene.limiter.hit(str(key), rate, cost=cost)
            if not verdict.allowed:
                await asyncio.sleep(verdict.retry_after * 0.99)
                assert not (await scene.limiter.hit(str(key), rate, cost=cost)).allowed
                await asyncio.sleep(verdict.retry_after * 0.01)
                assert (await scene.limiter.hit(str(key), rate, cost=cost)).allowed

    play_all(200, scene)


def test_a_full_memory_forgets_those_first_that_are_nearest_to_empty() -> None:
    async def scene(loop: SimulatedLoop) -> None:
        most = loop.chance.choice([3, 10])
        limiter, rate = LocalRateLimiter(SimulatedClock(loop), max_keys=most), Rate(limit=5, seconds=10)
        assert all([(await limiter.hit("blocked", rate)).allowed for _ in range(5)])
        for number in range(60):
            assert (await limiter.hit(f"other {number}", rate)).allowed
            assert len(limiter) <= most
            if loop.chance.random() < 0.2:
                await asyncio.sleep(loop.chance.random() / 100)
        assert not (await limiter.hit("blocked", rate)).allowed
        # Nothing of them is left: a few go with every key that comes.
        await asyncio.sleep(10)
        for number in range(most):
            assert (await limiter.hit(f"late {number}", rate)).allowed
        assert (await limiter.hit("blocked", rate)).remaining == 4

    play_all(40, scene)
