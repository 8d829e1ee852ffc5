import asyncio
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tradepost.core.clock import SystemClock
from tradepost.core.observability import metrics as module
from tradepost.core.observability.metrics import Metrics
from tradepost.core.observability.worker_files import prepare_directory


@pytest.fixture
def metrics() -> Metrics:
    return Metrics(clock=SystemClock(), gauges={"things": ("Things there are", lambda: 3)})


async def text_of(metrics: Metrics) -> str:
    return (await metrics.render())[0].decode()


async def test_requests_are_counted_and_timed_by_route(metrics: Metrics) -> None:
    metrics.observe("GET", "/items/{item_id}", 200, 0.004)
    metrics.observe("GET", "/items/{item_id}", 404, 0.004)
    metrics.observe("GET", "/items/{item_id}", 200, 20.0)
    text = await text_of(metrics)
    assert 'tradepost_http_requests_total{method="GET",route="/items/{item_id}",status="200"} 2.0' in text
    assert 'tradepost_http_requests_total{method="GET",route="/items/{item_id}",status="404"} 1.0' in text
    assert 'request_duration_seconds_bucket{le="0.0025",method="GET",route="/items/{item_id}"} 0.0' in text
    assert 'request_duration_seconds_bucket{le="0.005",method="GET",route="/items/{item_id}"} 2.0' in text
    assert 'request_duration_seconds_bucket{le="+Inf",method="GET",route="/items/{item_id}"} 3.0' in text


async def test_nobody_outside_chooses_labels(metrics: Metrics) -> None:
    for number in range(50):
        metrics.observe(f"BREW{number}", None, 404, 0.001)
    text = await text_of(metrics)
    assert 'tradepost_http_requests_total{method="OTHER",route="unmatched",status="404"} 50.0' in text
    assert "BREW" not in text
    assert len(metrics._answers) == 1


async def test_gauges_are_read_when_they_are_asked_for(metrics: Metrics) -> None:
    metrics.in_progress = 5
    metrics.add_gauge("late", "Added later", lambda: 8)
    text = await text_of(metrics)
    for line in ("tradepost_http_requests_in_progress 5.0", "tradepost_things 3.0", "tradepost_late 8.0"):
        assert line in text
    assert "process_cpu_seconds_total" in text


async def test_a_loop_that_hangs_is_seen(metrics: Metrics, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SAMPLE_PERIOD", 0.01)
    watch = asyncio.create_task(metrics.watch())
    await asyncio.sleep(0.05)
    time.sleep(0.2)  # noqa: ASYNC251  (that is what is to be seen)
    await asyncio.sleep(0.05)
    watch.cancel()
    (worst,) = [
        line
        for line in (await text_of(metrics)).splitlines()
        if line.startswith("tradepost_event_loop_lag_worst")
    ]
    assert 0.15 < float(worst.split()[1]) < 5


# --- several workers --------------------------------------------------------------------------------------------------

WORKER = """
import asyncio, json, sys
from tradepost.core.clock import SystemClock
from tradepost.core.observability.metrics import Metrics
metrics = Metrics(clock=SystemClock(), gauges={"things": ("Things", lambda: 3)})
metrics.in_progress = 2
metrics.observe("GET", "/items/", 200, 0.01)
metrics.observe("GET", "/items/", 200, 0.01)
print(asyncio.run(metrics.render())[0].decode(), flush=True)
print("END", flush=True)
for line in sys.stdin:
    if line == "close\\n":
        metrics.close()
        print("closed", flush=True)
"""


class Worker:
    """A process that counts in the shared directory."""

    def __init__(self, directory: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", WORKER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(directory)},
        )
        assert self.process.stdout is not None
        lines = iter(self.process.stdout.readline, "END\n")
        self.text = "".join(lines)

    def close(self) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write("close\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline() == "closed\n"

    def end(self, *, kill: bool = False) -> None:
        if kill:
            self.process.kill()
        self.process.communicate(timeout=30)


def test_any_worker_answers_for_all(tmp_path: Path) -> None:
    directory = tmp_path / "metrics"
    prepare_directory(directory)
    first, second = Worker(directory), Worker(directory)
    assert 'tradepost_http_requests_total{method="GET",route="/items/",status="200"} 4.0' in second.text
    assert "tradepost_http_requests_in_progress 4.0" in second.text
    assert "tradepost_things 6.0" in second.text
    assert second.text.count("tradepost_worker_resident_memory_bytes{pid=") == 2

    # One goes in order, one is killed: neither is in the gauges any more, and both stay in the counters.
    first.close()
    first.end()
    second.end(kill=True)
    third = Worker(directory)
    assert 'tradepost_http_requests_total{method="GET",route="/items/",status="200"} 6.0' in third.text
    assert "tradepost_http_requests_in_progress 2.0" in third.text
    assert "tradepost_things 3.0" in third.text
    assert third.text.count("tradepost_worker_resident_memory_bytes{pid=") == 1
    third.end()

    prepare_directory(directory)
    assert list(directory.iterdir()) == []


def test_what_is_shown_is_what_prometheus_reads(tmp_path: Path) -> None:
    directory = tmp_path / "metrics"
    prepare_directory(directory)
    worker = Worker(directory)
    worker.end()
    names = {
        line.split("{")[0].split(" ")[0]
        for line in worker.text.splitlines()
        if line and not line.startswith("#")
    }
    assert json.dumps(sorted(names)).count("tradepost_") == len(names)


async def test_messages_are_counted_by_channel_and_outcome() -> None:
    metrics = Metrics(clock=SystemClock())
    metrics.observe_attempt("mail", "done", 0.5)
    metrics.observe_attempt("mail", "dead", 0.1)
    metrics.observe_attempt("reactions", "done", 0.0)
    metrics.show_backlog("mail", waiting=3, dead=1, lag=1.5)
    text = (await metrics.render())[0].decode()
    assert 'tradepost_messages_total{channel="mail",outcome="done"} 1.0' in text
    assert 'tradepost_messages_total{channel="mail",outcome="dead"} 1.0' in text
    assert 'tradepost_message_delivery_seconds_count{channel="mail"} 2.0' in text
    assert 'tradepost_message_delivery_seconds_count{channel="reactions"}' not in text
    assert 'tradepost_messages_waiting{channel="mail"} 3.0' in text
    assert 'tradepost_messages_lag_seconds{channel="mail"} 1.5' in text
