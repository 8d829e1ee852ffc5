"""Conditional requests in the OpenAPI document: headers, entity tags and refusals, described once for all operations.

Which operations take them is read from their dependencies, so that a route that declares ``IfNoneMatch`` or ``IfMatch``
says nothing more, and one that does not can promise nothing.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute, iter_route_contexts
from starlette.routing import BaseRoute

from tradepost.core.errors import MalformedHeader, PreconditionFailed
from tradepost.core.wire.representations import no_tags
from tradepost.web.conditions import reads_if_match, reads_if_none_match
from tradepost.web.problems import documentation

Operation = dict[str, Any]

_TAG: Final = r'(W/)?"[!#-~]*"'
_TAGS: Final = {"type": "string", "pattern": f"^({_TAG}(, ?{_TAG})*|\\*)$"}
_ETAG: Final = {
    "ETag": {
        "description": "The entity tag of the resource as it is now: its version, and a hash of what else is shown",
        "schema": {"type": "string"},
        "example": '"3-5f2c81aa09d4e7b6"',
    }
}
_IF_NONE_MATCH: Final[Operation] = {
    "name": "If-None-Match",
    "in": "header",
    "required": False,
    "description": "The entity tags of what you have, by commas, or `*`: if it is still so, the answer is 304 without a body",
    "schema": _TAGS,
}
_IF_MATCH: Final[Operation] = {
    "name": "If-Match",
    "in": "header",
    "required": False,
    "description": "The entity tags of the states you would change, by commas; their versions alone count. "
    "If it was changed since, nothing is done, and the answer is 412",
    "schema": _TAGS,
}


def conditional_operations(routes: Iterable[BaseRoute]) -> dict[str, bool]:
    """Return by its id each operation that takes a condition: True if it changes a resource, False if it shows one."""
    found: dict[str, bool] = {}
    for context in iter_route_contexts(list(routes)):
        if isinstance(context.original_route, APIRoute):
            calls = set(_calls(context.dependant))
            if not calls.isdisjoint({reads_if_none_match, reads_if_match}):
                found[context.unique_id] = reads_if_match in calls
    return found


def _calls(dependant: Dependant) -> Iterator[Any]:
    yield dependant.call
    for dependency in dependant.dependencies:
        yield from _calls(dependency)


def describe_conditions(operations: Sequence[tuple[str, Operation]], changes: Mapping[str, bool]) -> None:
    """Describe the conditions that operations take, and the entity tags of all answers that show such a resource.

    ``changes`` is what ``conditional_operations`` found. Whatever answers with the schema of a conditional read, or makes
    something that is read below its own path, answers with an entity tag.
    """
    reads = [(path, one) for path, one in operations if changes.get(one["operationId"]) is False]
    shown = [schema for _, one in reads for schema in _shown(one)]
    collections = {path.rpartition("/{")[0] for path, _ in reads if path.endswith("}")}
    for path, operation in operations:
        for status, answer in operation["responses"].items():
            makes = status == "201" and path.rstrip("/") in collections
            if status.startswith("2") and (makes or _schema(answer) in shown):
                answer["headers"] = answer.get("headers", {}) | _ETAG
        if operation["operationId"] in changes:
            _describe(operation, changes=changes[operation["operationId"]])


def _describe(operation: Operation, *, changes: bool) -> None:
    condition = _IF_MATCH if changes else _IF_NONE_MATCH
    responses = operation["responses"]
    operation["parameters"] = [*operation.get("parameters", ()), condition]
    malformed = documentation.response(MalformedHeader, no_tags(condition["name"]))
    responses["400"] = documentation.together(responses.get("400"), malformed)
    if changes:
        responses["412"] = documentation.response(PreconditionFailed) | {"headers": _ETAG}
    else:
        responses["304"] = {"description": "It is as you have it", "headers": _ETAG}
    operation["responses"] = dict(sorted(responses.items()))


def _shown(operation: Operation) -> list[Any]:
    """Return the schemas that an operation answers with; one that depends on the query is among several."""
    schema = _schema(operation["responses"]["200"])
    return [schema, *schema.get("anyOf", ())]


def _schema(answer: Mapping[str, Any]) -> Any:
    return answer.get("content", {}).get("application/json", {}).get("schema")
