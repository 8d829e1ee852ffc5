"""The values of log lines as JSON has them: moments in ISO 8601, durations in seconds, enumerations by their values.

Without it both renderers print the ``repr`` of what JSON does not know, and a line says ``datetime.datetime(2026, …)``.
"""

from collections.abc import Mapping, MutableMapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import PurePath
from typing import Any
from uuid import UUID

_DEEPEST = 4
"""Levels of mappings and lists that are looked into; what lies deeper is printed as its ``repr``."""


def make_plain(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Replace the values of a log line by plain ones: a processor for structlog."""
    for name, value in event.items():
        # What begins with an underscore is the library's own, and removed before the line is rendered.
        if not name.startswith("_"):
            event[name] = plain(value)
    return event


def plain(value: Any, *, depth: int = 0) -> Any:
    """Return a value as JSON has it."""
    if isinstance(value, Enum):
        value = value.value
    if value is None or isinstance(value, (str, int, float)):
        return value
    if depth < _DEEPEST and isinstance(value, Mapping):
        return {str(key): plain(inner, depth=depth + 1) for key, inner in value.items()}
    if depth < _DEEPEST and isinstance(value, (list, tuple, set, frozenset)):
        return [plain(inner, depth=depth + 1) for inner in value]
    return _as_text(value)


def _as_text(value: Any) -> str | float:
    match value:
        case datetime() if value.tzinfo is not None:
            return value.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        case date():  # a moment without a zone too
            return value.isoformat()
        case timedelta():
            return value.total_seconds()
        case UUID() | Decimal() | PurePath():
            return str(value)
        case _:
            return repr(value)
