"""A writer thread behind a bounded queue: no full pipe ever stops the event loop.

A line is handed over finished; writing it costs, and waits in the thread. When the reader of the pipe falls behind, lines
are dropped and counted instead of waited for.
"""

import os
import select
import threading
from collections import deque
from contextlib import suppress
from typing import Final

MAX_WAITING: Final = 20_000
"""Lines that may wait for the thread; about 5 MB."""

_GATHER: Final = 0.02
_LINES_A_WRITE: Final = 128


class LogWriter:
    """Hands lines to a thread that writes them to a file descriptor.

    ``write`` never waits. ``close`` writes what is left, for ``timeout`` seconds at the most; a later line is written at
    once, in the thread that logs it.
    """

    def __init__(self, descriptor: int, *, max_waiting: int = MAX_WAITING) -> None:
        self.dropped = 0
        self._descriptor = descriptor
        self._max_waiting = max_waiting
        self._waiting: deque[bytes] = deque()
        self._wake = threading.Event()
        self._idle = True
        self._closing = threading.Event()
        self._reported = 0
        self._thread: threading.Thread | None = None

    def write(self, line: bytes) -> None:
        """Take one line, with its line break."""
        if len(self._waiting) >= self._max_waiting:
            self.dropped += 1
            return
        self._waiting.append(line)
        if self._idle:
            self._idle = False
            self._start()

    def close(self, timeout: float = 2.0) -> None:
        """Write what is left."""
        self._closing.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join(timeout)

    def _start(self) -> None:
        if self._closing.is_set():
            self._drain()
            self._idle = True
            return
        if self._thread is None:
            # Made with the first line, so that a process forked before it has a thread of its own.
            self._thread = threading.Thread(target=self._run, name="log-writer", daemon=True)
            self._thread.start()
        self._wake.set()

    def _run(self) -> None:
        while not self._closing.is_set():
            self._wake.wait()
            self._wake.clear()
            # Under load, gather: one write for many lines, and one change of threads.
            self._closing.wait(_GATHER)
            self._drain()
            self._idle = True
            if self._waiting:  # came between the last look and the line above
                self._idle = False
                self._wake.set()
        self._drain()

    def _drain(self) -> None:
        while self._waiting:
            lines: list[bytes] = []
            with suppress(IndexError):
                while len(lines) < _LINES_A_WRITE:
                    lines.append(self._waiting.popleft())
            if self.dropped > self._reported:
                lines.append(b'{"level":"warning","event":"log lines dropped","total":%d}\n' % self.dropped)
                self._reported = self.dropped
            if not self._put(b"".join(lines)):
                return

    def _put(self, data: bytes) -> bool:
        view = memoryview(data)
        while view:
            try:
                view = view[os.write(self._descriptor, view) :]
            except BlockingIOError:
                # Another process that shares the descriptor made it non-blocking.
                select.select([], [self._descriptor], [], 1.0)
            except OSError:
                self.dropped += len(self._waiting) + 1
                self._waiting.clear()
                return False
        return True
