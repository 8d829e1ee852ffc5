"""Reads that are asked for while a batch is under way form the next batch: one statement for all of them.

Each read starts after its question came in, so an answer is never older than its question, and nothing is kept: this is no
cache. At one caller a time it adds nothing; at many it divides what a statement costs by their number.
"""

import asyncio
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from functools import partial
from typing import Final, Generic, TypeVar

from typing_extensions import override

from tradepost.core.database.engines import Database
from tradepost.core.database.sessions import ReadSession
from tradepost.core.errors import Unavailable

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

MAX_WAITING: Final = 4_096
"""Callers that may wait for one kind of read; one more is told to come back."""

MAX_SERIES: Final = 32
"""Batches that may share a session, which then costs each of them little; nobody holds a connection for ever."""

Observe = Callable[[int], None]
Load = Callable[[Sequence[K]], Awaitable[Mapping[K, V]]]
_Batch = Mapping[K, Sequence[asyncio.Future[V | None]]]


class _Lanes(ABC, Generic[K, V]):
    """Gathers keys and has them answered in batches."""

    def __init__(self, *, lanes: int, max_batch: int, max_waiting: int, observe: Observe | None) -> None:
        self._free_lanes = lanes
        self._max_batch = max_batch
        self._room = max_waiting
        self._observe = observe
        # Every caller has a future of their own: one that is cancelled is nobody else's.
        self._waiting: OrderedDict[K, list[asyncio.Future[V | None]]] = OrderedDict()
        self._running: set[asyncio.Task[None]] = set()

    async def get(self, key: K) -> V | None:
        """Return what a read that starts after this call finds for ``key``, None when it finds nothing."""
        if self._room == 0:
            raise Unavailable
        answer: asyncio.Future[V | None] = asyncio.get_running_loop().create_future()
        callers = self._waiting.get(key)
        if callers is None:
            self._waiting[key] = [answer]
        else:
            callers.append(answer)
        if self._free_lanes:
            self._free_lanes -= 1
            lane = asyncio.create_task(self._run_lane())
            self._running.add(lane)
            lane.add_done_callback(self._running.discard)
        self._room -= 1
        try:
            return await answer
        except asyncio.CancelledError:
            self._withdraw(key, answer)
            raise
        finally:
            self._room += 1

    def _withdraw(self, key: K, answer: "asyncio.Future[V | None]") -> None:
        """Take back a question whose batch has not begun: those of callers who left would wait without any bound."""
        callers = self._waiting.get(key)
        if callers is not None and answer in callers:
            callers.remove(answer)
            if not callers:
                del self._waiting[key]

    async def _run_lane(self) -> None:
        try:
            while self._waiting:
                await self._run_batches(self._take())
        finally:
            self._free_lanes += 1

    @abstractmethod
    async def _run_batches(self, batch: _Batch[K, V]) -> None:
        """Answer a batch that was taken, and perhaps some that are waiting."""

    def _take(self) -> _Batch[K, V]:
        size = min(len(self._waiting), self._max_batch)
        if self._observe is not None:
            self._observe(size)
        return dict(self._waiting.popitem(last=False) for _ in range(size))

    async def _answer(self, batch: _Batch[K, V], load: Load[K, V]) -> bool:
        """Answer a batch by ``load``; tell whether that could be done."""
        try:
            found = await load(list(batch))
        except BaseException as error:
            _fail(batch, error)
            if not isinstance(error, Exception):
                raise
            return False
        for key, callers in batch.items():
            value = found.get(key)
            for answer in callers:
                if not answer.done():
                    answer.set_result(value)
        return True


class Coalescer(_Lanes[K, V]):
    """Answers keys through ``load``, which takes the keys of a batch and returns what it found of them.

    At most ``lanes`` batches of at most ``max_batch`` keys run at once. The end of one caller touches no other, and a key
    that nobody waits for any more is not asked for; an error of ``load`` reaches the callers of its batch only.
    ``observe`` is told the size of each batch.
    """

    def __init__(
        self,
        load: Load[K, V],
        *,
        lanes: int = 1,
        max_batch: int = 256,
        max_waiting: int = MAX_WAITING,
        observe: Observe | None = None,
    ) -> None:
        super().__init__(lanes=lanes, max_batch=max_batch, max_waiting=max_waiting, observe=observe)
        self._load = load

    @override
    async def _run_batches(self, batch: _Batch[K, V]) -> None:
        await self._answer(batch, self._load)


class Reads(_Lanes[K, V]):
    """A coalescer whose ``load`` is handed a session: batches that follow each other without a pause share one.

    To open a session costs as much as a statement. It is given back as soon as somebody waits for a connection, and
    after ``MAX_SERIES`` batches.
    """

    def __init__(
        self,
        database: Database,
        load: Callable[[ReadSession, Sequence[K]], Awaitable[Mapping[K, V]]],
        *,
        lanes: int = 1,
        max_batch: int = 256,
        observe: Observe | None = None,
    ) -> None:
        super().__init__(lanes=lanes, max_batch=max_batch, max_waiting=MAX_WAITING, observe=observe)
        self._database = database
        self._load = load

    @override
    async def _run_batches(self, batch: _Batch[K, V]) -> None:
        gate = self._database.read_gate
        try:
            async with self._database.read() as db:
                load = partial(self._load, db)
                for left in reversed(range(MAX_SERIES)):
                    answered = await self._answer(batch, load)
                    if not answered or not left or not self._waiting or gate.waiting:
                        return
                    # What a session remembers it would not look up again for the next batch.
                    db.expunge_all()
                    batch = self._take()
        except BaseException as error:
            # There was no session to be had. (Whoever was answered is not touched.)
            _fail(batch, error)
            if not isinstance(error, Exception):
                raise


def _fail(batch: _Batch[K, V], error: BaseException) -> None:
    """Give ``error`` to every caller of a batch that is still waiting; a lane that is cancelled cancels them."""
    for callers in batch.values():
        for answer in callers:
            if answer.done():
                continue
            if isinstance(error, asyncio.CancelledError):
                answer.cancel()
            else:
                answer.set_exception(error)
