"""The OpenAPI 3.1 document: what FastAPI derives from the routes, made true.

FastAPI documents a 422 that we never answer and names operations after their paths. Here every error becomes a
``Problem``, operations bear their function's name, and a route that also serves strangers says so.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final

from fastapi import FastAPI
from fastapi.routing import APIRoute

from tradepost.core.errors import InsufficientPermissions, TooLarge, UnsupportedType
from tradepost.core.settings.settings import Settings
from tradepost.web.bodies.checked_request import FORM_TYPES, URLENCODED
from tradepost.web.openapi import keys
from tradepost.web.openapi.conditions import conditional_operations, describe_conditions
from tradepost.web.openapi.deadlines import describe_deadlines
from tradepost.web.openapi.examples import field_problem
from tradepost.web.openapi.links import describe_links
from tradepost.web.openapi.shapes import restore_integers, tidy_parameter, tidy_stream, without_null
from tradepost.web.problems import documentation
from tradepost.web.problems.schemas import Problem
from tradepost.web.routing.lists import ARRAY_HEADERS, LINK

CREDENTIALS_OPTIONAL: Final[dict[str, Any]] = {"x-credentials-optional": True}
"""``openapi_extra`` of a route that takes credentials, and serves visitors without them as well."""

ALTERNATIVES: Final = "x-or"
"""The field in which a security scheme names others, any of which will do in its place: FastAPI knows one for a dependency."""

_METHODS: Final = ("get", "put", "post", "delete", "options", "head", "patch", "trace")
_CHANGING: Final = frozenset({"post", "put", "patch", "delete"})
_FASTAPI_SCHEMAS: Final = ("HTTPValidationError", "ValidationError")

DESCRIPTION: Final = """\
Errors are `application/problem+json` (RFC 9457): `error_code` is for programs, `detail` for people, and `request_id` is
what to quote in a report. Every answer carries `X-Request-ID` (yours, if you send one) and `X-Process-Time`; send the
header `Server-Timing: 1` to see the time in a browser's tools. With `Request-Timeout: 2.5` a request has 2.5 seconds at
most, from its head on, and is answered 503 `HTTP_503` if it was not begun by then, or 504 `DEADLINE_EXCEEDED` if it was.
Paths are served with and without a slash at the end, and `HEAD` wherever there is `GET`.
"""

_TAGS: Final = {
    "meta": "What the service is, and how it is",
    "auth": "Log-ins, sessions and passwords",
    "users": "Accounts and profiles",
    "items": "Things for sale",
    "tags": "Words on items",
    "categories": "The tree that items are sorted into",
    "events": "Gatherings with seats, waiting lists and reminders",
    "webhooks": "Facts, sent as signed requests to addresses of yours",
    "notifications": "What one was told, and what one wants to be told",
    "uploads": "Pictures and documents",
    "audit": "Who did what to whom, when, and from where",
    "messages": "What is on its way to people and programs, and what was given up, for admins",
    "faults": "Faults that are made on purpose, and the log of what was done to whom",
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
        "summary": "An open marketplace: accounts, items, files and notifications",
        "description": DESCRIPTION,
        "contact": {"name": "The maintainers of Tradepost"},
        "license_info": {"name": "MIT", "identifier": "MIT"},
        # Where the document is, there is the API, whatever its host is called.
        "servers": [{"url": "/", "description": "The server that this document comes from"}],
        "openapi_url": None,
        "docs_url": None,
        "redoc_url": None,
        "redirect_slashes": False,
        "generate_unique_id_function": operation_id,
    }


class UntrueDocumentError(Exception):
    """The routes cannot be described as they are; start-up fails rather than publish it."""


def install(app: FastAPI, settings: Settings, *, keyless: Collection[Callable[..., Any]] = ()) -> None:
    """Make ``app.openapi()`` return the finished document, put together once.

    ``keyless`` are the endpoints that take no ``Idempotency-Key``.
    """
    derive = app.openapi
    finished: list[dict[str, Any]] = []

    def openapi() -> dict[str, Any]:
        if not finished:
            conditional = conditional_operations(app.router.routes)
            document = derive()
            keys.describe(document, app.router.routes, keyless=frozenset(keyless))
            finished.append(_finish(document, settings.API_V1_STR, conditional))
        return finished[0]

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's documented way


def at_root(document: dict[str, Any], root: str) -> dict[str, Any]:
    """Return the document as it is below a path that a proxy takes off: the server, and where to log in.

    Clients resolve the address of a log-in against the page they are on or against the server, each as it likes: it is told as
    a path from the host's root, which is the same for all of them.
    """
    if not root:
        return document
    components = document["components"]
    schemes = {
        name: _with_token_url(scheme, lambda url: root + url)
        for name, scheme in components.get("securitySchemes", {}).items()
    }
    servers = [{**server, "url": root} for server in document["servers"]]
    return {**document, "servers": servers, "components": {**components, "securitySchemes": schemes}}


def _with_token_url(scheme: dict[str, Any], written: Callable[[str], str]) -> dict[str, Any]:
    flows = {
        name: {**flow, "tokenUrl": written(flow["tokenUrl"])}
        for name, flow in scheme.get("flows", {}).items()
    }
    return {**scheme, "flows": flows} if flows else scheme


def _finish(document: dict[str, Any], prefix: str, conditional: Mapping[str, bool]) -> dict[str, Any]:
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    for name in _FASTAPI_SCHEMAS:
        schemas.pop(name, None)
    problem = Problem.model_json_schema(ref_template="#/components/schemas/{model}", mode="serialization")
    schemas.update(problem.pop("$defs"))
    problem["required"] = [name for name in problem["properties"] if name != "errors"]
    problem["properties"]["error_code"] = {"$ref": "#/components/schemas/ErrorCode"}
    schemas["Problem"] = problem
    schemas["ErrorCode"] = {
        "type": "string",
        "enum": documentation.error_codes(),
        "title": "ErrorCode",
        "description": "The error, for programs. `HTTP_<status>` where the status says it all",
    }
    schemes = document["components"].get("securitySchemes", {})
    alternatives = {name: scheme.pop(ALTERNATIVES, {}) for name, scheme in schemes.items()}
    for others in alternatives.values():
        schemes.update(others)
    for name, scheme in schemes.items():
        schemes[name] = _with_token_url(scheme, lambda url: f"{prefix}/{url}")
    _document_narrow_keys(document, {name for name, others in alternatives.items() if others})
    seen: set[str] = set()
    used: set[str] = set()
    for path, operation in _operations(document):
        name = operation["operationId"]
        if name in seen:
            raise UntrueDocumentError(
                f"two operations are called {name}, one of them at {path}: rename a function"
            )
        seen.add(name)
        operation["security"] = _with_alternatives(operation.get("security", ()), alternatives)
        used.update(operation.get("tags", ()))
        _finish_operation(operation, schemas)
    describe_conditions(list(_operations(document)), conditional)
    describe_deadlines(operation for _, operation in _operations(document))
    describe_links(
        [
            (path, method, one)
            for path, methods in document.get("paths", {}).items()
            for method, one in methods.items()
            if method in _METHODS
        ],
        schemas,
    )
    document["tags"] = [{"name": name, "description": text} for name, text in _TAGS.items() if name in used]
    document["components"]["schemas"] = dict(sorted(schemas.items()))
    restore_integers(document)
    for path, operation in _operations(document, "webhooks"):
        if operation["operationId"] in seen:
            raise UntrueDocumentError(f"{operation['operationId']} is an operation and a fact, {path}")
        _finish_fact(operation)
    return document


def _document_narrow_keys(document: dict[str, Any], schemes: set[str]) -> None:
    """Say of every operation that changes something, and takes a credential with permissions of its own, that it refuses some."""
    for methods in document.get("paths", {}).values():
        for method in _CHANGING.intersection(methods):
            operation = methods[method]
            if any(schemes.intersection(wanted) for wanted in operation.get("security", ())):
                operation["responses"].setdefault("403", documentation.response(InsufficientPermissions))


def _with_alternatives(
    security: Sequence[dict[str, Any]], alternatives: Mapping[str, Iterable[str]]
) -> list[dict[str, Any]]:
    """Return what an operation asks for, each scheme after those that will do in its place."""
    either: dict[str, dict[str, Any]] = {}
    for wanted in security:
        for name in wanted:
            either |= {other: {other: []} for other in alternatives.get(name, ())}
        either.setdefault(" ".join(wanted), wanted)
    return list(either.values())


def _operations(document: dict[str, Any], section: str = "paths") -> Iterator[tuple[str, dict[str, Any]]]:
    for path, methods in document.get(section, {}).items():
        for method in _METHODS:
            if method in methods:
                yield path, methods[method]


def _finish_fact(operation: dict[str, Any]) -> None:
    """Leave out FastAPI's 422: it is the receiver of a webhook that answers."""
    operation["responses"].pop("422", None)
    operation["security"] = []
    for parameter in operation.get("parameters", ()):
        tidy_parameter(parameter)


