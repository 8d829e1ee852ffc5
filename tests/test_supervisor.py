"""The process above several workers."""

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
from types import SimpleNamespace
from typing import Any

from tradepost.supervisor import _Told

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
