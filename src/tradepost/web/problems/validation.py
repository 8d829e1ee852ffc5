"""Pydantic's validation errors in the words of the contract: which value, which rule, and nothing of what was sent."""

from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any, Final, cast

_LONGEST_NAME: Final = 100
_LONGEST_MESSAGE: Final = 500
_MOST_ERRORS: Final = 100

_A_MOMENT: Final = "Input should be a moment that there is, written as 2026-12-05T18:00:00+01:00"

# Pydantic's messages that repeat what was sent, whole or in part, or speak of Python; the rule alone is said instead.
_MESSAGES: Final = {
    "bytes_invalid_encoding": "Data should be valid in its encoding",
    "date_from_datetime_parsing": "Input should be a valid date or datetime",
    "date_parsing": "Input should be a valid date in the format YYYY-MM-DD",
    "datetime_from_date_parsing": _A_MOMENT,
    "datetime_object_invalid": _A_MOMENT,
    "datetime_parsing": _A_MOMENT,
    "get_attribute_error": "Input should be a valid object",
    "iteration_error": "Input should be a valid list",
    "json_invalid": "Invalid JSON",
    "mapping_type": "Input should be a valid mapping",
    "model_attributes_type": "Input should be an object",
    "time_delta_parsing": "Input should be a valid timedelta",
    "time_parsing": "Input should be in a valid time format",
    "timezone_offset": "Input has another timezone offset than required",
    "union_tag_invalid": "Input does not have one of the expected tags",
    "url_parsing": "Input should be a valid URL",
    "url_syntax_violation": "Input should be a valid URL",
    "uuid_parsing": "Input should be a valid UUID",
}
_PREFIXES: Final = {"value_error": "Value error, ", "assertion_error": "Assertion failed, "}


def _named(part: Any) -> str | int:
    # A name may come from the body: a key that no schema knows. It can be as long as the body.
    return part if isinstance(part, int) else str(part)[:_LONGEST_NAME]


def _messages(error: Mapping[str, Any]) -> Iterable[str]:
    kind, message = error["type"], str(error["msg"])
    if kind in _MESSAGES:
        return (_MESSAGES[kind],)
    context = error.get("ctx") or {}
    if kind in _PREFIXES:
        cause = context.get("error")
        parts = getattr(cause, "args", ())
        if len(parts) > 1 and all(isinstance(part, str) for part in parts):
            return cast("tuple[str, ...]", parts)
        if "reason" in context:
            # email-validator's reasons repeat parts of the address.
            return (message.partition(":")[0],)
        return (message.removeprefix(_PREFIXES[kind]),)
    return (message,)


def field_problems(errors: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return pydantic's errors as the contract wants them: location, message and type, never what was sent.

    The words ``Value error,`` are left out, and a validator of ours that finds several faults in one value raises
    ``ValueError`` with one argument for each: every one becomes an entry of its own.
    """
    return [
        {
            "location": [_named(part) for part in error["loc"]],
            "message": message[:_LONGEST_MESSAGE],
            "type": error["type"],
        }
        for error in islice(errors, _MOST_ERRORS)
        for message in _messages(error)
    ][:_MOST_ERRORS]
