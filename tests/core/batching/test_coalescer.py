"""Coalescing: what is asked during a batch is the next batch, and callers do not touch each other."""

import asyncio
import gc
import weakref
from collections.abc import Mapping, Sequence

import pytest

from tests.clock import stopped_clock
from tests.core.observability.telling import Told
from tradepost.core.batching.coalescer import Coalescer
from tradepost.core.deadlines import deadline
from tradepost.core.errors import Unavailable
from tradepost.core.observability.server_timing import Timing, timing


class Source:
    """Answers with the square of a key, one batch at a time as the test lets it."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.gates: list[asyncio.Event] = []
        self.error: Exception | None = None
        self.held = False

    async def load(self, keys: Sequence[int]) -> Mapping[int, int]:
        self.batches.append(list(keys))
        if self.held:
            gate = asyncio.Event()
            self.gates.append(gate)
            await gate.wait()
        if self.error is not None:
            raise self.error
        return {key: key * key for key in keys if key >= 0}


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_a_single_read_waits_for_nobody() -> None:
    source = Source()
    reads = Coalescer(source.load)
    assert await reads.get(3) == 9
    assert await reads.find(3) == 9
    assert await reads.find(-1) is None
    with pytest.raises(LookupError):
        await reads.get(-1)
    assert source.batches == [[3], [3], [-1], [-1]]


async def test_what_is_asked_during_a_batch_is_the_next_one() -> None:
    source = Source()
    source.held = True
    sizes: list[int] = []
    reads = Coalescer(source.load, observe=sizes.append)
    first = asyncio.create_task(reads.get(1))
    await settle()
    # The same key too: the batch under way started before this was asked.
    later = [asyncio.create_task(reads.get(key)) for key in (1, 2, 2, 3)]
    await settle()
    assert source.batches == [[1]]
    source.held = False
    source.gates[0].set()
    assert await asyncio.gather(first, *later) == [1, 1, 4, 4, 9]
    assert source.batches == [[1], [1, 2, 3]]
    assert sizes == [1, 3]


async def test_batches_and_lanes_are_bounded() -> None:
    source = Source()
    source.held = True
    reads = Coalescer(source.load, lanes=2, max_batch=3)
    asked = [asyncio.create_task(reads.get(key)) for key in range(10)]
    await settle()
    assert len(source.batches) == 2
    source.held = False
    for gate in source.gates:
        gate.set()
    assert await asyncio.gather(*asked) == [key * key for key in range(10)]
    assert all(len(batch) <= 3 for batch in source.batches)


async def test_too_many_waiting_are_told_to_come_back() -> None:
    source = Source()
    source.held = True
    reads = Coalescer(source.load, max_waiting=2)
    asked = [asyncio.create_task(reads.get(key)) for key in range(2)]
    await settle()
    with pytest.raises(Unavailable):
        await reads.get(3)
    source.held = False
    source.gates[0].set()
    assert await asyncio.gather(*asked) == [0, 1]
    assert await reads.get(3) == 9


async def test_the_end_of_one_caller_touches_no_other() -> None:
    source = Source()
    source.held = True
    reads = Coalescer(source.load)
    leader = asyncio.create_task(reads.get(1))
    await settle()
    quitter, stayer = asyncio.create_task(reads.get(2)), asyncio.create_task(reads.get(2))
    await settle()
    leader.cancel()
    quitter.cancel()
    source.held = False
    source.gates[0].set()
    assert await stayer == 4
    with pytest.raises(asyncio.CancelledError):
        await leader
    with pytest.raises(asyncio.CancelledError):
        await quitter
    assert await reads.get(5) == 25


async def test_nothing_is_kept_of_a_key_that_all_have_left_before_its_batch() -> None:
    class Key:
        """What a weak reference can be had of."""

    goes_on = asyncio.Event()

    async def load(keys: Sequence[Key]) -> Mapping[Key, int]:
        await goes_on.wait()
        return dict.fromkeys(keys, 1)

    reads = Coalescer(load, lanes=1)
    leader = asyncio.create_task(reads.get(Key()))
    await settle()
    key = Key()
    quitter, left = asyncio.create_task(reads.get(key)), weakref.ref(key)
    await settle()
    quitter.cancel()
    await asyncio.wait([quitter])
    del key, quitter
    gc.collect()
    assert left() is None
    goes_on.set()
    assert await leader == 1


async def test_an_error_reaches_its_own_batch_only() -> None:
    source = Source()
    source.held = True
    source.error = ValueError("broken")
    reads = Coalescer(source.load)
    first, second = asyncio.create_task(reads.get(1)), asyncio.create_task(reads.get(1))
    await settle()
    third = asyncio.create_task(reads.get(2))
    await settle()
    source.gates[0].set()
    for failed in (first, second):
        with pytest.raises(ValueError, match="broken"):
            await failed
    source.error = None
    await settle()
    source.held = False
    source.gates[1].set()
    assert await third == 4


async def test_what_a_lane_has_read_goes_with_the_last_who_has_it() -> None:
    class Answer:
        """What a weak reference can be had of."""

    async def load(keys: Sequence[int]) -> Mapping[int, Answer]:
        return {key: Answer() for key in keys}

    gc.collect()
    gc.disable()
    try:
        answer = weakref.ref(await Coalescer(load).get(1))
        await settle()
        assert answer() is None
    finally:
        gc.enable()


async def test_each_lane_ends_the_batch_that_all_have_left_and_its_next_is_not_over() -> None:
    ended: list[int] = []
    over: list[bool] = []

    async def load(keys: Sequence[int]) -> Mapping[int, int]:
        current = deadline.get()
        assert current is not None
        over.append(current.is_over)
        if keys[0] < 2:
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                assert current.is_over
                ended.extend(keys)
                raise
        return {key: key for key in keys}

    reads = Coalescer(load, lanes=2, max_batch=1)
    abandoned = [asyncio.create_task(reads.get(key)) for key in range(2)]
    await settle()
    stayers = [asyncio.create_task(reads.get(key)) for key in (2, 3)]
    await settle()
    for caller in abandoned:
        caller.cancel()
    async with asyncio.timeout(30):
        assert await asyncio.gather(*stayers) == [2, 3]
    assert sorted(ended) == [0, 1]
    assert over == [False] * 4
    await asyncio.gather(*abandoned, return_exceptions=True)


async def test_a_span_is_told_of_the_batch_and_of_the_wait_for_it() -> None:
    clock, span, source = stopped_clock(), Told(), Source()
    source.held = True
    reads = Coalescer(source.load, name="squares")
    first = asyncio.create_task(reads.get(1))
    await settle()

    async def ask() -> int:
        timing.set(Timing(clock.monotonic, span=span))
        return await reads.get(2)

    second = asyncio.create_task(ask())
    await settle()
    clock.move(0.5)
    source.gates[0].set()
    await settle()
    clock.move(2.0)
    source.gates[1].set()
    assert [await first, await second] == [1, 4]
    assert span.parts == [("batch squares", 2.5, {"tradepost.batch.waited_us": 500_000})]


async def test_a_lane_that_another_cancels_ends_and_the_next_caller_begins_one() -> None:
    source = Source()
    source.held = True
    reads = Coalescer(source.load)
    begun = asyncio.create_task(reads.get(1))
    await settle()
    waiting = asyncio.create_task(reads.get(2))
    await settle()
    (lane,) = reads._lanes
    task, source.held = lane.task, False
    assert task is not None
    task.cancel()
    await asyncio.wait([task, begun])
    assert task.cancelled()
    assert begun.cancelled()
    assert [await reads.get(3), await waiting] == [9, 4]
