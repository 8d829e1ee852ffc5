"""Idempotency keys in the OpenAPI: the header of every POST that takes one, its refusals, and what is left out of a replay."""

from collections.abc import Callable, Collection, Iterable
from typing import Any, Final

from fastapi.routing import APIRoute, iter_route_contexts
from starlette.routing import BaseRoute

from tradepost.core.idempotency.errors import HEADER, IdempotencyInFlight, IdempotencyKeyReused
from tradepost.core.wire.schemas import SHOWN_ONCE
from tradepost.web.idempotency import KEY_FORM, LONGEST_KEY, REPLAYED
from tradepost.web.problems.documentation import with_error

PARAMETER: Final[dict[str, Any]] = {
    "name": HEADER,
    "in": "header",
    "required": False,
    "description": "Names this request, so that a retry of it is done once: it gets the answer of the first",
    "schema": {"type": "string", "minLength": 1, "maxLength": LONGEST_KEY, "pattern": f"^{KEY_FORM}$"},
}
HEADERS: Final[dict[str, Any]] = {
    REPLAYED: {
        "description": "`true` on the answer to a retry",
        "schema": {"type": "string", "enum": ["true"]},
    }
}
RETRY_AFTER: Final[dict[str, Any]] = {
    "Retry-After": {
        "description": "Seconds to wait before the next try, while the first is under way",
        "schema": {"type": "integer"},
    }
}


def describe(
    document: dict[str, Any], routes: Iterable[BaseRoute], *, keyless: Collection[Callable[..., Any]]
) -> None:
    """Name the header, its refusals and its mark on replays at every POST that takes a key."""
    for context in iter_route_contexts(list(routes)):
        if (
            isinstance(context.original_route, APIRoute)
            and "POST" in (context.methods or ())
            and context.endpoint not in keyless
            and (operation := document["paths"].get(context.path_format, {}).get("post")) is not None
        ):
            _describe(operation)
    for schema in document.get("components", {}).get("schemas", {}).values():
        for name, field in schema.get("properties", {}).items():
            if field.pop(SHOWN_ONCE, False):
                field["description"] = f"{field['description']}. The answer to a retry comes without it"
                schema["required"] = [one for one in schema["required"] if one != name]


def _describe(operation: dict[str, Any]) -> None:
    operation["parameters"] = [
        *operation.get("parameters", ()),
        {**PARAMETER, "schema": {**PARAMETER["schema"]}},
    ]
    responses = operation["responses"]
    for status, response in responses.items():
        if status.startswith("2"):
            response["headers"] = response.get("headers", {}) | HEADERS
    responses["409"] = with_error(responses.get("409"), IdempotencyInFlight)
    responses["409"]["headers"] = responses["409"].get("headers", {}) | RETRY_AFTER
    generated = responses.get("422", {}).get("content", {}).get("application/json", {}).get("schema", {})
    if generated.get("$ref", "").endswith("/HTTPValidationError"):
        # FastAPI's own says what is never answered.
        del responses["422"]
    responses["422"] = with_error(responses.get("422"), IdempotencyKeyReused)
