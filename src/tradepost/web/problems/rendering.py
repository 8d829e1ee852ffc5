"""Errors as answers: ``application/problem+json`` (RFC 9457) for everything that goes wrong.

Exception handlers (``problems.handlers``), layers that refuse before there is a route (``refusal``) and the layer for
unexpected exceptions (``failure``) all answer through ``render``. Nothing of what was sent, no SQL, path or trace is in an
answer.
"""

import json
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final

import structlog
from starlette.responses import Response
from starlette.types import Scope

from tradepost.core.errors import TradepostError
from tradepost.web.asgi_scope import ERROR_CODE_KEY, REQUEST_ID_KEY, TOKEN_ENDPOINT_KEY
from tradepost.web.problems.schemas import MEDIA_TYPE, title

_log = structlog.stdlib.get_logger("tradepost.web")

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
    body += b'"'
    if errors is not None:
        listed = json.dumps(errors, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
        body += b',"errors":' + listed
    if TOKEN_ENDPOINT_KEY in scope:
        named = {"error": _oauth_name(status, errors or ()), "error_description": detail}
        body += b"," + json.dumps(named, separators=(",", ":")).encode()[1:-1]
    body += b"}"
    return Response(body, status, headers, MEDIA_TYPE)


def _oauth_name(status: int, errors: Sequence[Mapping[str, Any]]) -> str:
    """Return what OAuth 2 calls an error of a token endpoint (RFC 6749, sections 4.1.2.1 and 5.2)."""
    if any(fault["location"][-1] == "grant_type" for fault in errors):
        return "unsupported_grant_type"
    if status in {HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE}:
        return "temporarily_unavailable"
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return "server_error"
    return (
        "invalid_grant"
        if status in {HTTPStatus.BAD_REQUEST, HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}
        else "invalid_request"
    )


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
    """Return the answer to an unexpected exception, and log it with its trace."""
    _log_failure(error)
    return render(scope, 500, TradepostError.code, TradepostError.detail)


def _log_failure(error: BaseException) -> None:
    _log.error("request failed", exc_info=error)
