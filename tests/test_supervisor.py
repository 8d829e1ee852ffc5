"""The process above several workers."""

import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from multiprocessing import forkserver
from types import SimpleNamespace
from typing import Any

import pytest
import uvicorn
from typing_extensions import override
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors import multiprocess

from tradepost import supervisor
from tradepost.core.clock import SystemClock
from tradepost.supervisor import Workers, _end, _Told

LOOK = """
import sys
import tradepost.supervisor
print(sorted(name for name in ("fastapi", "pydantic", "sqlalchemy", "tradepost.bootstrap") if name in sys.modules))
"""


def test_it_imports_nothing_of_the_application() -> None:
    found = subprocess.run([sys.executable, "-c", LOOK], capture_output=True, text=True, check=True)
    assert found.stdout == "[]\n"


def test_the_end_of_a_worker_is_noticed_at_once() -> None:
    forked = multiprocessing.get_context("spawn")
    lines = [forked.Pipe() for _ in range(2)]
    processes = [forked.Process(target=theirs.recv) for _, theirs in lines]
    for process in processes:
        process.start()
    try:
        workers: Any = SimpleNamespace(
            processes=[SimpleNamespace(process=process) for process in processes], signal_queue=[]
        )
        told = _Told(workers)
        assert not told.wait(0.01)
        assert processes[1].pid is not None
        threading.Timer(0.2, os.kill, (processes[1].pid, signal.SIGKILL)).start()
        # Until the test's own time is up, were it not for that.
        assert not told.wait(3600)
        assert processes[0].is_alive()
        # Its end shows a moment before the system has its status.
        processes[1].join(10)
        assert not processes[1].is_alive()
        told.set()
        assert told.wait(0)
    finally:
        for process in processes:
            process.kill()
            process.join()
        for line in lines:
            for end in line:
                end.close()


class _Dying(multiprocess.Process):
    """A worker that is killed when it has been asked whether it is well, before it can answer."""

    @override
    def target(self, sockets: list[socket.socket] | None = None) -> None:
        self.child_conn.recv()
        os.kill(os.getpid(), signal.SIGKILL)


class _Hanging(multiprocess.Process):
    """A worker that never answers."""

    @override
    def target(self, sockets: list[socket.socket] | None = None) -> None:
        signal.pause()


class _Answering(multiprocess.Process):
    """A worker that answers."""

    @override
    def target(self, sockets: list[socket.socket] | None = None) -> None:
        self.always_pong()


class _Ready(multiprocess.Process):
    """A worker that serves."""

    @override
    def target(self, sockets: list[socket.socket] | None = None) -> None:
        while True:
            self.child_conn.recv()
            self.child_conn.send(True)  # noqa: FBT003 - as uvicorn's do


class _Failing(multiprocess.Process):
    """A worker whose application cannot be made."""

    @override
    def target(self, sockets: list[socket.socket] | None = None) -> None:
        sys.exit(STARTUP_FAILURE)


class _Unborn(multiprocess.Process):
    """A worker of which nothing comes: what it would be forked from is gone."""

    @override
    def start(self) -> None:
        raise EOFError


