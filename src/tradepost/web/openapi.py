"""The OpenAPI 3.1 document: what FastAPI derives from the routes, made true.

FastAPI documents a 422 that we never answer and names operations after their paths. Here every error becomes a
``Problem``, operations bear their function's name, and a route that also serves strangers says so.
"""

from collections.abc import Iterator
from typing import Any, Final

from fastapi import FastAPI
from fastapi.routing import APIRoute

from tradepost.core.settings.settings import Settings
from tradepost.web.bodies.checked_request import FORM_TYPES, URLENCODED
from tradepost.web.problems import documentation
from tradepost.web.problems.schemas import MEDIA_TYPE, Problem
from tradepost.web.routing.parameters import ARRAY_HEADERS

CREDENTIALS_OPTIONAL: Final[dict[str, Any]] = {"x-credentials-optional": True}
"""``openapi_extra`` of a route that takes credentials, and serves visitors without them as well."""

_METHODS: Final = ("get", "put", "post", "delete", "options", "head", "patch", "trace")
_BOUNDS: Final = frozenset({"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"})
_MAX_INTEGER: Final = 2**63 - 1
_FASTAPI_SCHEMAS: Final = ("HTTPValidationError", "ValidationError")

DESCRIPTION: Final = """\
Errors are `application/problem+json` (RFC 9457): `error_code` is for programs, `detail` for people, and `request_id` is
what to quote in a report. Every answer carries `X-Request-ID` (yours, if you send one) and `X-Process-Time`; send the
header `Server-Timing: 1` to see the time in a browser's tools. Paths are served with and without a slash at the end,
and `HEAD` wherever there is `GET`.
"""

_TAGS: Final = {
    "meta": "What the service is, and how it is",
    "auth": "Log-ins, sessions and passwords",
    "users": "Accounts and profiles",
    "items": "Things for sale",
    "tags": "Words on items",
    "categories": "The tree that items are sorted into",
    "webhooks": "Facts, sent as signed requests to addresses of yours",
    "notifications": "What one was told, and what one wants to be told",
    "uploads": "Pictures and documents",
    "messages": "What is on its way to people and programs, and what was given up, for admins",
}


def operation_id(route: APIRoute) -> str:
    """Name an operation after its function: that is what generated clients call it.

    A function ``update_item`` that serves both ``PUT`` and ``PATCH`` is ``patch_item`` as well.
    """
    if route.methods == {"PATCH"} and route.name.startswith("update_"):
        return route.name.replace("update_", "patch_", 1)
    return route.name


def options(settings: Settings) -> dict[str, Any]:
    """Return FastAPI's arguments: names, and none of its own pages."""
    return {
        "title": settings.PROJECT_NAME,
        "version": settings.VERSION,
        "description": DESCRIPTION,
        "openapi_url": None,
        "docs_url": None,
        "redoc_url": None,
        "redirect_slashes": False,
        "generate_unique_id_function": operation_id,
    }


class UntrueDocumentError(Exception):
    """The routes cannot be described as they are; start-up fails rather than publish it."""


def install(app: FastAPI) -> None:
    """Make ``app.openapi()`` return the finished document, put together once."""
    derive = app.openapi
    finished: list[dict[str, Any]] = []

    def openapi() -> dict[str, Any]:
        if not finished:
            finished.append(_finish(derive()))
        return finished[0]

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's documented way


def _finish(document: dict[str, Any]) -> dict[str, Any]:
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    for name in _FASTAPI_SCHEMAS:
        schemas.pop(name, None)
    problem = Problem.model_json_schema(ref_template="#/components/schemas/{model}", mode="serialization")
    schemas.update(problem.pop("$defs"))
    problem["required"] = [name for name in problem["properties"] if name != "errors"]
    schemas["Problem"] = problem
    seen: set[str] = set()
    used: set[str] = set()
    for path, operation in _operations(document):
        name = operation["operationId"]
        if name in seen:
            raise UntrueDocumentError(
                f"two operations are called {name}, one of them at {path}: rename a function"
            )
        seen.add(name)
        used.update(operation.get("tags", ()))
        _finish_operation(operation)
    document["tags"] = [{"name": name, "description": text} for name, text in _TAGS.items() if name in used]
    document["components"]["schemas"] = dict(sorted(schemas.items()))
    _restore_integers(document)
    return document


def _restore_integers(node: Any) -> None:
    """Write the bounds of integers as integers: FastAPI makes 64-bit floats of them, and 2^63-1 becomes 2^63."""
    if isinstance(node, list):
        for child in node:
            _restore_integers(child)
    elif isinstance(node, dict):
        if node.get("type") == "integer":
            for bound in _BOUNDS & node.keys():
                node[bound] = min(int(node[bound]), _MAX_INTEGER)
        for child in node.values():
            _restore_integers(child)


def _operations(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, methods in document.get("paths", {}).items():
        for method in _METHODS:
            if method in methods:
                yield path, methods[method]


def _finish_operation(operation: dict[str, Any]) -> None:
    responses = operation["responses"]
    if operation.pop("x-credentials-optional", False):
        operation["security"] = [{}, *(scheme for scheme in operation.get("security", ()) if scheme)]
    body = operation.get("requestBody")
    generated = responses.get("422", {}).get("content", {}).get("application/json", {}).get("schema", {})
    if generated.get("$ref", "").endswith("/HTTPValidationError"):
        del responses["422"]
    if operation.get("parameters") or body:
        responses.setdefault("422", _response("`VALIDATION_ERROR`: Validation error"))
    if body:
        kinds = "a form" if FORM_TYPES & set(body["content"]) else "JSON"
        responses.setdefault("413", _response("`HTTP_413`: The body is too large"))
        responses.setdefault("415", _response(f"`HTTP_415`: The body is not sent as {kinds}"))
        if URLENCODED in body["content"]:
            schema = next(iter(body["content"].values()))
            for media_type in sorted(FORM_TYPES):
                body["content"].setdefault(media_type, schema)
    responses.setdefault("default", documentation.default_response())
    _add_headers(operation)
    operation["responses"] = dict(sorted(responses.items()))


def _add_headers(operation: dict[str, Any]) -> None:
    """Name the headers of what succeeds: of a window on a bare array, and of what is limited."""
    responses = operation["responses"]
    windowed = any(parameter["name"] == "skip" for parameter in operation.get("parameters", ()))
    for status, response in responses.items():
        if status.startswith("2"):
            schema = response.get("content", {}).get("application/json", {}).get("schema", {})
            if windowed and schema.get("type") == "array":
                response["headers"] = response.get("headers", {}) | ARRAY_HEADERS
            if "429" in responses:
                response["headers"] = response.get("headers", {}) | documentation.LIMIT_HEADERS


def _response(description: str) -> dict[str, Any]:
    return {
        "description": description,
        "content": {MEDIA_TYPE: {"schema": documentation.SCHEMA_REFERENCE}},
    }
