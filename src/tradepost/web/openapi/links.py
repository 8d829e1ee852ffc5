"""Links in the OpenAPI document: from each POST to what can be done with what it made, as paths and answers tell it.

A program that follows them, and a test that does, goes on with the id that it was answered. No route says anything of links:
what is made below a path is found at that path with its id.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

Operation = dict[str, Any]

_PARAMETER: Final = re.compile(r"\{([a-z_]+)\}")
_BELOW: Final = re.compile(r"/\{([a-z_]+)\}(?:/.*|\..*)?")
"""What follows the path of a collection in the path of one thing in it, or of what belongs to that."""


def describe_links(
    operations: Sequence[tuple[str, str, Operation]], schemas: Mapping[str, Mapping[str, Any]]
) -> None:
    """Link every POST that succeeds with something to the operations on it; ``operations`` are path, method and operation.

    What it made is known by the ``id`` of its answer, below its own path; or it is what its path is about already, such as a
    seat at an event, which the other methods of the same path concern.
    """
    for path, method, operation in operations:
        if method == "post":
            links = dict(_links(path, operation, operations, schemas))
            for status, answer in operation["responses"].items():
                if links and status.startswith("2"):
                    answer["links"] = links


def _links(
    path: str,
    made_by: Operation,
    operations: Sequence[tuple[str, str, Operation]],
    schemas: Mapping[str, Mapping[str, Any]],
) -> Iterator[tuple[str, dict[str, Any]]]:
    collection = path.rstrip("/")
    above = {name: f"$request.path.{name}" for name in _PARAMETER.findall(path)}
    has_id = any(_has_id(answer, schemas) for answer in _successes(made_by))
    for other, method, operation in operations:
        place = other.rstrip("/")
        if place == collection:
            known = above if above and method != "post" else None
        elif place.startswith(collection) and (below := _BELOW.fullmatch(place.removeprefix(collection))):
            only = len(_PARAMETER.findall(place)) == len(above) + 1
            known = {**above, below[1]: "$response.body#/id"} if has_id and only else None
        else:
            known = None
        if known is not None:
            name = operation["operationId"]
            yield name, {"operationId": name, "parameters": {f"path.{each}": known[each] for each in known}}


def _successes(operation: Operation) -> Iterator[Mapping[str, Any]]:
    return (answer for status, answer in operation["responses"].items() if status.startswith("2"))


def _has_id(answer: Mapping[str, Any], schemas: Mapping[str, Mapping[str, Any]]) -> bool:
    schema = answer.get("content", {}).get("application/json", {}).get("schema", {})
    if "$ref" in schema:
        schema = schemas[schema["$ref"].rpartition("/")[2]]
    return "id" in schema.get("properties", {})
