"""Every error a client sees: ``application/problem+json`` (RFC 9457), one body for all of them.

Errors get here by three ways: exception handlers (``install``), layers that refuse before there is a route
(``refusal``), and ``failure`` for what nobody foresaw. Nothing of what was sent, no SQL, path or trace is in an answer.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from http import HTTPStatus
from itertools import islice
from typing import Any, Final, cast

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from sqlalchemy.exc import SQLAlchemyError
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import Scope

from tradepost.core.errors import TradepostError, Unprocessable

MEDIA_TYPE: Final = "application/problem+json"
REQUEST_ID_KEY: Final = "tradepost.request_id"
"""Where the outermost layer leaves the request's id in the ASGI scope."""
ERROR_CODE_KEY: Final = "tradepost.error_code"
"""Where a problem leaves its code in the ASGI scope, for the log line of the request."""

# RFC 9110's names, alike on every version of Python.
_TITLES: Final = {status.value: status.phrase for status in HTTPStatus} | {
    413: "Content Too Large",
    414: "URI Too Long",
    416: "Range Not Satisfiable",
    422: "Unprocessable Content",
}
_LONGEST_NAME: Final = 100
_LONGEST_MESSAGE: Final = 500
_MOST_ERRORS: Final = 100

# Pydantic's messages that repeat what was sent, whole or in part; the rule alone is said instead.
_MESSAGES: Final = {
    "bytes_invalid_encoding": "Data should be valid in its encoding",
    "date_from_datetime_parsing": "Input should be a valid date or datetime",
    "date_parsing": "Input should be a valid date in the format YYYY-MM-DD",
    "datetime_from_date_parsing": "Input should be a valid datetime or date",
    "datetime_object_invalid": "Input should be a valid datetime",
    "datetime_parsing": "Input should be a valid datetime",
    "get_attribute_error": "Input should be a valid object",
    "iteration_error": "Input should be a valid list",
    "json_invalid": "Invalid JSON",
    "mapping_type": "Input should be a valid mapping",
    "time_delta_parsing": "Input should be a valid timedelta",
    "time_parsing": "Input should be in a valid time format",
    "timezone_offset": "Input has another timezone offset than required",
    "union_tag_invalid": "Input does not have one of the expected tags",
    "url_parsing": "Input should be a valid URL",
    "url_syntax_violation": "Input should be a valid URL",
    "uuid_parsing": "Input should be a valid UUID",
}
_PREFIXES: Final = {"value_error": "Value error, ", "assertion_error": "Assertion failed, "}

_log = structlog.stdlib.get_logger("tradepost.web")


class FieldProblem(BaseModel):
    """One value that is not acceptable."""

    location: list[str | int] = Field(
        description="The way to the value: `body`, `query`, `path` or `header`, then names and positions",
        examples=[["body", "price"]],
    )
    message: str = Field(description="The rule, for people", examples=["Input should be greater than 0"])
    type: str = Field(description="The rule, for programs", examples=["greater_than"])


class Problem(BaseModel):
    """An error (RFC 9457)."""

    type: str = Field(
        default="about:blank", description="`about:blank`: `error_code` says which error this is"
    )
    title: str = Field(description="The name of the status", examples=["Not Found"])
    status: int = Field(description="The HTTP status", examples=[404])
    detail: str = Field(description="One sentence for people", examples=["Item not found"])
    error_code: str = Field(description="The error, for programs", examples=["ITEM_NOT_FOUND"])
    request_id: str = Field(description="The answer's `X-Request-ID`, by which the log knows it")
    errors: list[FieldProblem] = Field(
        default_factory=list, description="With `VALIDATION_ERROR` only: each value that is not acceptable"
    )


def title(status: int) -> str:
    """Return the name of a status."""
    return _TITLES.get(status, "Error")


# --- rendering --------------------------------------------------------------------------------------------------------

_HEAD_CACHE_SIZE: Final = 512
_heads: dict[tuple[int, str, str], bytes] = {}


