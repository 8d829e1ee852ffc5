"""Coalescing: keys that arrive while a batch is being read form the next batch, and one statement answers them all.

A batch starts after its last key arrived, so that no answer is older than its question; nothing is kept, and nothing can
be stale as in a cache. A batch whose callers have all left, as their deadlines have it, is ended. With one caller at a time it adds nothing; with many it divides the cost of a statement by their
number, where a statement for each would fill the connections and the queue before them.
"""

import asyncio
import math
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from functools import partial
from itertools import chain
from typing import Any, Final, Generic, TypeVar

from typing_extensions import override

from tradepost.core.deadlines import Deadline, Stage, deadline, note_stage, taken_back
from tradepost.core.errors import Unavailable
from tradepost.core.observability.server_timing import Timing, timing
from tradepost.core.observability.trace_context import traceparent
from tradepost.core.overload.waits import Waits, monotonic

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

MAX_WAITING: Final = 4_096
"""Callers that may wait for one coalescer; the next is refused with ``Unavailable``, before memory runs out."""

Observe = Callable[[int], None]
Load = Callable[[Sequence[K]], Awaitable[Mapping[K, V]]]
Batch = Mapping[K, Sequence[asyncio.Future[V | None]]]


class Lane(Deadline, Generic[K, V]):
    """The task that runs batches, and the batch that it is at; its deadline is that of the last caller."""

    __slots__ = ("_left", "batch")

    def __init__(self) -> None:
        super().__init__()
        self.batch: Batch[K, V] = {}
        self._left: int | None = None

    def take(self, batch: Batch[K, V]) -> None:
        """Come to another batch."""
        self.batch = batch
        self._left = None
        self.is_over = False

    def leave(self, key: K, answer: "asyncio.Future[V | None]") -> bool:
        """Note that a caller has left, and end the batch after the last of them; False if the caller was not of it."""
        if answer not in self.batch.get(key, ()):
            return False
        if self._left is None:
            self._left = sum(map(len, self.batch.values()))
        self._left -= 1
        if not self._left:
            self.end()
        return True


