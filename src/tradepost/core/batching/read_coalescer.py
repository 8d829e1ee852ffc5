"""Coalescing of reads: batches in close succession share a session, and who asks alone reads in the session of the last."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Final

from typing_extensions import override

from tradepost.core.batching.coalescer import MAX_WAITING, Batch, Batching, K, Lane, Observe, V, fail, name_of
from tradepost.core.database.engines import Database
from tradepost.core.database.sessions import ReadSession
from tradepost.core.deadlines import Stage, note_stage
from tradepost.core.errors import Overloaded
from tradepost.core.observability.server_timing import timing
from tradepost.core.overload.waits import PATIENCE, monotonic

MAX_SERIES: Final = 32
"""Batches that may share a session; a lane must not hold a connection for ever."""

MOST_HELD: Final = 1.0
"""Seconds after which nobody goes on alone with a session: only a connection that is taken out of the pool is looked at."""

MOST_REST: Final = 0.5
"""Seconds for which a lane keeps its session without work: less than a connection may be idle and still be trusted."""


class _Held:
    """A lane's session, how long and for how many reads it is good yet, and since when there is nothing to read."""

    __slots__ = ("db", "left", "since", "until")

    def __init__(self, db: ReadSession) -> None:
        self.db = db
        self.left = MAX_SERIES
        self.since = 0.0
        self.until = asyncio.get_running_loop().time() + MOST_HELD


class ReadCoalescer(Batching[K, V]):
    """A coalescer that hands ``load`` a read session, which batches in close succession share.

    Opening a session costs several times what a statement does. A lane gives it back as soon as another task waits for a
    connection, after ``MAX_SERIES`` batches, and when nobody has asked it anything for ``MOST_REST``. Where sessions are
    transactions no lane rests.
    """

    def __init__(
        self,
        database: Database,
        load: Callable[[ReadSession, Sequence[K]], Awaitable[Mapping[K, V]]],
        *,
        lanes: int = 1,
        max_batch: int = 256,
        observe: Observe | None = None,
        stage: Stage = Stage.READING,
    ) -> None:
        super().__init__(
            name=name_of(load),
            lanes=lanes,
            max_batch=max_batch,
            max_waiting=MAX_WAITING,
            observe=observe,
            stage=stage,
        )
        self._database = database
        self._load = load
        # What the lanes wait for that rest, the latest last.
        self._resting: dict[asyncio.Future[bool], _Held] = {}
        self._ends_rests = False

    @override
    def _found_alone(self, key: K) -> Awaitable[V | None] | None:
        while self._resting and not self._waiting and timing.get() is None:
            work, held = self._resting.popitem()
            if held.db.is_broken and not work.done():
                work.set_result(False)
            elif not work.done():
                return self._find_alone(key, work, held)
        return None

    async def _find_alone(self, key: K, work: "asyncio.Future[bool]", held: _Held) -> V | None:
        """Read a single key in its caller's task, with the session of a lane that rests: two turns of the loop less."""
        self._database.read_gate.resume(work)
        self._waits.ended(0.0)
        if self._observe is not None:
            self._observe(1)
        note_stage(self._stage)
        goes_on = False
        try:
            held.db.expunge_all()
            found = (await self._load(held.db, [key])).get(key)
            held.left -= 1
            goes_on = held.left > 0 and held.until > asyncio.get_running_loop().time()
        finally:
            # It is done if the lane was cancelled meanwhile: then its session has been given back.
            if not work.done():
                if goes_on and not self._waiting:
                    self._begin_rest(work, held)
                else:
                    work.set_result(goes_on)
        return found

    @override
    def _take(self, lane: Lane[K, V]) -> Batch[K, V]:
        if self._waits.impatient:
            self._refuse_late()
        return super()._take(lane)

    def _refuse_late(self) -> None:
        """Refuse who has waited for too long, unless somebody who came later wants the same."""
        since = monotonic() - PATIENCE
        for key, callers in list(self._waiting.items()):
            if self._came[key] > since or len(self._waiting) == 1:
                return
            if len(callers) == 1:
                del self._waiting[key]
                del self._came[key]
                fail({key: callers}, Overloaded(retry_after=self._waits.back_after()))

    @override
    async def _run_batches(self, lane: Lane[K, V]) -> None:
        gate = self._database.read_gate
        batch = self._take(lane)
        try:
            async with self._database.read() as db:
                load, held = partial(self._load, db), _Held(db)
                while await self._answer(batch, load):
                    held.left -= 1
                    if not held.left or gate.waiting:
                        return
                    if not self._waiting and not await self._rest(lane, held):
                        return
                    # The identity map would answer the next batch with rows that were read before it.
                    db.expunge_all()
                    batch = self._take(lane)
        except BaseException as error:
            # No session could be opened. (Callers that have their answer are not touched.)
            fail(batch, error)
            if not isinstance(error, Exception):
                raise

    async def _rest(self, lane: Lane[K, V], held: _Held) -> bool:
        """Wait for the next key, with the session at hand; False when that is to be given back."""
        if not self._database.sessions_rest:
            return False
        # Who leaves now has an answer, and must not end what somebody else may read with the session.
        lane.take({})
        while not self._waiting:
            work: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
            self._begin_rest(work, held)
            try:
                if not await work:
                    return False
            finally:
                self._resting.pop(work, None)
                self._database.read_gate.resume(work)
        return not held.db.is_broken

    def _begin_rest(self, work: "asyncio.Future[bool]", held: _Held) -> None:
        self._database.read_gate.rest(work)
        if work.done():
            return
        loop = asyncio.get_running_loop()
        held.since = loop.time()
        self._resting[work] = held
        if not self._ends_rests:
            self._ends_rests = True
            loop.call_later(MOST_REST, self._end_rests)

    @override
    def _wake_a_lane(self) -> bool:
        while self._resting:
            work, _ = self._resting.popitem()
            if not work.done():
                work.set_result(True)
                return True
        return False

    def _end_rests(self) -> None:
        """Have the lanes that have rested for long enough give back their sessions."""
        loop = asyncio.get_running_loop()
        for work, held in self._resting.items():
            if held.since + MOST_REST > loop.time():
                loop.call_at(held.since + MOST_REST, self._end_rests)
                return
            if not work.done():
                work.set_result(False)
        self._ends_rests = False
