"""Deadlines in the OpenAPI: the header by which every operation may be told how long somebody waits for its answer."""

from collections.abc import Iterable
from typing import Any, Final

# Without an example, which the page would fill in, and send.
PARAMETER: Final[dict[str, Any]] = {
    "name": "Request-Timeout",
    "in": "header",
    "required": False,
    "description": "Seconds that this request may take from its head on, such as 2.5; the server has a limit of its own",
    "schema": {"type": "number", "exclusiveMinimum": 0, "maximum": 999_999_999},
}


def describe_deadlines(operations: Iterable[dict[str, Any]]) -> None:
    """Name the header at each operation, after its own parameters."""
    for operation in operations:
        operation["parameters"] = [
            *operation.get("parameters", ()),
            PARAMETER | {"schema": PARAMETER["schema"].copy()},
        ]
