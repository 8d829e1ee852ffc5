"""Deduplicated log lines for failures that last: the first is told with its trace, and then their number each minute.

A disk that fails or a database that is away fails every request alike. One trace for each would fill the log, and the next
disk, faster than anybody reads; none at all would leave an operator with statuses and no cause.
"""

import re
from asyncio import CancelledError
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, Protocol

from tradepost.core.clock import Clock

PERIOD: Final = 60.0
"""Seconds between two lines about one cause, and without a failure until it is taken for over."""
_MOST_CAUSES: Final = 100
CODES: Final = ("errno", "sqlstate", "sqlite_errorcode")
"""Where errors have the number by which a system or a database says what is wrong."""
_NUMBER: Final = re.compile(r"\d+")


class Log(Protocol):
    """What a line is written to: a method of a structlog logger."""

    def __call__(self, event: str, **fields: Any) -> Any: ...


@dataclass(slots=True)
class _Incident:
    last: float
    told: float
    again: int = 0


class Incidents:
    """Writes failures to a log, those of one event and cause together. Lives as long as what reports them."""

    def __init__(self, clock: Clock, log: Log) -> None:
        self._monotonic = clock.monotonic
        self._log = log
        self._known: dict[tuple[str, str], _Incident] = {}

    def report(self, event: str, error: BaseException, **fields: Any) -> None:
        """Tell of a failure: with its trace if its cause is new, else counted, and at most once a minute."""
        now = self._monotonic()
        key = (event, _signature(error))
        incident = self._known.get(key)
        if incident is None or now - incident.last > PERIOD:
            self._known.pop(key, None)
            if len(self._known) >= _MOST_CAUSES:
                del self._known[next(iter(self._known))]
            self._known[key] = _Incident(now, now)
            self._log(event, reason=root_cause(error), exc_info=error, **fields)
            return
        incident.last = now
        incident.again += 1
        if now - incident.told >= PERIOD:
            self._log(event, reason=root_cause(error), again=incident.again, **fields)
            incident.told, incident.again = now, 0


def root_cause(error: BaseException) -> str:
    """Return type and first line of what an error came from, such as ``OSError: [Errno 5] Input/output error``."""
    root = _root(error)
    return f"{type(root).__name__}: {str(root).partition(chr(10))[0][:200]}".removesuffix(": ")


def chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an error, what it came from, and so on; not without end."""
    here: BaseException | None = error
    for _ in range(10):
        if here is None:
            return
        yield here
        here = here.__cause__ or (None if here.__suppress_context__ else here.__context__)


def _root(error: BaseException) -> BaseException:
    # What takes too long is cancelled, which says nothing.
    *_, root = (error, *(one for one in chain(error) if not isinstance(one, CancelledError)))
    return root


def _signature(error: BaseException) -> str:
    root = _root(error)
    # The system's number says what is wrong. Other numbers (ports, ids, names of files) differ from one to the next.
    code = next((value for name in CODES if (value := getattr(root, name, None)) is not None), None)
    return f"{type(root).__name__} {_NUMBER.sub('#', str(root)[:200]) if code is None else code}"
