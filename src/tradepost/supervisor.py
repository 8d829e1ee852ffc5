"""The process above several workers: it starts them, replaces those that end, and passes signals on.

``tradepost serve --workers`` turns into it once everything is checked, and leaves the application behind: this process does
nothing with it, and would hold a hundred megabytes for that. ``imported`` is what workers are forked from.
"""

import fcntl
import json
import logging
import multiprocessing
import os
import shutil
import signal
import socket
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from multiprocessing import forkserver
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any, Final, NoReturn
from weakref import WeakKeyDictionary

import uvicorn
from typing_extensions import override
from uvicorn import _subprocess
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors import Multiprocess, multiprocess
from uvicorn.supervisors.multiprocess import Process

from tradepost.core.clock import SystemClock
from tradepost.core.observability.worker_files import MULTIPROCESS_VARIABLE, prepare_directory
from tradepost.web.shared_socket import COUNTS_VARIABLE, ConnectionCounts

METRICS_PREFIX: Final = "tradepost-metrics-"
LONGEST_DIRECTORY: Final = 70
"""Bytes of a directory's path in which a socket may lie: its own takes 32, and on some systems there are 103 for both."""
TELLS_AFTER: Final = 1.0
"""Seconds within which the end of a killed worker is known."""
_ENDING: Final = frozenset({signal.SIGTERM, signal.SIGINT})

monotonic: Final = SystemClock().monotonic

log = logging.getLogger("uvicorn.error")


def become(options: Mapping[str, Any], end_seconds: float) -> NoReturn:
    """Turn this process into the one above the workers, under the same number.

    ``options`` are of ``uvicorn.Config``. A worker that is told to end and has not after ``end_seconds`` is killed.
    """
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    # Without the working directory among the places that modules come from, as the command has none.
    given = json.dumps([options, end_seconds])
    os.execv(sys.executable, [sys.executable, "-P", "-m", __name__, given])  # noqa: S606 - itself


def fork_workers() -> None:
    """Have workers forked from one process that has imported the application, where uvicorn would have each import it.

    It listens on a socket in the directory for temporary files, whose path the system may find too long: then each does.
    """
    if len(os.fsencode(tempfile.gettempdir())) > LONGEST_DIRECTORY:
        return
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tradepost.imported"])
    _subprocess.spawn = context  # type: ignore[assignment] # it makes processes as well


def supervise(options: Mapping[str, Any], end_seconds: float) -> NoReturn:
    """Run workers until SIGTERM or SIGINT, or one that cannot start, and end this process after the last of them."""
    # Before there are workers that it could be passed on to.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    config = uvicorn.Config(**options)
    with metrics_directory(), connection_counts():
        workers = Workers(config, [config.bind_socket()], end_seconds)
        workers.run()
    sys.exit(workers.status)


class Workers(Multiprocess):
    """The processes of ``--workers``, behind one socket that is gone once the last of them takes no more."""

    def __init__(self, config: uvicorn.Config, sockets: list[socket.socket], end_seconds: float) -> None:
        super().__init__(config, sockets)
        self.status = 0
        """That of this process when it ends."""
        self._end_seconds = end_seconds
        self.should_exit = _Told(self)
        self._asked: WeakKeyDictionary[Process, float] = WeakKeyDictionary()
        """Since when workers owe an answer."""

    @override
    def init_processes(self) -> None:
        """Start them; what they are forked from may have ended of the same signal that has all of them end."""
        try:
            super().init_processes()
        except (EOFError, OSError):
            if not self.should_exit.is_set():
                raise

    @override
    def keep_subprocess_alive(self) -> None:
        """Replace what has ended, or has owed an answer for too long: no answer is waited for here.

        While uvicorn waited for that of a worker that hangs, a dead one had no successor, and signals were not heard.
        """
        for at, worker in enumerate(self.processes):
            if self.should_exit.is_set() or self._is_well(worker):
                continue
            worker.kill()
            worker.join()
            if worker.exitcode == STARTUP_FAILURE:
                log.error("Child process [%s] failed to start, stopping the parent process.", worker.pid)
                self.status = STARTUP_FAILURE
                self.should_exit.set()
                return
            log.info("Child process [%s] died", worker.pid)
            successor = multiprocess.Process(self.config, self.sockets)
            # What it would be forked from may have been killed just now: then it is tried again at the next look.
            with suppress(EOFError, OSError):
                successor.start()
                self.processes[at] = successor

    def _is_well(self, worker: Process) -> bool:
        """Tell whether a worker lives, and answers in time; one that has answered is asked again."""
        # The worker has it, too: open here, it would hide the end of the worker's.
        worker.child_conn.close()
        try:
            while worker.parent_conn.poll():
                worker.parent_conn.recv()
                self._asked.pop(worker, None)
            if worker not in self._asked:
                worker.parent_conn.send(b"ping")
                self._asked[worker] = monotonic()
        except (OSError, EOFError):
            # It has ended, which its pipe may say before the system has its status.
            return False
        is_late = monotonic() > self._asked[worker] + self.config.timeout_worker_healthcheck
        return worker.process.is_alive() and not is_late

    @override
    def terminate_all(self) -> None:
        """Let go of the socket: connections that it still took would wait for an answer that never comes."""
        for listener in self.sockets:
            listener.close()
        super().terminate_all()

    @override
    def restart_all(self) -> None:
        """Replace the workers one after the other, each once its successor is ready; a signal to end is heard meanwhile."""
        for at, old in enumerate(list(self.processes)):
            if self.should_exit.is_set():
                return
            successor = multiprocess.Process(self.config, self.sockets)
            successor.start()
            if not successor.wait_until_ready(self.config.timeout_worker_healthcheck, self.should_exit):
                if not self.should_exit.is_set():
                    log.error("Child process [%s] is not ready in time, no other is replaced", successor.pid)
                successor.kill()
                successor.join()
                return
            self.processes[at] = successor
            self._retire(old)

    @override
    def handle_ttou(self) -> None:
        if len(self.processes) > 1:
            self._retire(self.processes.pop())

    @override
    def join_all(self) -> None:
        last = monotonic() + self._end_seconds
        for worker in self.processes:
            _end(worker, last)

    def _retire(self, worker: Process) -> None:
        """End a worker, and wait for it; when all are to end meanwhile, it is one of them again."""
        worker.terminate()
        last = monotonic() + self._end_seconds
        while worker.process.is_alive() and monotonic() < last:
            if self.should_exit.is_set():
                self.processes.append(worker)
                return
            wait([worker.process.sentinel], 0.5)
        _end(worker, last)