class Batching(ABC, Generic[K, V]):
    """The queue of keys, and the lanes that take batches from it; a subclass says how a lane reads its batches."""

    def __init__(
        self,
        *,
        name: str,
        lanes: int,
        max_batch: int,
        max_waiting: int,
        observe: Observe | None,
        stage: Stage,
    ) -> None:
        self._name = name
        self._free_lanes = lanes
        self._max_batch = max_batch
        self._room = max_waiting
        self._observe = observe
        self._stage = stage
        # Each caller has a future of its own: cancelling one leaves the others waiting.
        self._waiting: OrderedDict[K, list[asyncio.Future[V | None]]] = OrderedDict()
        # Since when each of those keys has been wanted.
        self._came: dict[K, float] = {}
        self._waits = Waits.shared("lane", self._first_came)
        self._lanes: set[Lane[K, V]] = set()
        # When the batch of a caller began who asked where the time goes; few do.
        self._taken_at: dict[asyncio.Future[V | None], tuple[Timing, float]] = {}

    async def get(self, key: K) -> V:
        """Return the answer to ``key`` of a read that starts after this call; for reads that answer every key.

        ``LookupError`` when the read left the key out, which is a fault of ours.
        """
        found = await self.find(key)
        if found is None:
            raise LookupError(f"no answer to {key!r}")
        return found

    async def find(self, key: K) -> V | None:
        """Return what a read that starts after this call finds for ``key``, None when it finds nothing."""
        alone = self._found_alone(key)
        if alone is not None:
            return await alone
        if self._room == 0:
            raise Unavailable
        answer: asyncio.Future[V | None] = asyncio.get_running_loop().create_future()
        callers = self._waiting.get(key)
        if callers is None:
            self._waiting[key] = [answer]
            self._came[key] = monotonic()
        else:
            callers.append(answer)
        if not self._wake_a_lane() and self._free_lanes:
            self._free_lanes -= 1
            lane: Lane[K, V] = Lane()
            self._lanes.add(lane)
            lane.task = asyncio.create_task(self._run_lane(lane))
            lane.task.add_done_callback(partial(self._end_lane, lane))
        self._room -= 1
        asked = timing.get()
        try:
            found = await (answer if asked is None else self._timed(answer, asked))
        except asyncio.CancelledError:
            if self._leave(key, answer):
                note_stage(self._stage)
            raise
        finally:
            self._room += 1
        note_stage(self._stage)
        return found

    async def _timed(self, answer: "asyncio.Future[V | None]", asked: Timing) -> V | None:
        """Await an answer, and add up how long its batch was waited for and how long that was read."""
        came = asked.now()
        self._taken_at[answer] = asked, math.inf
        try:
            found = await answer
            if asked.slowed is not None:
                # Here and not in the lane: those who share the batch did not ask for it.
                await asyncio.sleep(asked.slowed())
            return found
        finally:
            now = asked.now()
            # Whoever leaves before the batch begins has waited only.
            taken = min(self._taken_at.pop(answer)[1], now)
            asked.add("wait", taken - came)
            asked.add("db", now - taken)
            if asked.span is not None:
                # One for all that the batch did: its statements are of many requests.
                facts = {"tradepost.batch.waited_us": int((taken - came) * 1e6)}
                asked.span.part(f"batch {self._name}", now - came, facts=facts)

    def _leave(self, key: K, answer: "asyncio.Future[V | None]") -> bool:
        """Take back a key whose batch has not begun, or leave the batch; tell whether it had begun.

        The keys of callers who left would queue up without any bound.
        """
        callers = self._waiting.get(key)
        if callers is not None and answer in callers:
            callers.remove(answer)
            if not callers:
                del self._waiting[key]
                del self._came[key]
            return False
        # A lane that has answered may have gone on to its next batch before the caller could hear of it.
        any(lane.leave(key, answer) for lane in self._lanes)
        return True

    def _first_came(self) -> float | None:
        return self._came[next(iter(self._waiting))] if self._waiting else None

    def _end_lane(self, lane: Lane[K, V], _task: "asyncio.Task[None]") -> None:
        self._lanes.discard(lane)
        # The task's context holds the lane, which holds a batch with its answers: they would wait for the garbage collector.
        lane.task = None

    async def _run_lane(self, lane: Lane[K, V]) -> None:
        # The lane works for many: it is not in the time, nor in the trace, of the one request whose task began it.
        timing.set(None)
        traceparent.set(None)
        deadline.set(lane)
        try:
            while self._waiting:
                try:
                    await self._run_batches(lane)
                except asyncio.CancelledError:
                    if not taken_back():
                        raise
        finally:
            self._free_lanes += 1

    def _found_alone(self, key: K) -> Awaitable[V | None] | None:  # noqa: ARG002 - for those who can
        """Begin to read a key that nothing has to wait for, apart from all batches."""
        return None

    def _wake_a_lane(self) -> bool:
        """Set a lane to work that rests, if there is one."""
        return False

    @abstractmethod
    async def _run_batches(self, lane: Lane[K, V]) -> None:
        """Take a batch for a lane and answer it, and perhaps further ones from the queue."""

    def _take(self, lane: Lane[K, V]) -> Batch[K, V]:
        size = min(len(self._waiting), self._max_batch)
        if self._observe is not None:
            self._observe(size)
        batch = dict(self._waiting.popitem(last=False) for _ in range(size))
        now, came = monotonic(), 0.0
        for key in batch:
            came = self._came.pop(key)
        # Of a batch its last key has waited the shortest.
        self._waits.ended(now - came)
        lane.take(batch)
        if self._taken_at:
            for answer in chain.from_iterable(batch.values()):
                if answer in self._taken_at:
                    asked, _ = self._taken_at[answer]
                    self._taken_at[answer] = asked, asked.now()
        return batch

    async def _answer(self, batch: Batch[K, V], load: Load[K, V]) -> bool:
        """Answer a batch by ``load``; tell whether ``load`` succeeded."""
        try:
            found = await load(list(batch))
        except BaseException as error:
            fail(batch, error)
            if not isinstance(error, Exception):
                raise
            return False
        for key, callers in batch.items():
            value = found.get(key)
            for answer in callers:
                if not answer.done():
                    answer.set_result(value)
        return True


class Coalescer(Batching[K, V]):
    """Answers keys through ``load``, which takes the keys of a batch and returns what it found by key.

    At most ``lanes`` batches of at most ``max_batch`` keys run at once. Cancelling one caller affects no other, and a key
    without a waiting caller is not read; an error of ``load`` reaches the callers of its batch only. ``observe`` is called
    with the size of each batch. ``stage`` is what a caller has come to when its batch begins. Among the spans its batches are
    called by ``name``, by default that of ``load``. ``pause`` says for how many seconds each batch is waited for, by those who
    are about to join it; none by default.
    """

    def __init__(
        self,
        load: Load[K, V],
        *,
        lanes: int = 1,
        max_batch: int = 256,
        max_waiting: int = MAX_WAITING,
        observe: Observe | None = None,
        stage: Stage = Stage.READING,
        name: str | None = None,
        pause: Callable[[], float] | None = None,
    ) -> None:
        super().__init__(
            name=name or name_of(load),
            lanes=lanes,
            max_batch=max_batch,
            max_waiting=max_waiting,
            observe=observe,
            stage=stage,
        )
        self._load = load
        self._pause = pause

    @override
    async def _run_batches(self, lane: Lane[K, V]) -> None:
        seconds = 0.0 if self._pause is None else self._pause()
        if seconds > 0:
            await asyncio.sleep(seconds)
        # All may have left meanwhile.
        if self._waiting:
            await self._answer(self._take(lane), self._load)


def name_of(work: Callable[..., Any]) -> str:
    """Return the name that a function or method has in the code."""
    return getattr(work, "__qualname__", type(work).__name__)


def fail(batch: Batch[K, V], error: BaseException) -> None:
    """Raise ``error`` in every caller of a batch that is still waiting; cancelling a lane cancels them."""
    for callers in batch.values():
        for answer in callers:
            if answer.done():
                continue
            if isinstance(error, asyncio.CancelledError):
                answer.cancel()
            else:
                answer.set_exception(error)
