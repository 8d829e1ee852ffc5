"""Where connections are accepted: by the only worker all that wait, by one of several its share, however few there are.

libuv accepts one connection in each turn of its loop. A crowd that comes all at once would take seconds to be there, in which
overload control sees a queue that grows. Of several workers, the one that wakes first would take all that wait, and the others
none: there a worker takes one connection a turn, and one that has more of them than another lets that one go first for a moment.
It waits no longer: the other may hang, or be busy.
"""

import asyncio
import fcntl
import mmap
import os
import socket
import struct
from collections.abc import Callable, Sequence, Sized
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import structlog
import uvloop
from typing_extensions import override

from tradepost.core.observability.worker_files import lives

COUNTS_VARIABLE: Final = "CONNECTION_COUNTS_FILE"
"""Names the file in which the workers of a server write how many connections each has."""
POLITENESS: Final = 0.002
"""Seconds that a worker with more connections lets another one go first."""
EXHAUSTED: Final = 1.0
"""Seconds until a worker that could not accept, perhaps because it may open no more files, looks again."""
MOST_AT_ONCE: Final = 128
"""Connections that the only worker accepts in a turn: those that are there already have theirs, too."""
MOST_WORKERS: Final = 512
"""More than there are at a time: while workers are replaced, old and new ones are there."""

_SLOT: Final = struct.Struct("=II")
"""A worker's process, and how many connections it has."""
_GONE: Final = 2**32 - 1

log = structlog.get_logger("tradepost.web")


class ConnectionCounts:
    """How many connections each worker has, in memory that they share: a slot for each, a dead one's is taken over.

    Each writes at its own place alone. Another one's number may be a moment old.
    """

    def __init__(self, path: Path) -> None:
        """Open the file at ``path``, which ``make`` has made, and take a slot."""
        with path.open("r+b") as file:
            self._shared = mmap.mmap(file.fileno(), MOST_WORKERS * _SLOT.size)
            fcntl.flock(file, fcntl.LOCK_EX)
            self._at = next(at for at in range(MOST_WORKERS) if not self._is_taken(at))
            self.show(0)
            # The mapping keeps the file open, and with it the lock.
            fcntl.flock(file, fcntl.LOCK_UN)

    @staticmethod
    def make(path: Path) -> None:
        """Make the file, before the first worker starts."""
        path.write_bytes(bytes(MOST_WORKERS * _SLOT.size))

    def show(self, number: int) -> None:
        """Say how many connections this worker has."""
        _SLOT.pack_into(self._shared, self._at * _SLOT.size, os.getpid(), number)

    def fewest_elsewhere(self) -> int:
        """Return how many that other worker has that has the fewest; very many without another."""
        fewest = _GONE
        for at in range(MOST_WORKERS):
            process, number = _SLOT.unpack_from(self._shared, at * _SLOT.size)
            if not process:
                break
            if at != self._at and number < fewest and lives(process):
                fewest = number
        return fewest

    def close(self) -> None:
        """Take no part any more: nobody waits for a worker that takes no connections."""
        self.show(_GONE)
        self._shared.close()

    def _is_taken(self, at: int) -> bool:
        process, _ = _SLOT.unpack_from(self._shared, at * _SLOT.size)
        return bool(process) and lives(process)


class AcceptingServer:
    """Accepts the connections of sockets: as much of ``asyncio.Server`` as uvicorn uses."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        new_protocol: Callable[[], Any],
        listeners: Sequence[socket.socket],
        counts: ConnectionCounts | None,
        backlog: int,
    ) -> None:
        """``new_protocol`` makes uvicorn's protocols, whose server knows all connections; ``counts`` are there for several workers."""
        self._loop = loop
        self._new_protocol = new_protocol
        # Its own: whoever gave them may close them first.
        self.sockets = [listener.dup() for listener in listeners]
        for listener in self.sockets:
            listener.settimeout(0)
            listener.listen(backlog)
        self._counts = counts
        self._connections: Sized = ()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._pause: asyncio.TimerHandle | None = None
        self._is_open = True
        self._listen()

    def close(self) -> None:
        """Accept no more; what was accepted is served."""
        if self._is_open:
            self._is_open = False
            if self._pause is None:
                self._listen_no_more()
            else:
                self._pause.cancel()
            for listener in self.sockets:
                listener.close()
            if self._counts is not None:
                self._counts.close()

    async def wait_closed(self) -> None:
        """Wait until every accepted connection has its protocol."""
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _listen(self) -> None:
        for listener in self.sockets:
            self._loop.add_reader(listener, self._somebody_waits, listener)

    def _listen_no_more(self) -> None:
        for listener in self.sockets:
            self._loop.remove_reader(listener)

    def _somebody_waits(self, listener: socket.socket) -> None:
        if self._counts is None:
            for _ in range(MOST_AT_ONCE):
                if not self._accept(listener):
                    return
            return
        number = len(self._connections) + len(self._tasks)
        self._counts.show(number)
        if number > self._counts.fewest_elsewhere():
            self._rest(POLITENESS)
        else:
            self._accept(listener)

    def _rest(self, seconds: float) -> None:
        self._listen_no_more()
        self._pause = self._loop.call_later(seconds, self._go_on)

    def _go_on(self) -> None:
        self._pause = None
        self._listen()
        for listener in self.sockets:
            # One that cannot accept has all of them rest, once.
            if self._pause is None:
                self._accept(listener)

    def _accept(self, listener: socket.socket) -> bool:
        """Take one connection, if there is one to take."""
        try:
            connection, _ = listener.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            # Another worker has it, or it is gone.
            return False
        except OSError as error:
            log.warning("a connection could not be accepted", reason=error.strerror)
            self._rest(EXHAUSTED)
            return False
        task = self._loop.create_task(self._connected(connection))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return True

    async def _connected(self, connection: socket.socket) -> None:
        with suppress(OSError):  # its client left already
            _, protocol = await self._loop.connect_accepted_socket(self._new_protocol, connection)
            self._connections = protocol.server_state.connections
            if not self._is_open:
                # The server may have told all others before, and would wait for this one's first byte.
                protocol.shutdown()


class AcceptingLoop(uvloop.Loop):
    """The event loop of a worker."""

    @override
    async def create_server(self, protocol_factory: Any, *arguments: Any, **options: Any) -> Any:
        """Serve an address, or a socket that is given as one of several workers."""
        path, backlog = os.environ.get(COUNTS_VARIABLE), options["backlog"]
        if "sock" in options and path is not None:
            counts = ConnectionCounts(Path(path))
            return AcceptingServer(self, protocol_factory, [options["sock"]], counts, backlog)
        bound: Any = await super().create_server(protocol_factory, *arguments, **options, start_serving=False)
        listeners = [socket.socket(fileno=os.dup(each.fileno())) for each in bound.sockets]
        bound.close()
        server = AcceptingServer(self, protocol_factory, listeners, None, backlog)
        for listener in listeners:
            listener.close()
        return server