def _end(worker: Process, last: float) -> None:
    """Wait for a worker's end until ``last``, and bring it about then: one that is stopped, or hangs, hears no other signal.

    So may be what it was forked from, and nobody else is told of the end.
    """
    worker.process.join(max(0.0, last - monotonic()))
    if worker.process.is_alive():
        log.error("Child process [%s] does not end, and is killed", worker.pid)
        worker.kill()
        worker.process.join(TELLS_AFTER)
        common = forkserver._forkserver._forkserver_pid  # type: ignore[attr-defined]  # noqa: SLF001 - it says so to nobody
        if worker.process.is_alive() and common is not None:
            log.error("Child process [%s] tells of no end, and is killed", common)
            os.kill(common, signal.SIGKILL)
    worker.join()


class _Told(threading.Event):
    """Whether all are to end, be it by a signal that nobody has looked at yet.

    A wait for it is over when a worker has ended already, so that another takes its place at once.
    """

    def __init__(self, workers: Workers) -> None:
        super().__init__()
        self._workers = workers

    @override
    def is_set(self) -> bool:
        return super().is_set() or not _ENDING.isdisjoint(self._workers.signal_queue)

    @override
    def wait(self, timeout: float | None = None) -> bool:
        wait([worker.process.sentinel for worker in self._workers.processes], timeout)
        return self.is_set()


@contextmanager
def metrics_directory() -> Iterator[None]:
    """Have a directory in which the metrics of several workers meet; they look for it when they start."""
    if given := os.environ.get(MULTIPROCESS_VARIABLE):
        prepare_directory(Path(given))
        yield
        return
    remove_left_behind(Path(tempfile.gettempdir()))
    with _new_directory() as directory:
        os.environ[MULTIPROCESS_VARIABLE] = str(directory)
        # The socket by which workers are asked for lies there, too: so a server that was killed leaves nothing for long.
        multiprocessing.current_process()._config["tempdir"] = str(directory)  # type: ignore[attr-defined]  # noqa: SLF001
        yield


@contextmanager
def _new_directory() -> Iterator[Path]:
    with ExitStack() as held:
        directory = None
        while directory is None:
            made = Path(tempfile.mkdtemp(prefix=METRICS_PREFIX))
            # A server that starts at the same moment may take it for left behind, before this one holds its lock.
            with suppress(OSError):
                held.enter_context(_held(made))
                directory = made if made.exists() else None
        try:
            yield directory
        finally:
            shutil.rmtree(directory, ignore_errors=True)


@contextmanager
def connection_counts() -> Iterator[None]:
    """Have a file in which several workers say how many connections each has; it is gone with this process."""
    with tempfile.NamedTemporaryFile(prefix="tradepost-connections-") as file:
        path = Path(file.name)
        ConnectionCounts.make(path)
        os.environ[COUNTS_VARIABLE] = str(path)
        yield


def remove_left_behind(parent: Path) -> None:
    """Remove the directories of metrics whose server was killed: nobody holds their lock any more."""
    for directory in parent.glob(f"{METRICS_PREFIX}*"):
        # Another user's, or removed by another server that starts.
        with suppress(OSError), _held(directory):
            shutil.rmtree(directory, ignore_errors=True)


@contextmanager
def _held(directory: Path) -> Iterator[None]:
    """Hold the lock of a directory, which ends with this process however that goes; ``OSError`` if another has it."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)


if __name__ == "__main__":
    fork_workers()
    supervise(*json.loads(sys.argv[1]))
