import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.clock import MovableClock, stopped_clock
from tradepost.core.rate_limiter import LocalRateLimiter
from tradepost.core.settings.settings import Rate


@pytest.fixture
def clock() -> MovableClock:
    return stopped_clock()


@pytest.fixture
def limiter(clock: MovableClock) -> LocalRateLimiter:
    return LocalRateLimiter(clock)


RATE = Rate(10, 60.0)


async def test_lets_the_limit_through_at_once_and_no_more(limiter: LocalRateLimiter) -> None:
    verdicts = [await limiter.hit("k", RATE) for _ in range(11)]
    assert [verdict.allowed for verdict in verdicts] == [True] * 10 + [False]
    assert [verdict.remaining for verdict in verdicts] == [9, 8, 7, 6, 5, 4, 3, 2, 1, 0, 0]
    assert verdicts[0].reset_after == pytest.approx(6)
    assert verdicts[-1].retry_after == pytest.approx(6)
    assert verdicts[-1].reset_after == pytest.approx(60)
    assert {verdict.limit for verdict in verdicts} == {10}


async def test_one_comes_back_after_each_interval(limiter: LocalRateLimiter, clock: MovableClock) -> None:
    for _ in range(10):
        await limiter.hit("k", RATE)
    clock.move(5.9)
    assert not (await limiter.hit("k", RATE)).allowed
    clock.move(0.1)
    assert (await limiter.hit("k", RATE)).allowed
    assert not (await limiter.hit("k", RATE)).allowed
    clock.move(60)
    assert [(await limiter.hit("k", RATE)).allowed for _ in range(11)] == [True] * 10 + [False]


async def test_a_refused_hit_does_not_count(limiter: LocalRateLimiter, clock: MovableClock) -> None:
    for _ in range(100):
        await limiter.hit("k", RATE)
    clock.move(6)
    assert (await limiter.hit("k", RATE)).allowed


async def test_keys_do_not_know_each_other(limiter: LocalRateLimiter) -> None:
    for _ in range(10):
        await limiter.hit("a", RATE)
    assert not (await limiter.hit("a", RATE)).allowed
    assert (await limiter.hit("b", RATE)).allowed


async def test_a_hit_may_cost_more(limiter: LocalRateLimiter) -> None:
    assert (await limiter.hit("k", RATE, cost=7)).remaining == 3
    refused = await limiter.hit("k", RATE, cost=4)
    assert (refused.allowed, refused.remaining) == (False, 3)
    assert refused.retry_after == pytest.approx(6)
    assert (await limiter.hit("k", RATE, cost=3)).allowed
    with pytest.raises(ValueError, match="never"):
        await limiter.hit("k", RATE, cost=11)


@given(
    limit=st.integers(1, 500),
    seconds=st.floats(0.5, 100_000),
    steps=st.lists(st.floats(0, 50_000), min_size=1, max_size=60),
)
async def test_never_more_than_a_burst_and_what_came_back(
    limit: int, seconds: float, steps: list[float]
) -> None:
    clock = stopped_clock()
    limiter = LocalRateLimiter(clock)
    rate = Rate(limit, seconds)
    allowed, began = 0, clock.monotonic()
    for step in steps:
        clock.move(step)
        verdict = await limiter.hit("k", rate)
        allowed += verdict.allowed
        assert 0 <= verdict.remaining <= limit
        assert verdict.reset_after <= seconds * (1 + 1e-9)
        assert verdict.allowed == (verdict.retry_after == 0)
        assert allowed <= limit + (clock.monotonic() - began) * limit / seconds + 1e-3


async def test_a_wait_as_long_as_told_is_long_enough(limiter: LocalRateLimiter, clock: MovableClock) -> None:
    rate = Rate(7, 3600.0)
    for _ in range(200):
        verdict = await limiter.hit("k", rate)
        if not verdict.allowed:
            clock.move(verdict.retry_after)
            assert (await limiter.hit("k", rate)).allowed


async def test_memory_is_bounded_and_a_flood_does_not_free_a_blocked_key(clock: MovableClock) -> None:
    limiter = LocalRateLimiter(clock, max_keys=100)
    for _ in range(10):
        await limiter.hit("blocked", RATE)
    for number in range(5000):
        await limiter.hit(f"flood {number}", RATE)
        assert len(limiter) <= 100
    assert not (await limiter.hit("blocked", RATE)).allowed


async def test_what_means_nothing_any_more_is_forgotten(clock: MovableClock) -> None:
    limiter = LocalRateLimiter(clock)
    for number in range(1000):
        await limiter.hit(f"old {number}", RATE)
    clock.move(7)
    for number in range(300):
        await limiter.hit(f"new {number}", RATE)
    assert len(limiter) <= 310


async def test_a_key_is_forgotten_at_the_moment_at_which_nothing_of_it_is_left(clock: MovableClock) -> None:
    limiter = LocalRateLimiter(clock)
    await limiter.hit("old", Rate(1, 1.0))
    clock.move(0.5)
    await limiter.hit("new", Rate(1, 1.0))
    assert len(limiter) == 2
    clock.move(0.5)
    await limiter.hit("newer", Rate(1, 1.0))
    assert set(limiter._empty_at) == {"new", "newer"}


async def test_a_long_key_is_kept_short(limiter: LocalRateLimiter) -> None:
    long = "x" * 1_000_000 + "\ud800"
    for _ in range(10):
        await limiter.hit(long, RATE)
    assert not (await limiter.hit(long, RATE)).allowed
    assert (await limiter.hit(long + "y", RATE)).allowed
    await limiter.hit("x" * 128, RATE)
    assert sorted(len(key) for key in limiter._empty_at) == [32, 32, 128]
