"""Log lines as JSON on standard error, written by a thread of their own so that no full pipe ever stops the event loop.

``configure`` sets up structlog and the standard library's logging alike. A line is handed over finished: what costs is
writing it, and that waits in the thread. Lines that the reader of the pipe does not take in time are dropped and
counted, never waited for.

What a line may hold: names, ids, statuses, times. Never headers, bodies, query strings or the values of SQL parameters;
of an exception's message only the first line is kept, because the further ones are where drivers and pydantic repeat
the values at fault.
"""

import atexit
import json
import logging
import os
import select
import sys
import threading
import traceback
from collections import deque
from collections.abc import MutableMapping
from contextlib import suppress
from contextvars import ContextVar
from typing import Any, Final, TextIO

import structlog
from typing_extensions import override

from tradepost.core.clock import Clock, SystemClock

MAX_WAITING: Final = 20_000
"""Lines that may wait for the thread; about 5 MB."""

request_id: ContextVar[str | None] = ContextVar("request_id", default=None)
"""The id of the request that is being answered: every line that is logged meanwhile carries it."""

_STANDARD_ERROR: Final = 2
_GATHER: Final = 0.02
_LINES_A_WRITE: Final = 128
_LONGEST_MESSAGE: Final = 300
_MOST_FRAMES: Final = 40
_MOST_CAUSES: Final = 5


class LogWriter:
    """Hands lines to a thread that writes them to a file descriptor.

    ``write`` never waits. ``close`` writes what is left, for ``timeout`` seconds at the most; later lines are written
    at once by whoever brings them.
    """

    def __init__(self, descriptor: int, *, max_waiting: int = MAX_WAITING) -> None:
        self.dropped = 0
        self._descriptor = descriptor
        self._max_waiting = max_waiting
        self._waiting: deque[bytes] = deque()
        self._wake = threading.Event()
        self._idle = True
        self._closing = threading.Event()
        self._reported = 0
        self._thread: threading.Thread | None = None

    def write(self, line: bytes) -> None:
        """Take one line, with its line break."""
        if len(self._waiting) >= self._max_waiting:
            self.dropped += 1
            return
        self._waiting.append(line)
        if self._idle:
            self._idle = False
            self._start()

    def close(self, timeout: float = 2.0) -> None:
        """Write what is left."""
        self._closing.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join(timeout)

    def _start(self) -> None:
        if self._closing.is_set():
            self._drain()
            self._idle = True
            return
        if self._thread is None:
            # Made with the first line, so that a process forked before it has a thread of its own.
            self._thread = threading.Thread(target=self._run, name="log-writer", daemon=True)
            self._thread.start()
        self._wake.set()

    def _run(self) -> None:
        while not self._closing.is_set():
            self._wake.wait()
            self._wake.clear()
            # Under load, gather: one write for many lines, and one change of threads.
            self._closing.wait(_GATHER)
            self._drain()
            self._idle = True
            if self._waiting:  # came between the last look and the line above
                self._idle = False
                self._wake.set()
        self._drain()

    def _drain(self) -> None:
        while self._waiting:
            lines: list[bytes] = []
            with suppress(IndexError):
                while len(lines) < _LINES_A_WRITE:
                    lines.append(self._waiting.popleft())
            if self.dropped > self._reported:
                lines.append(b'{"level":"warning","event":"log lines dropped","total":%d}\n' % self.dropped)
                self._reported = self.dropped
            if not self._put(b"".join(lines)):
                return

    def _put(self, data: bytes) -> bool:
        view = memoryview(data)
        while view:
            try:
                view = view[os.write(self._descriptor, view) :]
            except BlockingIOError:
                # Somebody we share the descriptor with made it non-blocking.
                select.select([], [self._descriptor], [], 1.0)
            except OSError:
                self.dropped += len(self._waiting) + 1
                self._waiting.clear()
                return False
        return True


# --- exceptions -------------------------------------------------------------------------------------------------------


def _message(error: BaseException) -> str:
    text = str(error).partition("\n")[0][:_LONGEST_MESSAGE]
    faults = getattr(error, "errors", None)
    if callable(faults):
        # pydantic and FastAPI: where and which rule, without the value.
        with suppress(Exception):
            rules = [f"{'.'.join(map(str, fault['loc']))}: {fault['type']}" for fault in faults()][:5]
            text = f"{text} {'; '.join(rules)}"
    return f"{type(error).__module__}.{type(error).__qualname__}: {text}"


def describe(error: BaseException) -> str:
    """Return the trace of an exception and of what caused it, without the values that messages repeat."""
    parts: list[str] = []
    here: BaseException | None = error
    while here is not None and len(parts) < _MOST_CAUSES:
        frames = traceback.format_list(traceback.extract_tb(here.__traceback__, limit=-_MOST_FRAMES))
        parts.append("".join([*frames, _message(here)]))
        if isinstance(here, BaseExceptionGroup):
            parts.extend(f"  | {_message(inner)}" for inner in here.exceptions[:_MOST_CAUSES])
        here = here.__cause__ or (None if here.__suppress_context__ else here.__context__)
    return "\ncaused by\n".join(parts)


