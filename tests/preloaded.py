"""Processes of ``tradepost`` that start within a moment: forked from one that has imported everything already.

Two thirds of what a server's start costs are imports, which have nothing to do with its settings; the tests start hundreds.
What is forked is as good as a process of its own: its surroundings, directory and standard streams are those that it is
given, and it heads a process group. What uvicorn starts for ``--workers`` is forked, too, and has nothing of its parent's
that a new process would not have; ``tests/test_preloaded.py`` has servers that are not forked at all.

    python -m tests.preloaded FD

FD is a socket, each message of which asks for one process. When its other end is closed, however that went, all of them
are killed and their directories removed.
"""

import asyncio
import atexit
import gc
import json
import multiprocessing
import os
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from multiprocessing.context import ForkContext, ForkProcess
from pathlib import Path
from typing import Any, Final, NoReturn

import uvicorn._subprocess
from prometheus_client import values
from sqlalchemy.orm import configure_mappers

from tradepost.core.database import revisions
from tradepost.core.observability import logging

ROOT: Final = Path(__file__).parents[1]
TRADEPOST: Final = Path(sys.executable).with_name("tradepost")
ASKED_FOR: Final = (
    "tradepost.main",
    "tradepost.cli.demo",
    "tradepost.core.database.migrations",
    "tradepost.core.shared_rate_limiter",
    "tradepost.core.signals.redis",
    "tradepost.core.storage.s3",
)
_LENGTH: Final = struct.Struct("!Q")
_READ_WHILE_IMPORTING: Final = ("PYTHON", "PROMETHEUS_", "COVERAGE_", "TZ", "LC_", "LANG", "LD_")
"""How the names begin of what may not differ from this process's own surroundings: it was read before the fork."""


class Process:
    """A process that was forked, seen from the tests; every method may be called from any thread."""

    def __init__(self, status: int) -> None:
        self._status = status
        self._lock = threading.Lock()
        self._returncode: int | None = None
        self._said = b""
        self.pid = int(self._line())

    def poll(self) -> int | None:
        """Return its status if it has ended: the negative number of the signal that ended it, if one did."""
        with self._lock:
            if self._returncode is None and select.select([self._status], [], [], 0)[0]:
                self._returncode = int(self._line())
                os.close(self._status)
            return self._returncode

    async def ended(self, within: float) -> int:
        """Wait for its end, so many seconds at most, and return its status."""
        async with asyncio.timeout(within):
            while True:
                found = self.poll()
                if found is not None:
                    return found
                await asyncio.sleep(0.01)

    def send(self, number: int) -> None:
        """Send it a signal, unless it has ended."""
        with self._lock:
            if self._returncode is None:
                os.kill(self.pid, number)

    def kill(self) -> None:
        """End it and its group at once, as a power cut would, and wait for that."""
        with suppress(ProcessLookupError):
            if self.poll() is None:
                os.killpg(self.pid, signal.SIGKILL)
        while self.poll() is None:
            time.sleep(0.002)

    def _line(self) -> bytes:
        while b"\n" not in self._said:
            more = os.read(self._status, 64)
            if not more:
                raise EOFError("the process that starts others is gone")
            self._said += more
        line, _, self._said = self._said.partition(b"\n")
        return line


class _Starter:
    """The process that starts others, seen from the tests; it is started when the first one is wanted."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None

    def start(self, request: dict[str, Any], output: int) -> Process:
        message = json.dumps(request).encode()
        told, tells = os.pipe()
        try:
            with self._lock:
                connection = self._connected()
                socket.send_fds(connection, [_LENGTH.pack(len(message))], [output, tells])
                connection.sendall(message)
        finally:
            os.close(tells)
        return Process(told)

    def _connected(self) -> socket.socket:
        if self._socket is None:
            ours, theirs = socket.socketpair()
            with theirs:
                process = subprocess.Popen(
                    [sys.executable, "-m", "tests.preloaded", str(theirs.fileno())],
                    cwd=ROOT,
                    env=_surroundings(),
                    pass_fds=[theirs.fileno()],
                    stdin=subprocess.DEVNULL,
                    # A signal to the test run's process group passes it by.
                    start_new_session=True,
                )
            # In the opposite order: closed first, and then it ends.
            atexit.register(process.wait)
            atexit.register(ours.close)
            self._socket = ours
        return self._socket


_starter = _Starter()


def _surroundings() -> dict[str, str]:
    """Return those of the process that starts others: this one's, without what would have servers meet."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PROMETHEUS_")}


def can_start(env: Mapping[str, str]) -> bool:
    """Tell whether a process with these surroundings can be forked: whether what differs is not looked at by imports."""
    differing = {name for name, _ in env.items() ^ _surroundings().items()}
    return not any(name.startswith(_READ_WHILE_IMPORTING) for name in differing)


