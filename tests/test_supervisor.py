"""The process above several workers."""

import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import uvicorn
from typing_extensions import override
from uvicorn.supervisors import multiprocess

from tradepost.supervisor import Workers, _Told

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
        workers: Any = SimpleNamespace(processes=[SimpleNamespace(process=process) for process in processes])
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


@pytest.fixture
def _own_signals() -> Iterator[None]:
    """Have uvicorn's handlers only for as long as the test."""
    before = {number: signal.getsignal(number) for number in multiprocess.SIGNALS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("_own_signals")
def test_so_is_that_of_one_which_ends_while_it_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(multiprocess, "Process", _Dying)
    # Until the test's own time is up, were it waited for.
    config = uvicorn.Config("nothing:app", workers=1, timeout_worker_healthcheck=3600)
    workers = Workers(config, [])
    workers.init_processes()
    (first,) = workers.processes
    try:
        workers.keep_subprocess_alive()
        (second,) = workers.processes
        assert second is not first
        assert first.exitcode == -signal.SIGKILL
        assert second.exitcode is None
    finally:
        for worker in (first, *workers.processes):
            worker.kill()
            worker.join()