_EventDict = MutableMapping[str, Any]


def _add_exception(_: Any, __: str, event: _EventDict) -> _EventDict:
    found = event.pop("exc_info", None)
    if found is True:
        found = sys.exc_info()[1]
    elif isinstance(found, tuple):
        found = found[1]
    if isinstance(found, BaseException):
        event["exception"] = describe(found)
    return event


def _add_request_id(_: Any, __: str, event: _EventDict) -> _EventDict:
    found = request_id.get()
    if found is not None:
        event.setdefault("request_id", found)
    return event


def _add_logger_name(logger: Any, _: str, event: _EventDict) -> _EventDict:
    name = getattr(logger, "name", None)
    if name:
        event["logger"] = name
    return event


# --- configuration ----------------------------------------------------------------------------------------------------


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
        except Exception:  # noqa: BLE001  (a line that cannot be formatted must not fail who logs it)
            line = json.dumps(
                {"level": "error", "event": "a log line could not be formatted", "logger": record.name}
            )
        self._writer.write(line.encode("utf-8", "replace") + b"\n")


class AccessLog:
    """Writes the one line of each request.

    The line is put together by hand: this is on the path of every request, and a general logger costs ten times as
    much. A status from 500 on is an error and always written; the others are left out above ``INFO``.
    """

    def __init__(
        self, writer: LogWriter, *, level: int = logging.INFO, readable: bool = False, clock: Clock
    ) -> None:
        self._write = writer.write
        self._quiet = level > logging.INFO
        self._readable = readable
        self._now = clock.now

    def __call__(
        self,
        *,
        request_id: str,
        method: str,
        template: str,
        status: int,
        seconds: float,
        person: int | None,
        error_code: str | None,
    ) -> None:
        """Write a line; ``template`` is the route's path, without what was in its place."""
        failed = status >= 500  # noqa: PLR2004
        if self._quiet and not failed:
            return
        milliseconds = seconds * 1000
        if self._readable:
            who = "" if person is None else f" person={person}"
            code = "" if error_code is None else f" {error_code}"
            line = f"{self._now():%H:%M:%S} {status} {method} {template} {milliseconds:.1f} ms{who}{code} {request_id}\n"
        else:
            moment = self._now().isoformat(timespec="milliseconds")
            line = (
                f'{{"timestamp":"{moment}","level":"{"error" if failed else "info"}","event":"request",'
                f'"request_id":"{request_id}","method":"{method}","route":"{template}","status":{status},'
                f'"duration_ms":{milliseconds:.2f},"person":{"null" if person is None else person}'
            )
            line += "}\n" if error_code is None else f',"error_code":"{error_code}"}}\n'
        self._write(line.encode())


def configure(
    level: str = "INFO",
    *,
    readable: bool | None = None,
    stream: TextIO | None = None,
    clock: Clock | None = None,
) -> AccessLog:
    """Send every log of this process through one writer to ``stream`` (standard error), and return the access log.

    ``readable`` lines are for people at a terminal; None means that ``stream`` is one.
    """
    stream = sys.stderr if stream is None else stream
    readable = stream.isatty() if readable is None else readable
    threshold = logging.getLevelNamesMapping()[level.upper()]
    writer = _writer_to(stream)

    shared: list[structlog.typing.Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="%H:%M:%S" if readable else "iso", utc=not readable),
        _add_request_id,
        _add_exception,
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
    return AccessLog(writer, level=threshold, readable=readable, clock=clock or SystemClock())


_writers: dict[int, LogWriter] = {}


def _writer_to(stream: TextIO) -> LogWriter:
    """Return the process's one writer to the file of ``stream``; two would cut each other's lines."""
    try:
        descriptor = stream.fileno()
    except OSError:  # a stand-in that keeps what it is given in memory
        descriptor = _STANDARD_ERROR
    writer = _writers.get(descriptor)
    if writer is None:
        writer = _writers[descriptor] = LogWriter(descriptor)
        atexit.register(writer.close)
    return writer


def close() -> None:
    """Write what waits, and every later line at once: for the end of a process, which a signal may cut short."""
    while _writers:
        _, writer = _writers.popitem()
        writer.close()


def _redirect_standard_logging(handler: logging.Handler, threshold: int) -> None:
    root = logging.getLogger()
    root.handlers = [other for other in root.handlers if not isinstance(other, _Handler)] + [handler]
    root.setLevel(threshold)
    logging.captureWarnings(capture=True)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.asgi"):
        logger = logging.getLogger(name)
        logger.handlers = []
        logger.propagate = True
    for name in ("httpx", "httpcore"):
        # At INFO they write whole addresses, query strings and all.
        logging.getLogger(name).setLevel(max(threshold, logging.WARNING))
    # It says which database it talks to each time it is asked for its revision.
    logging.getLogger("alembic.runtime.migration").setLevel(max(threshold, logging.WARNING))
    # We write one line a request ourselves.
    access = logging.getLogger("uvicorn.access")
    access.handlers = []
    access.propagate = False
