"""Spans over OTLP/HTTP, by OpenTelemetry's own SDK; imported only where they are sent somewhere.

A thread of the SDK sends them, some hundred at a time. While nobody takes them, the oldest of two thousand are dropped.
"""

import logging
import threading
from collections.abc import Mapping
from datetime import timedelta
from typing import Final

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from typing_extensions import override

from tradepost.core.clock import Clock
from tradepost.core.observability.spans import Facts, Kind, Span, Tracing

EVERY: Final = 2.0
"""Seconds between two sendings."""
TIMEOUT: Final = 5.0
"""Seconds for which a sending is tried, again and again where it may help."""
CLOSING: Final = 3.0
"""Seconds that the end of the process waits for the last spans to be taken."""
QUIET: Final = 60.0
"""Seconds between two lines of the log about spans that nobody takes."""
_NOISY: Final = (
    "opentelemetry.exporter.otlp.proto.http.trace_exporter",
    "opentelemetry.sdk._shared_internal",
)

_KINDS: Final[dict[Kind, trace.SpanKind]] = {
    "server": trace.SpanKind.SERVER,
    "client": trace.SpanKind.CLIENT,
    "producer": trace.SpanKind.PRODUCER,
    "consumer": trace.SpanKind.CONSUMER,
    "internal": trace.SpanKind.INTERNAL,
}


class _Now:
    """Moments in nanoseconds, as spans have them."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def before(self, seconds: float) -> int:
        """Return the moment that was so many seconds ago."""
        return int((self._clock.now() - timedelta(seconds=seconds)).timestamp() * 1_000_000) * 1000


class _OtlpSpan(Span):
    def __init__(self, tracer: trace.Tracer, span: trace.Span, now: _Now) -> None:
        self._tracer = tracer
        self._span = span
        self._now = now
        found = span.get_span_context()
        self.context = f"00-{found.trace_id:032x}-{found.span_id:016x}-{found.trace_flags:02x}"
        self.is_recorded = span.is_recording()

    @override
    def part(self, name: str, seconds: float, *, kind: Kind = "internal", facts: Facts | None = None) -> None:
        self._tracer.start_span(
            name,
            context=trace.set_span_in_context(self._span),
            kind=_KINDS[kind],
            attributes=facts,
            start_time=self._now.before(seconds),
        ).end(self._now.before(0))

    @override
    def end(self, *, name: str | None = None, facts: Facts | None = None, failure: str | None = None) -> None:
        if name is not None:
            self._span.update_name(name)
        if facts is not None:
            self._span.set_attributes(facts)
        if failure is not None:
            self._span.set_attribute("error.type", failure)
            self._span.set_status(trace.StatusCode.ERROR)
        self._span.end(self._now.before(0))


class OtlpTracing(Tracing):
    """Sends the spans of this process to ``endpoint``, with these headers: of the traces that begin here a ``share``.

    Of a trace that began elsewhere, the flag of its context says whether its spans are sent.
    """

    def __init__(
        self, endpoint: str, *, headers: Mapping[str, str], share: float, about: Facts, clock: Clock
    ) -> None:
        once = _OnceInAWhile(clock)
        for name in _NOISY:
            logging.getLogger(name).addFilter(once)
        exporter = OTLPSpanExporter(endpoint, headers=headers, timeout=TIMEOUT, compression=Compression.Gzip)
        self._provider = TracerProvider(
            sampler=ParentBased(TraceIdRatioBased(share)),
            resource=Resource.create(about),
            shutdown_on_exit=False,
        )
        self._provider.add_span_processor(BatchSpanProcessor(exporter, schedule_delay_millis=EVERY * 1000))
        self._tracer = self._provider.get_tracer("tradepost")
        self._now = _Now(clock)

    @override
    def begin(self, name: str, *, kind: Kind, cause: str | None, ago: float = 0.0) -> Span:
        span = self._tracer.start_span(
            name,
            context=trace.set_span_in_context(trace.INVALID_SPAN if cause is None else _remote(cause)),
            kind=_KINDS[kind],
            start_time=self._now.before(ago),
        )
        return _OtlpSpan(self._tracer, span, self._now)

    @override
    def close(self) -> None:
        # The SDK would wait for half a minute.
        ending = threading.Thread(target=self._provider.shutdown, daemon=True)
        ending.start()
        ending.join(CLOSING)


def _remote(context: str) -> trace.Span:
    _, trace_id, span_id, flags = context.split("-")
    return trace.NonRecordingSpan(
        trace.SpanContext(
            int(trace_id, 16), int(span_id, 16), is_remote=True, trace_flags=trace.TraceFlags(int(flags, 16))
        )
    )


class _OnceInAWhile(logging.Filter):
    """Lets one line through and no other for a while: the SDK writes one for each try, and one for each span it drops."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self._monotonic = clock.monotonic
        self._quiet_until: float | None = None

    @override
    def filter(self, record: logging.LogRecord) -> bool:
        now = self._monotonic()
        if self._quiet_until is not None and now < self._quiet_until:
            return False
        self._quiet_until = now + QUIET
        return True
