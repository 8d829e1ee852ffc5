"""Reports of errors, for a system that collects them: the port, and what makes one of each line of the log with a trace."""

import sys
from collections.abc import Mapping, MutableMapping
from typing import Any, Final, Protocol

from tradepost.core.observability.trace_context import traceparent

_REPORTED: Final = frozenset({"warning", "error", "critical"})
_IDS: Final = ("request_id", "trace_id", "error_code", "subscription", "message_id", "job")
"""What a report has of the line: words of the code, and ids by which the log is searched."""


class Reports(Protocol):
    """Where reports go."""

    def report(
        self, error: BaseException, *, said: str, level: str, ids: Mapping[str, str], context: str | None
    ) -> None:
        """Send a report of an error without waiting; ``said`` is what the log says, ``context`` that of the trace."""

    def close(self) -> None:
        """Send what is left, for a moment at most."""


class Reporting:
    """A processor of structlog: reports the exception of a line, if it is a warning or worse."""

    def __init__(self, reports: Reports) -> None:
        self._reports = reports

    def __call__(
        self, _logger: Any, _method: str, event: MutableMapping[str, Any]
    ) -> MutableMapping[str, Any]:
        """Return the line as it was."""
        error = exception_of(event.get("exc_info"))
        if error is not None and event["level"] in _REPORTED:
            # A library's line is put together before it comes here, of whatever it works on.
            said = str(event.get("logger", "")) if "_record" in event else str(event["event"])
            ids = {name: str(event[name]) for name in _IDS if event.get(name) is not None}
            self._reports.report(error, said=said, level=event["level"], ids=ids, context=traceparent.get())
        return event


def exception_of(given: object) -> BaseException | None:
    """Return the exception that a line was given as ``exc_info``, in any of the ways that there are."""
    if given is True:
        given = sys.exc_info()[1]
    elif isinstance(given, tuple):
        given = given[1]
    return given if isinstance(given, BaseException) else None