def _finish_operation(operation: dict[str, Any], schemas: dict[str, Any]) -> None:
    responses = operation["responses"]
    if operation.pop("x-credentials-optional", False):
        operation["security"] = [{}, *(scheme for scheme in operation.get("security", ()) if scheme)]
    operation.setdefault("security", [])
    for parameter in operation.get("parameters", ()):
        tidy_parameter(parameter)
    body = operation.get("requestBody")
    generated = responses.get("422", {}).get("content", {}).get("application/json", {}).get("schema", {})
    if generated.get("$ref", "").endswith("/HTTPValidationError"):
        del responses["422"]
    if operation.get("parameters") or body:
        wrong = [field_problem(operation, schemas)]
        responses["422"] = documentation.invalid_response(wrong, responses.get("422"))
    if body:
        for content in body["content"].values():
            content["schema"] = without_null(content["schema"])
        # One schema under two media types would be two bodies to choose from in a generated client: a form is documented
        # as OAuth 2 has it, and taken in either encoding.
        kinds = (
            " or ".join(sorted(FORM_TYPES)) if URLENCODED in body["content"] else next(iter(body["content"]))
        )
        responses.setdefault("413", documentation.response(TooLarge))
        responses.setdefault(
            "415", documentation.response(UnsupportedType, f"The body must be sent as {kinds}")
        )
    if not any(status.startswith("4") for status in responses):
        # Where nothing is asked for, nothing can be wrong but the request's own form.
        responses["400"] = documentation.refusal_response(HTTPStatus.BAD_REQUEST)
    responses.setdefault("default", documentation.default_response())
    for response in responses.values():
        tidy_stream(response.get("content", {}))
    _add_headers(operation)
    operation["responses"] = dict(sorted(responses.items()))


def _add_headers(operation: dict[str, Any]) -> None:
    """Name the headers of what succeeds: the links of a list, the total of a bare array, and of what is limited."""
    responses = operation["responses"]
    windowed = any(parameter["name"] == "cursor" for parameter in operation.get("parameters", ()))
    for status, response in responses.items():
        if status.startswith("2"):
            schema = response.get("content", {}).get("application/json", {}).get("schema", {})
            if windowed:
                links = ARRAY_HEADERS if schema.get("type") == "array" else LINK
                response["headers"] = response.get("headers", {}) | links
            if "429" in responses:
                response["headers"] = response.get("headers", {}) | documentation.LIMIT_HEADERS