def start(
    arguments: Sequence[str],
    *,
    env: Mapping[str, str],
    output: int,
    cwd: Path | None = None,
    directory: Path | None = None,
) -> Process:
    """Start ``tradepost`` with these arguments; what it writes goes to the file ``output``.

    ``directory`` is removed should the tests end before they do so themselves.
    """
    assert can_start(env)
    request = {
        "argv": [str(TRADEPOST), *arguments],
        "env": dict(env),
        "cwd": str(cwd or Path.cwd()),
        "directory": None if directory is None else str(directory),
    }
    return _starter.start(request, output)


class _Worker(ForkProcess):
    """One of the processes of ``--workers``, forked where uvicorn would start a new one."""

    def _bootstrap(self, parent_sentinel: int | None = None) -> int:
        # What a new process would not have: the ends by which the others see that their parent is gone, its handlers of
        # signals, and a writer of log lines without its thread.
        for other in multiprocessing.process._children:  # type: ignore[attr-defined]
            other._popen.finalizer()
        for number in signal.valid_signals():
            if callable(signal.getsignal(number)):
                signal.signal(number, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        atexit._clear()
        logging._writers.clear()
        # Decided by a variable when it is imported: the server names a directory only now.
        values.ValueClass = values.get_value_class()  # type: ignore[no-untyped-call]
        try:
            return super()._bootstrap(parent_sentinel)  # type: ignore[misc,no-any-return]
        finally:
            atexit._run_exitfuncs()


class _Workers(ForkContext):
    Process = _Worker


@dataclass(frozen=True)
class _Child:
    status: int
    directory: str | None


def main() -> None:
    """Import everything, then fork a process for each message, and tell of its end."""
    from tradepost import supervisor  # noqa: PLC0415 - only this process is to be filled with it
    from tradepost.cli import main as command  # noqa: PLC0415

    # What a command or a setting asks for is imported by its name: here all of it.
    dict(command.commands)
    list(map(import_module, ASKED_FOR))
    configure_mappers()
    revisions.head()
    revisions.is_newer("")
    uvicorn._subprocess.spawn = _Workers()  # type: ignore[assignment]
    # A process of a new image would have to import everything once more.
    supervisor.become = supervisor.supervise
    # What was imported lives as long as any of them: a collector that looked at it would copy all of it for each.
    gc.collect()
    gc.freeze()
    requests = socket.socket(fileno=int(sys.argv[1]))
    arrived, wake_up = os.pipe()
    for end in (arrived, wake_up):
        os.set_blocking(end, False)
    signal.set_wakeup_fd(wake_up)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    children: dict[int, _Child] = {}
    try:
        while True:
            readable, _, _ = select.select([requests.fileno(), arrived], [], [])
            if arrived in readable:
                os.read(arrived, 4096)
                _reap(children)
            if requests.fileno() in readable:
                head, files, _, _ = socket.recv_fds(requests, _LENGTH.size, 2)
                if not head:
                    return
                request = json.loads(_received(requests, *_LENGTH.unpack(head)))
                output, status = files
                pid = os.fork()
                if pid == 0:
                    for other in (requests.fileno(), arrived, wake_up, status):
                        os.close(other)
                    for child in children.values():
                        os.close(child.status)
                    _become(request, output, command)
                os.close(output)
                with suppress(OSError):  # it does so itself, perhaps sooner
                    os.setpgid(pid, pid)
                children[pid] = _Child(status, request["directory"])
                os.write(status, b"%d\n" % pid)
    finally:
        _end_all(children)


def _received(requests: socket.socket, length: int) -> bytes:
    message = b""
    while len(message) < length:
        message += requests.recv(length - len(message)) or _broken_off()
    return message


def _broken_off() -> NoReturn:
    sys.exit("a request broke off")


def _become(request: dict[str, Any], output: int, command: Any) -> NoReturn:
    """Turn this process, just forked, into one that an operator might have started."""
    os.setpgid(0, 0)
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.close(output)
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["env"])
    tempfile.tempdir = None
    sys.argv = request["argv"]
    sys.path[0] = str(TRADEPOST.parent)
    # What multiprocessing has its new processes begin with.
    entry = sys.modules["__main__"]
    entry.__file__, entry.__spec__ = sys.argv[0], None
    status = 1
    try:
        command(prog_name="tradepost")
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:  # noqa: BLE001 - as the interpreter does at its end
        sys.excepthook(*sys.exc_info())
    finally:
        _finish(status)


def _finish(status: int) -> NoReturn:
    """End as an interpreter does: exit functions, threads, buffers."""
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(status)


def _reap(children: dict[int, _Child]) -> None:
    while children:
        pid, ended = os.waitpid(-1, os.WNOHANG)
        if pid == 0:
            return
        if child := children.pop(pid, None):
            os.write(child.status, b"%d\n" % os.waitstatus_to_exitcode(ended))
            os.close(child.status)


def _end_all(children: dict[int, _Child]) -> None:
    for pid, child in children.items():
        with suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)
        if child.directory is not None:
            shutil.rmtree(child.directory, ignore_errors=True)


if __name__ == "__main__":
    main()