def _head(status: int, code: str, detail: str) -> bytes:
    """Return the body up to the request's id: most errors are one of a few, and under load they come by thousands."""
    key = (status, code, detail)
    head = _heads.get(key)
    if head is None:
        body = {
            "type": "about:blank",
            "title": title(status),
            "status": status,
            "detail": detail,
            "error_code": code,
        }
        head = json.dumps(body, ensure_ascii=False, separators=(",", ":"))[:-1].encode("utf-8", "replace")
        head += b',"request_id":"'
        if len(_heads) < _HEAD_CACHE_SIZE:
            _heads[key] = head
    return head


def render(
    scope: Scope,
    status: int,
    code: str,
    detail: str,
    *,
    headers: Mapping[str, str] | None = None,
    errors: Sequence[Mapping[str, Any]] | None = None,
) -> Response:
    """Return the answer for an error of this request."""
    scope[ERROR_CODE_KEY] = code
    # An id is made of letters, digits and `._-`: nothing to escape.
    body = _head(status, code, detail) + scope.get(REQUEST_ID_KEY, "").encode("ascii", "replace")
    if errors is None:
        body += b'"}'
    else:
        listed = json.dumps(errors, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
        body += b'","errors":' + listed + b"}"
    return Response(body, status, headers, MEDIA_TYPE)


def refusal(
    scope: Scope, status: int, detail: str | None = None, headers: Mapping[str, str] | None = None
) -> Response:
    """Return the answer of a layer that turns a request away: ``HTTP_<status>``."""
    return render(scope, status, f"HTTP_{status}", detail or title(status), headers=headers)


def problem(scope: Scope, error: TradepostError) -> Response:
    """Return the answer for an error of the domain, and log it with its trace when it is a failure of ours."""
    if error.status == HTTPStatus.INTERNAL_SERVER_ERROR:
        _log_failure(error.__cause__ or error)
    return render(
        scope,
        error.status,
        error.code,
        error.detail,
        headers=error.headers,
        errors=getattr(error, "errors", None),
    )


def failure(scope: Scope, error: BaseException) -> Response:
    """Return the answer for an error that nobody foresaw, and log it with its trace."""
    _log_failure(error)
    return render(scope, 500, TradepostError.code, TradepostError.detail)


def _log_failure(error: BaseException) -> None:
    _log.error("request failed", exc_info=error)


# --- validation -------------------------------------------------------------------------------------------------------


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


# --- handlers ---------------------------------------------------------------------------------------------------------

Translate = Callable[[BaseException], TradepostError | None]

FORESEEN: Final = (TradepostError, RequestValidationError, HTTPException, SQLAlchemyError)


class ErrorAnswers:
    """Answers whatever a route raises; ``translate`` says what an error of the database means."""

    def __init__(self, translate: Translate) -> None:
        self._translate = translate

    def __call__(self, scope: Scope, error: Exception) -> Response:
        """Return the answer for ``error``: a problem, or ``failure`` for what nobody foresaw."""
        if isinstance(error, TradepostError):
            return problem(scope, error)
        if isinstance(error, RequestValidationError):
            errors = field_problems(error.errors())
            return render(scope, 422, Unprocessable.code, Unprocessable.detail, errors=errors)
        if isinstance(error, HTTPException):
            return _of_status(scope, error)
        if isinstance(error, SQLAlchemyError) and (meaning := self._translate(error)) is not None:
            meaning.__cause__ = error
            return problem(scope, meaning)
        return failure(scope, error)


def _of_status(scope: Scope, refused: HTTPException) -> Response:
    if refused.status_code in {204, 304} or refused.status_code < 200:  # noqa: PLR2004  (statuses without a body)
        return Response(status_code=refused.status_code, headers=refused.headers)
    given: object = refused.detail  # FastAPI's own may be anything
    detail = given if isinstance(given, str) and given else title(refused.status_code)
    if refused.status_code == HTTPStatus.INTERNAL_SERVER_ERROR:
        return failure(scope, refused)
    return refusal(scope, refused.status_code, detail, refused.headers)


def install(app: FastAPI, answers: ErrorAnswers) -> None:
    """Have every foreseen error answered with a problem.

    What nobody foresaw passes on to the layer around the application (``web.middleware``).
    """

    async def handle(request: Request, error: Exception) -> Response:
        return answers(request.scope, error)

    for kind in FORESEEN:
        app.add_exception_handler(kind, handle)


# --- documentation ----------------------------------------------------------------------------------------------------

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
