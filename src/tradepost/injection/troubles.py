"""What a whole process can have for a while, on purpose: each is bounded, ends by itself, and is over when the process is."""

import asyncio
import time
from collections.abc import Callable, Coroutine
from datetime import timedelta
from threading import Event, Thread
from typing import Any, Final

from tradepost.core.clock import SkewedClock
from tradepost.core.database.engines import Database
from tradepost.core.errors import DatabaseUnavailable
from tradepost.core.observability import logging
from tradepost.core.storage.store import StorageUnavailable
from tradepost.injection.grammar import Fault, Trouble
from tradepost.injection.journal import Journal

MOST_MEMORY: Final = 512 * 10**6
"""Bytes that a process holds on purpose, whatever is asked for."""
MOST_BURNERS: Final = 8
"""Threads that burn at once."""
PAGE: Final = 4096
"""Bytes that have to be touched for a page of memory to be there."""


class MailUnavailableError(Exception):
    """The mail server does not answer, on purpose."""


class Troubles:
    """Begins troubles, and tells those whom they concern: the storage, the mailer, and readiness ask ``is_on``."""

    def __init__(self, database: Database, clock: SkewedClock, journal: Journal) -> None:
        self._database = database
        self._clock = clock
        self._journal = journal
        self._until: dict[Trouble, float] = {}
        self._promised = 0
        self._burners: list[Thread] = []
        self._closed = Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._skew: asyncio.TimerHandle | None = None

    def begin(self, fault: Fault, done: Callable[[str], None]) -> None:
        """Begin a trouble; ``done`` is told if it began, and so is not of one that is past a bound.

        What fails while storage or mail have trouble is noted one by one, when it fails.
        """
        seconds = f"{fault.amount:g}s"
        match fault.kind:
            case Trouble.STALL:
                done(seconds)
                time.sleep(fault.amount)
            case Trouble.CPU:
                self._burners = [burner for burner in self._burners if burner.is_alive()]
                if len(self._burners) < MOST_BURNERS:
                    done(seconds)
                    self._burn(fault.amount)
            case Trouble.MEMORY:
                size = int(fault.amount)
                if self._promised + size <= MOST_MEMORY:
                    self._promised += size
                    done(f"{size} bytes for {fault.lasts:g}s")
                    self._start(self._hold(size, fault.lasts))
            case Trouble.POOL:
                done(seconds)
                self._exhaust(fault.amount)
            case Trouble.SKEW:
                done(f"{seconds} for {fault.lasts:g}s")
                self._set_wrong(fault)
            case _:
                trouble = Trouble(fault.kind)
                if trouble is Trouble.UNREADY:
                    done(seconds)
                self._until[trouble] = max(
                    self._until.get(trouble, 0.0), self._clock.monotonic() + fault.amount
                )

    def is_on(self, trouble: Trouble) -> bool:
        """Tell whether the process has this trouble now."""
        return self._clock.monotonic() < self._until.get(trouble, 0.0)

    def fail_storage(self, operation: str) -> None:
        """Raise ``StorageUnavailable`` while the storage has trouble."""
        if self.is_on(Trouble.STORAGE):
            self._journal.note(Trouble.STORAGE, operation, request_id=logging.request_id.get())
            raise StorageUnavailable

    def fail_mail(self) -> None:
        """Raise while mail has trouble; whoever sends tries again later."""
        if self.is_on(Trouble.MAIL):
            self._journal.note(Trouble.MAIL, "send", request_id=logging.request_id.get())
            raise MailUnavailableError("a fault that was made on purpose")

    async def check(self) -> None:
        """Raise while the process is not to be ready: a probe of readiness."""
        if self.is_on(Trouble.UNREADY):
            raise RuntimeError("not ready on purpose")

    async def close(self) -> None:
        """End what is going on."""
        self._closed.set()
        if self._skew is not None:
            self._skew.cancel()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work, name="fault on purpose")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _exhaust(self, seconds: float) -> None:
        """Take every place at the gates of the pool, as they become free, and give them back after a while."""
        gates = {self._database.read_gate, self._database.write_gate}
        until = self._clock.monotonic() + seconds
        for gate in gates:
            for _ in range(gate.size):
                self._start(self._occupy(gate.place, until))

    async def _occupy(self, place: Callable[[], Any], until: float) -> None:
        try:
            async with asyncio.timeout(max(0.0, until - self._clock.monotonic())), place():
                await asyncio.Event().wait()
        except (TimeoutError, DatabaseUnavailable):
            return

    def _burn(self, seconds: float) -> None:
        # A thread of its own: those of asyncio's pool are few, and files would wait for them. So would the process's end.
        until = self._clock.monotonic() + seconds
        burner = Thread(target=self._spin, args=(until,), name="fault on purpose", daemon=True)
        burner.start()
        self._burners.append(burner)

    def _spin(self, until: float) -> None:
        while self._clock.monotonic() < until and not self._closed.is_set():
            pass

    async def _hold(self, size: int, seconds: float) -> None:
        try:
            held = await asyncio.to_thread(_touched, size)
            await asyncio.sleep(seconds)
            del held
        finally:
            self._promised -= size

    def _set_wrong(self, fault: Fault) -> None:
        if self._skew is not None:
            self._skew.cancel()
        self._clock.ahead = timedelta(seconds=fault.amount)
        self._skew = asyncio.get_running_loop().call_later(fault.lasts, self._set_right)

    def _set_right(self) -> None:
        self._clock.ahead = timedelta()
        self._skew = None


def _touched(size: int) -> bytearray:
    """Return so much memory, each page of it touched: what nobody wrote to is not there yet."""
    held = bytearray(size)
    held[::PAGE] = b"\1" * len(range(0, size, PAGE))
    return held
