"""Errors in the OpenAPI: each route's ``responses=``, made from the error classes it may raise."""

from collections.abc import Sequence
from typing import Any, Final

from tradepost.core.errors import TradepostError
from tradepost.web.problems.schemas import MEDIA_TYPE, title

SCHEMA_REFERENCE: Final = {"$ref": "#/components/schemas/Problem"}

_RETRY_AFTER: Final = {"description": "Seconds to wait before the next try", "schema": {"type": "integer"}}
LIMIT_HEADERS: Final[dict[str, Any]] = {
    "RateLimit": {
        "description": "How many more are allowed (`r`), and the seconds until all are (`t`)",
        "schema": {"type": "string"},
        "example": '"login";r=0;t=60',
    },
    "RateLimit-Policy": {
        "description": "How many are allowed (`q`) in how many seconds (`w`)",
        "schema": {"type": "string"},
        "example": '"login";q=10;w=60',
    },
}
"""What the OpenAPI says of the headers of a limited route; ``web.openapi`` puts it on what succeeds as well."""
_HEADERS: Final[dict[int, dict[str, Any]]] = {
    401: {"WWW-Authenticate": {"description": "`Bearer` (RFC 6750)", "schema": {"type": "string"}}},
    429: {"Retry-After": _RETRY_AFTER, **LIMIT_HEADERS},
    503: {"Retry-After": _RETRY_AFTER},
}


def _documented(status: int, errors: Sequence[type[TradepostError]]) -> dict[str, Any]:
    lines = dict.fromkeys(f"`{error.code}`: {error.detail}" for error in errors)
    examples = {
        error.code: {
            "summary": error.detail,
            "value": {
                "type": "about:blank",
                "title": title(status),
                "status": status,
                "detail": error.detail,
                "error_code": error.code,
                "request_id": "Xk3vQ0aRZ1cb-000001f4",
            },
        }
        for error in reversed(errors)
    }
    return {
        "description": " · ".join(lines),
        "content": {MEDIA_TYPE: {"schema": SCHEMA_REFERENCE, "examples": dict(reversed(examples.items()))}},
    }


def problem_responses(*errors: type[TradepostError]) -> dict[int | str, dict[str, Any]]:
    """Return what a route's ``responses=`` says of the errors it may answer, grouped by status, and of any other."""
    by_status: dict[int, list[type[TradepostError]]] = {}
    for error in errors:
        by_status.setdefault(error.status, []).append(error)
    responses: dict[int | str, dict[str, Any]] = {
        status: _documented(status, by_status[status]) for status in sorted(by_status)
    }
    for status, headers in _HEADERS.items():
        if status in responses:
            responses[status]["headers"] = headers
    responses["default"] = default_response()
    return responses


def default_response() -> dict[str, Any]:
    """Return what the OpenAPI says of every error that a route does not name."""
    return {"description": "Any other error", "content": {MEDIA_TYPE: {"schema": SCHEMA_REFERENCE}}}
