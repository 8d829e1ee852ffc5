"""Logging as JSON lines on standard error: structlog and the standard library set up alike, behind one writer.

What a line may hold: names, ids, statuses, times. Never headers, bodies, query strings or the values of SQL parameters,
which would put passwords and addresses where many can read them.
"""

import json
import logging
import sys
from collections.abc import MutableMapping
from contextvars import ContextVar
from functools import partial
from multiprocessing.util import Finalize
from typing import Any, Final, TextIO

import structlog
from typing_extensions import override

from tradepost.core.clock import Clock, SystemClock
from tradepost.core.observability.access_log import AccessLog, timestamp
from tradepost.core.observability.log_writer import LogWriter
from tradepost.core.observability.plain_values import make_plain
from tradepost.core.observability.reports import Reporting, Reports, exception_of
from tradepost.core.observability.trace_context import trace_id, traceparent
from tradepost.core.observability.traces import describe

request_id: ContextVar[str | None] = ContextVar("request_id", default=None)
"""The id of the request that is being answered: every line that is logged meanwhile carries it."""

_STANDARD_ERROR: Final = 2
_TRUSTED: Final = ("uvicorn", "uvicorn.error", "uvicorn.asgi", "tradepost")
"""Loggers of the standard library that may write below WARNING."""

_writers: dict[int, LogWriter] = {}


def configure(
    level: str = "INFO",
    *,
    readable: bool | None = None,
    stream: TextIO | None = None,
    clock: Clock | None = None,
    reports: Reports | None = None,
) -> AccessLog:
    """Send every log of this process through one writer to ``stream`` (standard error), and return the access log.

    ``readable`` lines are for people at a terminal; None means that ``stream`` is one.
    ``reports`` gets the exceptions of lines.
    """
    stream = sys.stderr if stream is None else stream
    readable = stream.isatty() if readable is None else readable
    threshold = logging.getLevelNamesMapping()[level.upper()]
    writer = _writer_to(stream)
    clock = clock or SystemClock()

    shared: list[structlog.typing.Processor] = [
        structlog.processors.add_log_level,
        partial(_add_timestamp, clock=clock, readable=readable),
        _add_ids,
        *(() if reports is None else (Reporting(reports),)),
        _add_exception,
        make_plain,
    ]
    renderer: structlog.typing.Processor = (
        structlog.dev.ConsoleRenderer(colors=True)
        if readable
        else structlog.processors.JSONRenderer(separators=(",", ":"), ensure_ascii=False)
    )
    structlog.configure(
        processors=[_add_logger_name, *shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=lambda *names: _Sink(writer, *names[:1]),
        cache_logger_on_first_use=False,
    )
    handler = _Handler(writer)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name, *shared],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    _redirect_standard_logging(handler, threshold)
    return AccessLog(writer, level=threshold, readable=readable, clock=clock)


def _writer_to(stream: TextIO) -> LogWriter:
    """Return the process's one writer to the file of ``stream``; two would cut each other's lines."""
    try:
        descriptor = stream.fileno()
    except OSError:  # a stand-in that keeps what it is given in memory
        descriptor = _STANDARD_ERROR
    writer = _writers.get(descriptor)
    if writer is None:
        writer = _writers[descriptor] = LogWriter(descriptor)
        # Not by `atexit`, which a process that was forked ends without.
        Finalize(None, writer.close, exitpriority=0)
    return writer


def close() -> None:
    """Write what waits, and every later line at once: for the end of a process, which a signal may cut short."""
    while _writers:
        _, writer = _writers.popitem()
        writer.close()


def _redirect_standard_logging(handler: logging.Handler, threshold: int) -> None:
    root = logging.getLogger()
    root.handlers = [other for other in root.handlers if not isinstance(other, _Handler)] + [handler]
    # Libraries below WARNING write what they work on: statements with the hash of a password in them, addresses with
    # their query strings, forms as they were sent. Those that are known to write none of it are named here.
    root.setLevel(max(threshold, logging.WARNING))
    logging.captureWarnings(capture=True)
    for name in _TRUSTED:
        logger = logging.getLogger(name)
        logger.setLevel(threshold)
        logger.handlers = []
        logger.propagate = True
    # We write one line a request ourselves.
    access = logging.getLogger("uvicorn.access")
    access.handlers = []
    access.propagate = False


def _add_timestamp(
    _logger: Any, _method: str, fields: MutableMapping[str, Any], *, clock: Clock, readable: bool
) -> MutableMapping[str, Any]:
    fields["timestamp"] = timestamp(clock.now(), readable=readable)
    return fields


class _Sink:
    """What structlog calls with a finished line."""

    def __init__(self, writer: LogWriter, name: str | None = None) -> None:
        self.name = name
        self._writer = writer

    def msg(self, line: str) -> None:
        self._writer.write(line.encode("utf-8", "replace") + b"\n")

    debug = info = warning = error = critical = exception = log = msg


class _Handler(logging.Handler):
    """What the standard library's loggers end in."""

    def __init__(self, writer: LogWriter) -> None:
        super().__init__()
        self._writer = writer

    @override
    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = self.format(record)
        except Exception:  # noqa: BLE001  (a line that cannot be formatted must not fail its caller)
            line = json.dumps(
                {"level": "error", "event": "a log line could not be formatted", "logger": record.name}
            )
        self._writer.write(line.encode("utf-8", "replace") + b"\n")


_EventDict = MutableMapping[str, Any]


def _add_exception(_: Any, __: str, event: _EventDict) -> _EventDict:
    found = exception_of(event.pop("exc_info", None))
    if found is not None:
        event["exception"] = describe(found)
    return event


def _add_ids(_: Any, __: str, event: _EventDict) -> _EventDict:
    found = request_id.get()
    if found is not None:
        event.setdefault("request_id", found)
    context = traceparent.get()
    if context is not None:
        event.setdefault("trace_id", trace_id(context))
    return event


def _add_logger_name(logger: Any, _: str, event: _EventDict) -> _EventDict:
    name = getattr(logger, "name", None)
    if name:
        event["logger"] = name
    return event
