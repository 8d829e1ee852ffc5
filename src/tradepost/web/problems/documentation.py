"""Errors in the OpenAPI: each route's ``responses=``, made from the error classes it may raise."""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final

from tradepost.core.errors import TradepostError, Unprocessable
from tradepost.web.problems.schemas import EXAMPLE_ID, MEDIA_TYPE, title

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


def _example(status: int, code: str, detail: str) -> dict[str, Any]:
    value = {
        "type": "about:blank",
        "title": title(status),
        "status": status,
        "detail": detail,
        "error_code": code,
        "request_id": EXAMPLE_ID,
    }
    return {"summary": detail, "value": value}


def _content(examples: dict[str, dict[str, Any]]) -> dict[str, Any]:
    return {MEDIA_TYPE: {"schema": SCHEMA_REFERENCE, "examples": examples}}


def _documented(errors: Sequence[type[TradepostError]]) -> dict[str, Any]:
    lines = dict.fromkeys(f"`{error.code}`: {error.detail}" for error in errors)
    examples: dict[str, dict[str, Any]] = {}
    for error in {(error.code, error.detail): error for error in errors}.values():
        name = error.code if error.code not in examples else f"{error.code}_{len(examples) + 1}"
        examples[name] = _example(error.status, error.code, error.detail)
    return {"description": " · ".join(lines), "content": _content(examples)}


def response(error: type[TradepostError], detail: str | None = None) -> dict[str, Any]:
    """Return what the OpenAPI says of one error, with its example; ``detail`` if it is not the class's own."""
    return _one(error.status, error.code, detail or error.detail)


def together(one: Mapping[str, Any] | None, other: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the OpenAPI says of two errors of one status, each as ``response`` says it."""
    if one is None or MEDIA_TYPE not in one.get("content", {}):
        return dict(other)
    examples = one["content"][MEDIA_TYPE]["examples"] | other["content"][MEDIA_TYPE]["examples"]
    return {
        **one,
        "description": f"{one['description']} · {other['description']}",
        "content": _content(examples),
    }


def refusal_response(status: HTTPStatus) -> dict[str, Any]:
    """Return what the OpenAPI says of a refusal before there is a route: ``HTTP_<status>``."""
    return _one(status.value, f"HTTP_{status.value}", title(status.value))


def _one(status: int, code: str, detail: str) -> dict[str, Any]:
    return {
        "description": f"`{code}`: {detail}",
        "content": _content({code: _example(status, code, detail)}),
    }


def invalid_response(
    errors: Sequence[Mapping[str, Any]], documented: Mapping[str, Any] | None
) -> dict[str, Any]:
    """Return what the OpenAPI says of a 422, with these entries in its example.

    ``documented`` is what the route says of it; FastAPI's own (without an example) does not count.
    """
    invalid = response(Unprocessable)
    invalid["content"][MEDIA_TYPE]["examples"][Unprocessable.code]["value"]["errors"] = list(errors)
    if documented is None or MEDIA_TYPE not in documented["content"]:
        return invalid
    examples = documented["content"][MEDIA_TYPE]["examples"] | invalid["content"][MEDIA_TYPE]["examples"]
    return {**documented, "content": documented["content"] | _content(examples)}


def problem_responses(*errors: type[TradepostError]) -> dict[int | str, dict[str, Any]]:
    """Return what a route's ``responses=`` says of the errors it may answer, grouped by status, and of any other."""
    by_status: dict[int, list[type[TradepostError]]] = {}
    for error in errors:
        by_status.setdefault(error.status, []).append(error)
    responses: dict[int | str, dict[str, Any]] = {
        status: _documented(by_status[status]) for status in sorted(by_status)
    }
    for status, headers in _HEADERS.items():
        if status in responses:
            responses[status]["headers"] = headers
    responses["default"] = default_response()
    return responses


def with_error(documented: Mapping[str, Any] | None, error: type[TradepostError]) -> dict[str, Any]:
    """Return what the OpenAPI says of a status, with one more error of that status."""
    added = response(error)
    if documented is None or MEDIA_TYPE not in documented.get("content", {}):
        return {
            **(documented or {}),
            **added,
            "content": {**(documented or {}).get("content", {}), **added["content"]},
        }
    examples = documented["content"][MEDIA_TYPE]["examples"] | added["content"][MEDIA_TYPE]["examples"]
    return {
        **documented,
        "description": f"{documented['description']} · {added['description']}",
        "content": documented["content"] | _content(examples),
    }


def default_response() -> dict[str, Any]:
    """Return what the OpenAPI says of every error that a route does not name."""
    return response(TradepostError) | {"description": "Any other error"}


def error_codes() -> list[str]:
    """Return every code that an answer may bear: of the errors of all domains that are loaded, and ``HTTP_<status>``.

    Every status of an error that HTTP knows is among them: a client that refuses a code it does not know must not meet one.
    """
    codes = {f"HTTP_{status.value}" for status in HTTPStatus if status >= HTTPStatus.BAD_REQUEST}
    kinds: list[type[TradepostError]] = [TradepostError]
    while kinds:
        kind = kinds.pop()
        codes.add(kind.code)
        kinds += kind.__subclasses__()
    return sorted(codes)
