"""Metrics for Prometheus, right for one process and for many workers behind one port.

With several workers each scrape reaches only one of them, so all keep their numbers in memory-mapped files in the
directory that ``PROMETHEUS_MULTIPROC_DIR`` names, and every worker answers for all. The variable must be set before
this module is imported (prometheus-client decides then), and the directory must be empty when the first worker starts.
"""

import asyncio
import os
from collections.abc import Callable, Container, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
    start_http_server,
)
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from prometheus_client.openmetrics.exposition import CONTENT_TYPE_LATEST as OPENMETRICS_TYPE
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.samples import Sample

from tradepost.core.clock import Clock
from tradepost.core.observability.tallies import TALLIES, Durations, Tally
from tradepost.core.observability.worker_files import MULTIPROCESS_VARIABLE, forget_dead_workers

UNMATCHED: Final = "unmatched"
"""The route of a request whose path is not served: an attacker must not choose labels."""

BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Upper bounds in seconds."""

PHASE_BUCKETS: Final = (
    0.00005,
    0.0001,
    0.00025,
    0.0005,
    0.001,
    0.0025,
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1.0,
    5.0,
)
"""Upper bounds in seconds of what a request is made of."""

BATCH_BUCKETS: Final = (1, 4, 16, 64)
"""Upper bounds of batch sizes."""

SAMPLE_PERIOD: Final = 0.5
"""Seconds between two looks at the event loop, after which other workers know what this one has answered."""

_METHODS: Final = frozenset({"GET", "HEAD", "QUERY", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

Reading = Callable[[], float]
Readings = Callable[[], Mapping[str, float]]
"""Returns a value for each value of a label."""


class _Tallied:
    """The counter of a tally, which it takes over the difference from at each look."""

    def __init__(self, tally: Tally, registry: CollectorRegistry) -> None:
        self._tally = tally
        self._counter = Counter(f"tradepost_{tally.name}", tally.text, tally.labels, registry=registry)
        # What was counted before belongs to nobody who could be asked.
        self._seen = dict(tally.counts)

    def take_over(self) -> None:
        for values, count in self._tally.counts.items():
            more = count - self._seen.get(values, 0)
            if more:
                (self._counter.labels(*values) if values else self._counter).inc(more)
                self._seen[values] = count


class Metrics:
    """The numbers of this process. Not safe for threads: the event loop's thread counts, any thread may render.

    ``gauges`` are read at every sample and scrape: name (without ``tradepost_``) to help and function; over several
    workers they add up.
    """

    def __init__(self, *, clock: Clock, gauges: Mapping[str, tuple[str, Reading]] | None = None) -> None:
        self.in_progress = 0
        self._clock = clock
        self._directory = os.environ.get(MULTIPROCESS_VARIABLE)
        # A series beside each that says when it began: as many again, which nobody looks at.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self._registry = CollectorRegistry()
        self._add_request_metrics()
        self._batches = Histogram(
            "tradepost_coalesced_batch_size",
            "Different keys that one coalesced read answered",
            ("read",),
            buckets=BATCH_BUCKETS,
            registry=self._registry,
        )
        self._add_message_metrics()
        self._in_progress = self._gauge("http_requests_in_progress", "Requests that are being answered")
        self._lag = self._gauge(
            "event_loop_lag_seconds",
            "How late the event loop's last timer was; of all workers the worst",
            mode="livemax",
        )
        self._worst_lag = self._gauge(
            "event_loop_lag_worst_seconds", "The latest timer since the start", mode="livemax"
        )
        self._pool_waits = Histogram(
            "tradepost_database_wait_seconds",
            "Waits for a connection of the pool, of those who had to wait",
            ("pool",),
            buckets=BUCKETS,
            registry=self._registry,
        )
        self._tallied: list[_Tallied] = [_Tallied(tally, self._registry) for tally in TALLIES]
        self._labelled: list[tuple[Gauge, Readings]] = []
        self._gauges: list[tuple[Gauge, Reading]] = [(self._in_progress, lambda: self.in_progress)]
        self._lags = (0.0, 0.0)
        for name, (text, reading) in (gauges or {}).items():
            self.add_gauge(name, text, reading)
        self._answers: dict[tuple[str, str, int | str], Durations] = {}
        if self._directory is None:
            ProcessCollector(registry=self._registry)
            PlatformCollector(registry=self._registry)
            GCCollector(registry=self._registry)
        else:
            # prometheus-client's collectors know only the worker that is asked.
            self._add_worker_gauges()

    def _add_request_metrics(self) -> None:
        self._requests = Counter(
            "tradepost_http_requests",
            "Answered requests",
            ("method", "route", "status"),
            registry=self._registry,
        )
        self._duration = Histogram(
            "tradepost_http_request_duration_seconds",
            "Time from the request's head to the end of its answer",
            ("method", "route"),
            buckets=BUCKETS,
            registry=self._registry,
        )

        self._phases = Histogram(
            "tradepost_http_request_phase_seconds",
            "Where the time of requests went: one in 64 of them, by phase",
            ("phase",),
            buckets=PHASE_BUCKETS,
            registry=self._registry,
        )

        self._denials = Counter(
            "tradepost_rate_limited",
            "Requests that a rate limit refused",
            ("limit",),
            registry=self._registry,
        )

        self._refused = Counter(
            "tradepost_overload_refused",
            "Requests that were refused because there were too many",
            ("importance",),
            registry=self._registry,
        )

    def _add_message_metrics(self) -> None:
        self._messages = Counter(
            "tradepost_messages",
            "Attempts to deliver a message, by what came of them",
            ("channel", "outcome"),
            registry=self._registry,
        )
        self._message_duration = Histogram(
            "tradepost_message_delivery_seconds",
            "Time of one delivery; reactions, which come in groups, are not in it",
            ("channel",),
            buckets=BUCKETS,
            registry=self._registry,
        )
        # Every process reads the same table: the most recent look counts, not their sum.
        self._backlog = {
            name: Gauge(
                f"tradepost_messages_{name}",
                text,
                ("channel",),
                registry=self._registry,
                multiprocess_mode="livemostrecent",
            )
            for name, text in (
                ("waiting", "Messages that are not delivered yet"),
                ("dead", "Messages that were given up"),
                ("lag_seconds", "For how long the first message that is due has been so"),
            )
        }

    def _add_worker_gauges(self) -> None:
        memory = self._gauge("worker_resident_memory_bytes", "Memory of each worker", mode="liveall")
        processor = self._gauge("worker_cpu_seconds", "User and system time of each worker", mode="liveall")
        self._gauges += [(memory, _resident_memory), (processor, lambda: sum(os.times()[:2]))]

    def _gauge(self, name: str, text: str, *, mode: str = "livesum") -> Gauge:
        return Gauge(f"tradepost_{name}", text, registry=self._registry, multiprocess_mode=mode)  # type: ignore[arg-type]

    def batch_observer(self, name: str) -> Callable[[int], None]:
        """Return the observer of the batch sizes of one coalescer."""
        return self._batches.labels(name).observe

    def observe_attempt(self, channel: str, outcome: str, seconds: float) -> None:
        """Count one attempt to deliver a message; ``seconds`` is 0 where it has no time of its own."""
        self._messages.labels(channel, outcome).inc()
        if seconds:
            self._message_duration.labels(channel).observe(seconds)

    def show_backlog(self, channel: str, *, waiting: int, dead: int, lag: float) -> None:
        """Show how a channel's messages stand; ``lag`` is in seconds."""
        for name, value in (("waiting", waiting), ("dead", dead), ("lag_seconds", lag)):
            self._backlog[name].labels(channel).set(value)

    @contextmanager
    def served(self, port: int) -> Iterator[None]:
        """Answer Prometheus on a port of its own, from a thread, for a process that serves nothing else."""
        server, thread = start_http_server(port, registry=self._all())
        try:
            yield
        finally:
            server.shutdown()
            server.server_close()
            thread.join()

    def add_gauge(self, name: str, text: str, reading: Reading, *, mode: str = "livesum") -> None:
        """Show what ``reading`` returns as ``tradepost_<name>``; ``mode`` says how workers' values make one."""
        self._gauges.append((self._gauge(name, text, mode=mode), reading))

    def add_gauges(
        self, name: str, text: str, label: str, readings: Readings, *, mode: str = "livesum"
    ) -> None:
        """Show what ``readings`` returns as ``tradepost_<name>``, by ``label``."""
        gauge = Gauge(f"tradepost_{name}", text, (label,), registry=self._registry, multiprocess_mode=mode)  # type: ignore[arg-type]
        self._labelled.append((gauge, readings))

    def show_build(self, **labels: str) -> None:
        """Show what this is, as the labels of a gauge that is 1."""
        gauge = Gauge(
            "tradepost_build_info",
            "What runs here",
            tuple(labels),
            registry=self._registry,
            multiprocess_mode="livemax",
        )
        gauge.labels(**labels).set(1)

    def pool_observer(self, pool: str) -> Callable[[float], None]:
        """Return the observer of the waits for a connection, in seconds."""
        return self._pool_waits.labels(pool).observe

    def observe_refused(self, importance: str, number: int) -> None:
        """Count requests of a class that overload control refused."""
        self._refused.labels(importance).inc(number)

    def observe_refusals(self, method: str, number: int) -> None:
        """Count those of them that were answered before any layer saw them."""
        self._requests.labels(method if method in _METHODS else "OTHER", UNMATCHED, "503").inc(number)

    def observe(
        self,
        method: str,
        template: str | None,
        status: int | str,
        seconds: float,
        *,
        limit: str | None = None,
    ) -> None:
        """Count one answered request; ``template`` is the route's path, None when there was no route.

        ``limit`` is the name of the rate limit that refused it; ``status`` may be a word instead of a number.
        """
        if limit is not None:
            self._denials.labels(limit).inc()
        key = (method if method in _METHODS else "OTHER", template or UNMATCHED, status)
        answers = self._answers.get(key)
        if answers is None:
            answers = self._answers[key] = Durations(BUCKETS)
        answers.add(seconds)

    def observe_phases(self, phases: Mapping[str, float]) -> None:
        """Count where the time of one request went, in seconds by phase."""
        for phase, seconds in phases.items():
            self._phases.labels(phase).observe(seconds)

    def _take_over(self) -> None:
        """Show what was counted as plain numbers, which costs a request a third of what prometheus-client does."""
        for (method, template, status), answers in self._answers.items():
            counts, seconds = answers.taken()
            if (number := sum(counts)) == 0:
                continue
            self._requests.labels(method, template, str(status)).inc(number)
            shown = self._duration.labels(method, template)
            shown._sum.inc(seconds)  # noqa: SLF001 - of many at once: it has no other way
            for bucket, count in zip(shown._buckets, counts, strict=True):  # noqa: SLF001
                bucket.inc(count)
        for tallied in self._tallied:
            tallied.take_over()

    def _sample(self) -> None:
        for gauge, reading in self._gauges:
            gauge.set(reading())
        for gauge, readings in self._labelled:
            for value, number in readings().items():
                gauge.labels(value).set(number)
        self._take_over()
        last, worst = self._lags
        self._lag.set(last)
        self._worst_lag.set(worst)

    async def watch(self) -> None:
        """Measure the event loop's lag and keep the gauges fresh for the other workers, until cancelled."""
        monotonic = self._clock.monotonic
        while True:
            before = monotonic()
            await asyncio.sleep(SAMPLE_PERIOD)
            lag = max(0.0, monotonic() - before - SAMPLE_PERIOD)
            self._lags = (lag, max(lag, self._lags[1]))
            self._sample()

    async def render(self, accept: str = "") -> tuple[bytes, str]:
        """Return everything, summed over the workers, and its media type; put together in a thread."""
        self._sample()
        return await asyncio.to_thread(self._render, accept)

    async def collect(self, names: Container[str]) -> list[Sample]:
        """Return the samples of these names, summed over the workers; put together in a thread."""
        self._sample()
        return await asyncio.to_thread(
            lambda: [
                sample
                for family in self._all().collect()
                for sample in family.samples
                if sample.name in names
            ]
        )

    def _all(self) -> CollectorRegistry:
        """Return what answers for all workers."""
        if self._directory is None:
            return self._registry
        forget_dead_workers(self._directory)
        registry = CollectorRegistry()
        MultiProcessCollector(registry, path=self._directory)  # type: ignore[no-untyped-call]
        return registry

    def _render(self, accept: str) -> tuple[bytes, str]:
        registry = self._all()
        if "application/openmetrics-text" in accept:
            return generate_openmetrics(registry), OPENMETRICS_TYPE  # type: ignore[no-untyped-call]
        return generate_latest(registry), CONTENT_TYPE_LATEST

    def close(self) -> None:
        """Take this worker's gauges out of the sums; its counters stay in them."""
        self._take_over()
        if self._directory is not None:
            mark_process_dead(os.getpid(), path=self._directory)  # type: ignore[no-untyped-call]


def _resident_memory() -> float:
    try:
        pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[1]
    except OSError:  # no Linux
        return 0.0
    return int(pages) * os.sysconf("SC_PAGE_SIZE")
