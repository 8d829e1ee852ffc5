"""The simulated loop itself: seeds are different orders, one seed is one order, and what hangs is told."""

import asyncio

import pytest

from tests.simulation.loop import SimulatedLoop, Stuck, play, play_all


async def crowd(loop: SimulatedLoop) -> list[tuple[int, float]]:
    seen: list[tuple[int, float]] = []

    async def one(number: int) -> None:
        await asyncio.sleep(loop.chance.choice([0, 0, 1.5]))
        seen.append((number, loop.time()))

    tasks = {asyncio.create_task(one(number)) for number in range(8)}
    # A set's order, which the addresses must not decide.
    for task in tasks:
        task.add_done_callback(lambda _task: seen.append((-1, loop.time())))
    await asyncio.wait(tasks)
    return seen


def test_a_seed_is_one_order_and_another_is_another() -> None:
    runs = [play(seed, crowd) for seed in range(20)]
    assert runs == [play(seed, crowd) for seed in range(20)]
    assert len({tuple(run) for run in runs}) == 20
    assert all({at for _, at in run} <= {0, 1.5} for run in runs)


def test_a_time_limit_costs_no_time() -> None:
    async def scene(loop: SimulatedLoop) -> float:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(3600):
                await asyncio.Event().wait()
        return loop.time()

    assert play(1, scene) == 3600


def test_whoever_waits_for_nothing_is_told() -> None:
    async def scene(_loop: SimulatedLoop) -> None:
        await asyncio.Event().wait()

    with pytest.raises(Stuck):
        play(1, scene)


def test_what_nobody_awaited_is_told_all_the_same() -> None:
    async def scene(loop: SimulatedLoop) -> None:
        loop.call_later(1, lambda: 1 // 0)
        await asyncio.sleep(2)

    with pytest.raises(ZeroDivisionError):
        play(1, scene)


def test_a_failure_says_its_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[float] = []

    async def scene(loop: SimulatedLoop) -> None:
        tried.append(loop.chance.random())
        await asyncio.sleep(1)
        assert tried[-1] < 0.95

    with pytest.raises(AssertionError) as failed:
        play_all(1000, scene)
    (note,) = [note for note in failed.value.__notes__ if "SCHEDULE" in note]
    found = tried[-1]
    monkeypatch.setenv("SCHEDULE", note.rpartition("=")[2])
    with pytest.raises(AssertionError):
        play_all(1, scene)
    assert tried[-1] == found
