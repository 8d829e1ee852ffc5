"""The shapes of parameters and bodies in the OpenAPI document, as generators of clients can use them.

Python's ``X | None = None`` means that a value may be left out. FastAPI documents it as a value that may be ``null``, which no
query string can hold; generated clients then send the word `null`.
"""

from collections.abc import Mapping
from typing import Any, Final

_BOUNDS: Final = frozenset({"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"})
_MAX_INTEGER: Final = 2**63 - 1
_NULL: Final = {"type": "null"}
_ID: Final = "_id"


def without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """Return a schema without the ``null`` that stands for what is not sent."""
    choices = schema.get("anyOf", [])
    if _NULL not in choices:
        return schema
    left = [choice for choice in choices if choice != _NULL]
    rest = {key: value for key, value in schema.items() if key not in {"anyOf", "title"}}
    return {**left[0], **rest} if len(left) == 1 else {"anyOf": left, **rest}


def tidy_parameter(parameter: dict[str, Any]) -> None:
    """Describe a parameter once, without ``null``, and with an example that `/docs` fills in."""
    schema = parameter["schema"] = without_null(parameter["schema"])
    schema.pop("title", None)
    described = schema.pop("description", None)
    name: str = parameter["name"]
    if parameter["in"] == "path" and name.endswith(_ID):
        described = described or f"The {name.removesuffix(_ID).replace('_', ' ')}'s id"
        schema.setdefault("examples", [1])
    if described is not None:
        parameter.setdefault("description", described)
    examples = schema.pop("examples", None)
    # `/docs` sends it: that of a parameter that may be left out would filter what nobody asked to have filtered.
    if examples and parameter["required"]:
        parameter["example"] = examples[0]


def tidy_stream(content: dict[str, Any]) -> None:
    """Describe the data of server-sent events by their schemas alone; FastAPI says also that they are one text."""
    schema = content.get("text/event-stream", {}).get("schema", {})
    if "anyOf" in schema:
        schema.pop("type", None)
        schema.pop("title", None)


def restore_integers(node: Any) -> None:
    """Write the bounds of integers as integers: FastAPI makes 64-bit floats of them, and 2^63-1 becomes 2^63."""
    if isinstance(node, list):
        for child in node:
            restore_integers(child)
    elif isinstance(node, dict):
        if node.get("type") == "integer":
            for bound in _BOUNDS & node.keys():
                node[bound] = min(int(node[bound]), _MAX_INTEGER)
        for child in node.values():
            restore_integers(child)


def resolved(schema: Mapping[str, Any], schemas: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the schema that a reference leads to, or the schema itself."""
    reference: str | None = schema.get("$ref")
    return schema if reference is None else schemas[reference.rpartition("/")[2]]
