"""An event loop with a clock of its own and a seeded scheduler: each seed is one order in which a program could have run.

Of what is ready any may be next; once nothing is, the time jumps to the next timer. There is no thread, no I/O and no real
time in it, so that the same seed is the same run.
"""

import asyncio
import heapq
import itertools
import os
import random
from asyncio import Handle, TimerHandle
from collections.abc import Callable, Coroutine, Sequence
from contextvars import Context
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeVar, TypeVarTuple

import pytest
from typing_extensions import override

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

MOST_TURNS: Final = 500_000
"""Turns after which a schedule that does not end is called endless."""
BEGINS: Final = datetime(2026, 11, 23, 12, tzinfo=UTC)


class Stuck(AssertionError):
    """Somebody waits, and nothing will ever happen."""


class _Task(asyncio.Task[Any]):
    """A task that sets hold in the order in which tasks were made: that of their addresses would be another in each run."""

    number = 0

    def __hash__(self) -> int:
        return self.number


class SimulatedLoop(asyncio.BaseEventLoop):
    """Runs coroutines as ``seed`` has it; ``chance`` is for whatever else a test draws."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.chance = random.Random(seed)
        self.turns = 0
        self.faults: list[BaseException] = []
        self._moment = 0.0
        self._runnable: list[Handle] = []
        self._timers: list[tuple[float, int, TimerHandle]] = []
        self._numbers = itertools.count()
        self._tasks: list[_Task] = []
        self.set_task_factory(self._made)

    @override
    def time(self) -> float:
        return self._moment

    @override
    def call_soon(
        self, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> Handle:
        handle = Handle(callback, args, self, context)
        self._runnable.append(handle)
        return handle

    @override
    def call_at(
        self, when: float, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> TimerHandle:
        timer = TimerHandle(when, callback, args, self, context)
        heapq.heappush(self._timers, (when, next(self._numbers), timer))
        return timer

    def _timer_handle_cancelled(self, _timer: TimerHandle) -> None:
        """It is passed over when its time comes."""

    @override
    def call_exception_handler(self, context: dict[str, Any]) -> None:
        self.faults.append(context.get("exception") or AssertionError(context["message"]))

    def run(self, main: Coroutine[Any, Any, T]) -> T:
        """Run ``main`` and whatever it starts to the end, and return its result."""
        asyncio._set_running_loop(self)
        try:
            task = self.create_task(main)
            while not all(one.done() for one in self._tasks):
                self._turn()
                if task.done() and not task.cancelled() and task.exception() is not None:
                    break
            for fault in self.faults:
                raise fault
            result: T = task.result()
            return result
        finally:
            self._clear_away()
            asyncio._set_running_loop(None)
            self.close()

    def _turn(self) -> None:
        if not self._runnable and not self._jump():
            raise Stuck([one for one in self._tasks if not one.done()])
        self.turns += 1
        if self.turns > MOST_TURNS:
            raise Stuck("this never ends")
        at = self.chance.randrange(len(self._runnable))
        self._runnable[at], self._runnable[-1] = self._runnable[-1], self._runnable[at]
        handle = self._runnable.pop()
        if not handle.cancelled():
            handle._run()
        self._tasks = [one for one in self._tasks if not one.done()] if self.turns % 64 == 0 else self._tasks

    def _jump(self) -> bool:
        while self._timers and not self._runnable:
            self._moment = max(self._moment, self._timers[0][0])
            while self._timers and self._timers[0][0] <= self._moment:
                *_, timer = heapq.heappop(self._timers)
                if not timer.cancelled():
                    self._runnable.append(timer)
        return bool(self._runnable)

    def _made(self, _loop: asyncio.AbstractEventLoop, work: Any, **options: Any) -> _Task:
        task = _Task(work, loop=self, **options)
        task.number = next(self._numbers)
        self._tasks.append(task)
        return task

    def _clear_away(self) -> None:
        """End what a failed schedule has left, so that nothing warns of it."""
        for _ in range(100):
            left = [one for one in self._tasks if not one.done()]
            for one in left:
                one.cancel()
            while self._runnable:
                self._runnable.pop()._run()
            if not left:
                return


class SimulatedClock:
    """The loop's time, and its chance; ``ahead`` is how much a machine's clock is wrong, in seconds."""

    def __init__(self, loop: SimulatedLoop, ahead: float = 0.0) -> None:
        self._loop = loop
        self._ahead = timedelta(seconds=ahead)

    def now(self) -> datetime:
        return BEGINS + timedelta(seconds=self._loop.time()) + self._ahead

    def monotonic(self) -> float:
        return self._loop.time()

    def token(self, size: int = 16) -> str:
        return self._loop.chance.randbytes(size).hex()

    def chance(self) -> float:
        return self._loop.chance.random()


def seeds(few: int, *, kinds: int = 1) -> Sequence[int]:
    """Return the seeds of a test: ``few``, or as many as ``SOAK_SCHEDULES`` says, or only the one that ``SCHEDULE`` names.

    Of ``kinds`` that share them each has its part of the many.
    """
    only, many = os.environ.get("SCHEDULE"), int(os.environ.get("SOAK_SCHEDULES", "0")) // kinds
    return [int(only)] if only else range(max(few, many))


def play(seed: int, scene: Callable[[SimulatedLoop], Coroutine[Any, Any, T]]) -> T:
    """Play a scene once, in which waits are told by the loop's time."""
    loop = SimulatedLoop(seed)
    with pytest.MonkeyPatch.context() as patch:
        for module in ("batching.coalescer", "batching.read_coalescer", "database.gate"):
            patch.setattr(f"tradepost.core.{module}.monotonic", loop.time)
        return loop.run(scene(loop))


def play_all(few: int, scene: Callable[[SimulatedLoop], Coroutine[Any, Any, None]]) -> None:
    """Play a scene by each seed; one that fails says by which, and ``SCHEDULE=`` plays it again."""
    for seed in seeds(few):
        try:
            play(seed, scene)
        except Exception as error:
            error.add_note(f"played again by SCHEDULE={seed}")
            raise