class _Scene:
    """Workers of given kinds, and a clock that stands still."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *kinds: type[multiprocess.Process]) -> None:
        self.now = 1000.0
        monkeypatch.setattr(supervisor, "monotonic", lambda: self.now)
        self._kinds = iter(kinds)
        monkeypatch.setattr(multiprocess, "Process", self._made)
        config = uvicorn.Config("nothing:app", workers=2, timeout_worker_healthcheck=60)
        self.workers = Workers(config, [], end_seconds=0.1)
        self.workers.init_processes()
        self.first = list(self.workers.processes)
        self.started = set(self.first)

    def _made(self, *given: Any) -> multiprocess.Process:
        return next(self._kinds)(*given)

    def look(self) -> list[multiprocess.Process]:
        """Have the workers looked after once; return them."""
        self.workers.keep_subprocess_alive()
        self.started |= {*self.workers.processes}
        return self.workers.processes


@pytest.fixture
def _own_signals() -> Iterator[None]:
    """Have uvicorn's handlers only for as long as the test."""
    before = {number: signal.getsignal(number) for number in multiprocess.SIGNALS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def scene(monkeypatch: pytest.MonkeyPatch, _own_signals: None) -> Iterator[Callable[..., _Scene]]:
    scenes: list[_Scene] = []

    def made(*kinds: type[multiprocess.Process]) -> _Scene:
        scenes.append(_Scene(monkeypatch, *kinds))
        return scenes[-1]

    yield made
    for worker in (worker for scene in scenes for worker in scene.started):
        worker.kill()
        worker.join()


def test_so_is_that_of_one_which_ends_while_it_is_asked_and_another_hangs(
    scene: Callable[..., _Scene],
) -> None:
    played = scene(_Hanging, _Dying, _Hanging)
    hanging, dying = played.look()
    # It is asked, and ends: until the test's own time is up, were an answer of the other waited for.
    while played.workers.processes[1] is dying:
        played.workers.should_exit.wait(3600)
        played.look()
    kept, successor = played.look()
    assert kept is hanging
    assert successor is not dying
    assert dying.exitcode == -signal.SIGKILL
    assert kept.exitcode is successor.exitcode is None


def test_one_that_owes_an_answer_for_too_long_is_replaced(scene: Callable[..., _Scene]) -> None:
    played = scene(_Answering, _Hanging, _Hanging)
    answering, hanging = played.look()
    for _ in range(2):
        # The other's answer comes in its own time.
        assert answering.parent_conn.poll(60)
        played.now += 30
        assert played.look() == [answering, hanging]
    assert answering.parent_conn.poll(60)
    played.now += 0.5
    kept, successor = played.look()
    assert kept is answering
    assert successor is not hanging
    assert hanging.exitcode == -signal.SIGKILL
    # It has its own time from when it is asked.
    played.now += 59
    assert played.look()[1] is successor


def test_one_that_cannot_be_replaced_is_at_the_next_look(scene: Callable[..., _Scene]) -> None:
    played = scene(_Hanging, _Hanging, _Unborn, _Hanging)
    hanging, dead = played.first
    dead.process.kill()
    dead.process.join()
    assert played.look() == [hanging, dead]
    kept, successor = played.look()
    assert kept is hanging
    assert successor is not dead
    assert successor.exitcode is None


def test_workers_that_cannot_start_end_the_process_above(scene: Callable[..., _Scene]) -> None:
    played = scene(_Failing, _Hanging)
    failing, hanging = played.first
    failing.process.join()
    assert played.look() == [failing, hanging]
    assert played.workers.should_exit.is_set()
    assert hanging.exitcode is None


def stop(worker: multiprocess.Process) -> None:
    assert worker.pid is not None
    os.kill(worker.pid, signal.SIGSTOP)
    os.waitid(os.P_PID, worker.pid, os.WSTOPPED | os.WNOWAIT)


def test_one_that_is_stopped_is_killed_when_all_are_to_end(scene: Callable[..., _Scene]) -> None:
    played = scene(_Hanging, _Hanging)
    stopped, ending = played.first
    stop(stopped)
    played.workers.terminate_all()
    # Its end is not awaited in the time of the first.
    ending.process.join()
    # Until the test's own time is up, were the stopped one waited for.
    played.workers.join_all()
    assert (stopped.exitcode, ending.exitcode) == (-signal.SIGKILL, -signal.SIGTERM)


@pytest.mark.parametrize(("number", "left"), [(signal.SIGHUP, 2), (signal.SIGTTOU, 1)])
def test_one_that_is_stopped_is_killed_when_it_alone_is_to_end(
    scene: Callable[..., _Scene], monkeypatch: pytest.MonkeyPatch, number: signal.Signals, left: int
) -> None:
    played = scene(_Hanging, _Hanging, _Ready, _Ready)
    stopped = played.first[-1]
    stop(stopped)
    monkeypatch.setattr(supervisor, "monotonic", SystemClock().monotonic)
    played.workers.signal_queue.append(number)
    # Until the test's own time is up, were the stopped one waited for.
    played.workers.handle_signals()
    played.started |= {*played.workers.processes}
    assert stopped.exitcode == -signal.SIGKILL
    assert stopped not in played.workers.processes
    assert [worker.exitcode for worker in played.workers.processes] == [None] * left


def test_a_signal_to_end_is_heard_while_workers_are_replaced(scene: Callable[..., _Scene]) -> None:
    played = scene(_Hanging, _Hanging, _Ready)
    stopped, other = played.first
    stop(stopped)
    pause = threading.Event()

    def tell() -> None:
        while played.workers.processes[0] is stopped:
            pause.wait(0.01)
        played.workers.signal_queue.append(signal.SIGTERM)

    telling = threading.Thread(target=tell)
    telling.start()
    # Until the test's own time is up, as the clock stands still.
    played.workers.restart_all()
    telling.join()
    played.started |= {*played.workers.processes}
    successor, *others = played.workers.processes
    assert isinstance(successor, _Ready)
    assert others == [other, stopped]
    assert played.workers.should_exit.is_set()


@pytest.mark.usefixtures("_own_signals")
def test_all_end_when_what_they_are_forked_from_ended_of_the_same_signal(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(multiprocess, "Process", _Unborn)
    workers = Workers(uvicorn.Config("nothing:app", workers=2), [], end_seconds=0.1)
    with pytest.raises(EOFError):
        workers.init_processes()
    workers.signal_queue.append(signal.SIGINT)
    workers.run()
    assert workers.processes == []


def test_an_end_is_awaited_where_what_tells_of_it_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "TELLS_AFTER", 0.1)
    process = multiprocessing.get_context("forkserver").Process(target=signal.pause)
    process.start()
    common = forkserver._forkserver._forkserver_pid  # type: ignore[attr-defined]
    os.kill(common, signal.SIGSTOP)
    os.waitid(os.P_PID, common, os.WSTOPPED | os.WNOWAIT)
    worker: Any = SimpleNamespace(process=process, pid=process.pid, kill=process.kill, join=process.join)
    # Until the test's own time is up, were the stopped one waited for.
    _end(worker, last=0)
    assert not process.is_alive()
