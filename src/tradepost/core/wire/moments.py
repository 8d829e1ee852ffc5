"""Moments in bodies and queries: written out with their offset from UTC, as RFC 3339 has it."""

import re
from datetime import UTC, datetime
from typing import Annotated, Any, Final

from pydantic import AfterValidator, BeforeValidator, Field
from pydantic_core import PydanticKnownError

_MOMENT: Final = re.compile(
    r"[0-9]{4}(-[0-9]{2}){2}[Tt ][0-9]{2}(:[0-9]{2}){1,2}(\.[0-9]+)?([Zz]|[+-][0-9]{2}:?[0-9]{2})?"
)


def _written_out(value: Any) -> Any:
    # pydantic takes numbers for seconds since 1970, which our schema does not offer.
    if not isinstance(value, str) or not _MOMENT.fullmatch(value):
        raise PydanticKnownError("datetime_parsing", {"error": "write it as 2026-12-05T18:00:00+01:00"})
    return value


def _in_utc(moment: datetime) -> datetime:
    if moment.tzinfo is None:
        raise PydanticKnownError("timezone_aware")
    try:
        return moment.astimezone(UTC)
    except OverflowError as error:
        raise PydanticKnownError("datetime_parsing", {"error": "no calendar has this year"}) from error


Moment = Annotated[
    datetime,
    BeforeValidator(_written_out, json_schema_input_type=str),
    AfterValidator(_in_utc),
    Field(json_schema_extra={"format": "date-time"}),
]
"""A moment with its offset from UTC, as RFC 3339 writes it; one without is refused."""
